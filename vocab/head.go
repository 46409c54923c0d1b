package vocab

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pith/checkpoint"
	"pith/internal/ordered"
	"pith/model"
	"pith/tensor"
)

// Heads is what trimming the heads of a draft model knows of it. Public drafts are language models of their own; one layer and a head on the
// target's states (EAGLE: Li et al. 2024, arXiv 2401.15077); or several heads without layers (Medusa: Cai et al. 2024, arXiv 2401.10774; Hydra: Ankner et
// al. 2024, arXiv 2402.05109). Whatever they are called, heads are the matrices with a row for each token that are no embedding.
type Heads struct {
	ckpt   *checkpoint.Checkpoint
	config model.Config // zero for an architecture without a table
	Vocab  int          // of the target
	names  []string     // of heads and their biases
	ids    []int32      // of a head that was trimmed before: row → target id; nil: whole
	tied   string       // the embedding, if that is the head
	from   *checkpoint.Checkpoint
}

// OpenHeads finds the heads of a draft model. vocab is the size of the target's vocabulary; 0: what config.json says. from is the target, whose head
// a draft without its own is given; it may be nil.
func OpenHeads(ckpt *checkpoint.Checkpoint, vocab int, from *checkpoint.Checkpoint) (*Heads, error) {
	h := &Heads{ckpt: ckpt, Vocab: vocab, from: from}
	if err := h.find(); err != nil {
		return nil, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	return h, nil
}

func (h *Heads) find() error {
	var err error
	if h.config, err = h.ckpt.Config(); err != nil && h.ckpt.ConfigJSON() == nil {
		return err
	}
	var said struct {
		Vocab int `json:"vocab_size"`
	}
	if err := json.Unmarshal(h.ckpt.ConfigJSON(), &said); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if h.Vocab == 0 {
		h.Vocab = said.Vocab
	}
	if h.Vocab <= 0 || h.Vocab > maxCounts {
		return errors.New("config.json does not say vocab_size; give the model that this is a draft for")
	}
	rows := h.Vocab
	if h.ids, err = h.trimmedBefore(); err != nil {
		return err
	}
	if h.ids != nil {
		rows = len(h.ids)
	}
	embedding := ""
	for _, name := range h.ckpt.Names() {
		info, err := h.ckpt.Info(name)
		if err != nil {
			return err
		}
		switch {
		case len(info.Shape) == 2 && h.embeds(name):
			embedding = name
			if model.Role(h.config, name) == "embedding" && info.Shape[0] != h.Vocab {
				return fmt.Errorf("%s has rows for %d tokens and the target's vocabulary is of %d: a draft needs the vocabulary of its target", name, info.Shape[0], h.Vocab)
			}
		case len(info.Shape) == 2 && info.Shape[0] == rows && !strings.HasSuffix(name, "_embedding.weight"):
			h.names = append(h.names, name)
		}
	}
	for _, name := range slices.Clone(h.names) {
		bias := strings.TrimSuffix(name, ".weight") + ".bias"
		if info, err := h.ckpt.Info(bias); err == nil && len(info.Shape) == 1 && info.Shape[0] == rows {
			h.names = append(h.names, bias)
		}
	}
	switch {
	case len(h.names) > 0:
	case h.config.TiedHead && embedding != "":
		h.tied, h.from = embedding, h.ckpt
	case h.from != nil:
		return h.findTied()
	default:
		return fmt.Errorf("no matrix has a row for each of %d tokens: a draft that uses the head of its target is trimmed together with that; name it", rows)
	}
	return nil
}

// embeds reports whether a matrix is an input embedding.
func (h *Heads) embeds(name string) bool {
	if role := model.Role(h.config, name); role == "embedding" || role == "position" {
		return true
	}
	for _, part := range []string{"embed_tokens", "embed_in", "tok_embeddings", "word_embeddings", "wte", "wpe"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// findTied finds the head of the target.
func (h *Heads) findTied() error {
	config, err := h.from.Config()
	if err != nil {
		return err
	}
	for _, want := range []string{"head", "embedding"} {
		for _, name := range h.from.Names() {
			if info, err := h.from.Info(name); model.Role(config, name) == want && err == nil && info.Rows == h.Vocab {
				h.tied = name
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no head of %d tokens", h.from.Path, h.Vocab)
}

// trimmedBefore reads the map of a head that has one.
func (h *Heads) trimmedBefore() ([]int32, error) {
	info, err := h.ckpt.Info(model.DraftMap)
	if err != nil {
		return nil, nil // whole
	}
	if len(info.Shape) != 1 || info.Shape[0] > h.Vocab {
		return nil, fmt.Errorf("%s: shape %v is not that of a map of ids", model.DraftMap, info.Shape)
	}
	if err := model.CheckDraftMap(info.DType); err != nil {
		return nil, err
	}
	d := tensor.NewMat(1, info.Shape[0])
	if err := h.ckpt.ReadRows(model.DraftMap, d, 0); err != nil {
		return nil, err
	}
	ids := make([]int32, d.Cols)
	for i, v := range d.Row(0) {
		if ids[i] = int32(i) + int32(v); ids[i] < 0 || int(ids[i]) >= h.Vocab || i > 0 && ids[i] <= ids[i-1] {
			return nil, fmt.Errorf("%s: entry %d is %.0f, which gives no rising list of ids below %d", model.DraftMap, i, v, h.Vocab)
		}
	}
	return ids, nil
}

// Names lists the tensors whose rows are chosen.
func (h *Heads) Names() []string {
	if h.tied != "" {
		return []string{h.tied}
	}
	return slices.Clone(h.names)
}

// RowBytes is what one token takes of all heads together, as they are stored.
func (h *Heads) RowBytes() (n int64) {
	of := h.ckpt
	if h.tied != "" {
		of = h.from
	}
	for _, name := range h.Names() {
		if info, err := of.Info(name); err == nil && len(info.Shape) > 0 && info.Shape[0] > 0 {
			n += info.Bytes / int64(info.Shape[0])
		}
	}
	return n
}

// View returns the draft whose heads have rows for the given ids of the target only, rising; of a head that was trimmed before, those that it has. The
// layout is that of EAGLE-3's files, which vLLM and SGLang read: draft_vocab_size in config.json, d2t and t2d (see model.DraftMap). Drafts of several
// heads, and of EAGLE's first two versions, also get what vLLM reads for them: token_map, I64, row → target id, and truncated_vocab_size.
func (h *Heads) View(ids []int32) (*checkpoint.Checkpoint, error) {
	rows := ids
	if h.ids != nil {
		rows, ids = h.rowsOf(ids)
	}
	if len(ids) == 0 || ids[0] < 0 || int(ids[len(ids)-1]) >= h.Vocab || !slices.IsSorted(ids) {
		return nil, fmt.Errorf("%s: the ids of a head rise and are among the %d of the target", h.ckpt.Path, h.Vocab)
	}
	edit := checkpoint.Edit{Rows: map[string][]int32{}}
	for _, name := range h.names {
		edit.Rows[name] = rows
	}
	if h.tied != "" {
		head, err := h.headOf(rows)
		if err != nil {
			return nil, err
		}
		edit.Made = append(edit.Made, head)
	}
	differences, list, flags := make([]byte, 0, 8*len(ids)), make([]byte, 0, 8*len(ids)), make([]byte, h.Vocab)
	for i, id := range ids {
		differences = binary.LittleEndian.AppendUint64(differences, uint64(int64(id)-int64(i)))
		list = binary.LittleEndian.AppendUint64(list, uint64(id))
		flags[id] = 1
	}
	edit.Made = append(edit.Made, made(model.DraftMap, tensor.I64, len(ids), differences), made(model.TargetMask, tensor.Bool, h.Vocab, flags))
	mapped := !h.offsets()
	if mapped {
		edit.Made = append(edit.Made, made("token_map", tensor.I64, len(ids), list))
	}
	var err error
	if edit.Config, err = h.configFor(len(ids), mapped); err != nil {
		return nil, fmt.Errorf("%s: config.json: %w", h.ckpt.Path, err)
	}
	return h.ckpt.View(edit)
}

// offsets reports whether those who load the draft read d2t: of language models of their own, and of EAGLE-3. Its loaders refuse other tensors.
func (h *Heads) offsets() bool {
	if _, err := h.ckpt.Config(); h.ids != nil || err == nil && model.CheckShapes(h.config, h.ckpt) == nil {
		return true
	}
	eagle3 := func(name string) bool { return strings.HasPrefix(name, "midlayer.") }
	return strings.Contains(strings.ToLower(string(h.ckpt.ConfigJSON())), "eagle3") || slices.ContainsFunc(h.ckpt.Names(), eagle3)
}

func made(name string, dt tensor.DType, n int, data []byte) checkpoint.Made {
	return checkpoint.Made{Name: name, DType: dt, Shape: []int{n}, Data: func() ([]byte, error) { return data, nil }}
}

// rowsOf returns the rows of a trimmed head that stand for some of the target's ids, and those ids.
func (h *Heads) rowsOf(ids []int32) (rows, found []int32) {
	for row, id := range h.ids {
		if _, ok := slices.BinarySearch(ids, id); ok {
			rows, found = append(rows, int32(row)), append(found, id)
		}
	}
	return rows, found
}

// headOf makes lm_head.weight of rows of an embedding, or of the target's head.
func (h *Heads) headOf(rows []int32) (checkpoint.Made, error) {
	source, err := h.from.View(checkpoint.Edit{Rows: map[string][]int32{h.tied: rows}})
	if err != nil {
		return checkpoint.Made{}, err
	}
	info, err := source.Info(h.tied)
	if err != nil {
		return checkpoint.Made{}, err
	}
	m := checkpoint.Made{Name: "lm_head.weight", DType: info.DType, Shape: info.Shape}
	if h.config.ModelType != "" {
		m.Name = model.HeadName(h.config)
	}
	m.Data = func() ([]byte, error) {
		data := make([]byte, info.Bytes)
		return data, source.ReadRaw(h.tied, data, 0)
	}
	if info.DType == tensor.Invalid {
		m.DType = tensor.F32
		m.Data = func() ([]byte, error) {
			w := tensor.NewMat(info.Rows, info.Cols)
			data := make([]byte, 4*len(w.Data))
			err := source.ReadRows(h.tied, w, 0)
			tensor.Encode(data, tensor.F32, w.Data)
			return data, err
		}
	}
	return m, nil
}

func (h *Heads) configFor(rows int, mapped bool) ([]byte, error) {
	return ordered.EditFile(h.ckpt.ConfigJSON(), func(o *ordered.Object) error {
		err := errors.Join(o.Set("draft_vocab_size", rows), o.Set("vocab_size", h.Vocab))
		if o.Get("tie_word_embeddings") != nil || h.config.TiedHead {
			err = errors.Join(err, o.Set("tie_word_embeddings", false))
		}
		if mapped {
			err = errors.Join(err, o.Set("truncated_vocab_size", rows))
		}
		return err
	})
}
