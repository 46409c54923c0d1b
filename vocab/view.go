package vocab

import (
	"encoding/json"
	"fmt"
	"slices"

	"pith/checkpoint"
	"pith/model"
	"pith/tokenizer"
)

// Model is what trimming knows of a checkpoint.
type Model struct {
	ckpt      *checkpoint.Checkpoint
	config    model.Config
	Tokenizer *tokenizer.Tokenizer
	tensors   []string // that have a row for each token
	RowBytes  int64    // of all of them, for one token, as they are stored
}

// Open looks at a checkpoint's vocabulary; nothing is loaded.
func Open(ckpt *checkpoint.Checkpoint) (*Model, error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	if config.DraftVocab > 0 {
		return nil, fmt.Errorf("%s: is a draft model whose head is trimmed already; trim the whole vocabulary of the original instead", ckpt.Path)
	}
	m := &Model{ckpt: ckpt, config: config}
	if m.Tokenizer, err = ckpt.Tokenizer(); err != nil {
		return nil, err
	}
	for _, name := range ckpt.Names() {
		info, err := ckpt.Info(name)
		if err != nil {
			return nil, err
		}
		if len(info.Shape) == 0 || info.Shape[0] != config.Vocab {
			continue
		}
		switch model.Role(config, name) {
		case "embedding", "head":
		case "bias":
			if model.LayerOf(config, name) >= 0 {
				continue
			}
		default:
			continue
		}
		m.tensors = append(m.tensors, name)
		m.RowBytes += info.Bytes / int64(config.Vocab)
	}
	if len(m.tensors) == 0 {
		return nil, fmt.Errorf("%s: no tensor has a row for each of the %d tokens", ckpt.Path, config.Vocab)
	}
	return m, nil
}

// Size is how many tokens can be kept: those that have both a row in the embedding and an entry in the tokenizer.
func (m *Model) Size() int { return min(m.config.Vocab, m.Tokenizer.Size()) }

// Must returns the ids of classes and those that the model's configuration names.
func (m *Model) Must(classes []Class) ([]int32, error) {
	ids := Kept(m.Tokenizer, classes)
	contents, err := m.ckpt.ConfigContents()
	if err != nil {
		return nil, err
	}
	for _, f := range contents {
		if f.Name != "config.json" && f.Name != "generation_config.json" {
			continue
		}
		named, err := ConfigIDs(f.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.ckpt.Path, f.Name, err)
		}
		for _, id := range named {
			if int(id) < m.Size() {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Rank orders the vocabulary by counts.
func (m *Model) Rank(counts *Counts, classes []Class) (*Ranking, error) {
	must, err := m.Must(classes)
	if err != nil {
		return nil, err
	}
	r, err := Rank(m.Tokenizer, counts, must, m.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.ckpt.Path, err)
	}
	return r, nil
}

// View returns the checkpoint with the kept ids only, which rise and are renumbered from 0: rows of embedding and head, config.json, tokenizer and
// vocab_map.bin. notes say what could not be taken along.
func (m *Model) View(ids []int32) (shown *checkpoint.Checkpoint, notes []string, err error) {
	fail := func(err error) (*checkpoint.Checkpoint, []string, error) {
		return nil, nil, fmt.Errorf("%s: %w", m.ckpt.Path, err)
	}
	if len(ids) == 0 || int(ids[len(ids)-1]) >= m.Size() {
		return fail(fmt.Errorf("kept tokens must be among the %d that model and tokenizer have", m.Size()))
	}
	contents, err := m.ckpt.ConfigContents()
	if err != nil {
		return nil, nil, err
	}
	edit := checkpoint.Edit{Rows: map[string][]int32{}}
	for _, name := range m.tensors {
		edit.Rows[name] = ids
	}
	if edit.Config, err = renumberConfig(m.ckpt.ConfigJSON(), Map(ids).New()); err != nil {
		return fail(fmt.Errorf("config.json: %w", err))
	}
	if edit.Files, notes, err = m.files(contents, ids); err != nil {
		return fail(err)
	}
	shown, err = m.ckpt.View(edit)
	return shown, notes, err
}

// files returns the view's files besides config.json.
func (m *Model) files(contents []checkpoint.ConfigContent, ids []int32) (out []checkpoint.ConfigContent, notes []string, err error) {
	files := map[string][]byte{}
	kept := Map(ids)
	for _, f := range contents {
		switch f.Name {
		case "config.json":
			continue
		case "generation_config.json":
			f.Data, err = renumberConfig(f.Data, kept.New())
		case checkpoint.VocabName:
			f.Data, err = m.vocabFile(ids)
		case checkpoint.VocabMapName: // trimmed before: the map stays one to the first vocabulary
			if kept, err = ParseMap(f.Data); err == nil {
				kept, err = kept.Of(ids)
			}
			f.Data = nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		files[f.Name] = f.Data
	}
	if files, notes, err = tokenizer.TrimFiles(files, m.Tokenizer, ids); err != nil {
		return nil, nil, err
	}
	files[checkpoint.VocabMapName] = kept.Bytes()
	for name, data := range files {
		out = append(out, checkpoint.ConfigContent{Name: name, Data: data})
	}
	slices.SortFunc(out, func(a, b checkpoint.ConfigContent) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, notes, nil
}

// vocabFile is the vocabulary of a GGUF file as an artifact holds it.
func (m *Model) vocabFile(ids []int32) ([]byte, error) {
	v, err := m.Tokenizer.Vocab().Trim(ids)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	return append(data, '\n'), err
}
