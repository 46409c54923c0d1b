package vocab

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/formats"
	"pith/formats/interop"
	"pith/model"
	"pith/tensor"
)

// ids returns every third id below n.
func everyThird(n int) (ids []int32) {
	for id := int32(1); int(id) < n; id += 3 {
		ids = append(ids, id)
	}
	return ids
}

// A language model of its own, tied or not: logits of the kept tokens bit for bit, and the files public runtimes read.
func TestATrimmedHeadOfALanguageModelKeepsItsLogits(t *testing.T) {
	for _, s := range shared {
		o := openShared(t, s.model, s.count)
		h, err := OpenHeads(o.ckpt, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids := everyThird(h.Vocab)
		shown, err := h.View(ids)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "draft")
		contents, err := shown.ConfigContents()
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, f := range contents[1:] {
			files[f.Name] = f.Data
		}
		if err := interop.ExportHF(dir, shown.ConfigJSON(), shown, interop.HFOptions{Files: files}); err != nil {
			t.Fatal(err)
		}
		written, err := checkpoint.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer written.Close()
		whole, draft := load(t, o.ckpt), load(t, written)
		if !slices.Equal(draft.DraftIDs(), ids) {
			t.Fatalf("%s: draft ids %v", s.model, draft.DraftIDs())
		}
		tokens := [][]int32{{1, 50, 60, 70, 80, 90, 100}}
		a, b := whole.Logits(whole.Forward(tokens)), draft.Logits(draft.Forward(tokens))
		for r := range a.Rows {
			for i, id := range ids {
				if a.Row(r)[id] != b.Row(r)[i] {
					t.Fatalf("%s: logit of token %d is %g, was %g", s.model, id, b.Row(r)[i], a.Row(r)[id])
				}
			}
		}
		checkMaps(t, written, ids, h.Vocab)
		// Trimmed again, the map is still one to the target's ids.
		again, err := OpenHeads(written, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		fewer, err := again.View(slices.DeleteFunc(everyThird(h.Vocab), func(id int32) bool { return id%2 == 0 }))
		if err != nil {
			t.Fatal(err)
		}
		last := load(t, fewer)
		for i, id := range last.DraftIDs() {
			if id%2 == 0 || id != ids[2*i] {
				t.Fatalf("%s: draft ids %v after two trims", s.model, last.DraftIDs())
			}
		}
	}
}

// checkMaps reads d2t and t2d as the public runtimes do: target = row + d2t[row], and a flag for each of the target's ids.
func checkMaps(t *testing.T, c *checkpoint.Checkpoint, ids []int32, vocab int) {
	t.Helper()
	d, err := c.Info(model.DraftMap)
	if err != nil || d.DType != tensor.I64 || len(d.Shape) != 1 || d.Shape[0] != len(ids) {
		t.Fatalf("d2t: %+v, %v", d, err)
	}
	f, err := c.Info(model.TargetMask)
	if err != nil || f.DType != tensor.Bool || len(f.Shape) != 1 || f.Shape[0] != vocab {
		t.Fatalf("t2d: %+v, %v", f, err)
	}
	differences, flags := make([]byte, 8*len(ids)), make([]byte, vocab)
	if err := c.ReadRaw(model.DraftMap, differences, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadRaw(model.TargetMask, flags, 0); err != nil {
		t.Fatal(err)
	}
	set := 0
	for i, id := range ids {
		if target := int64(i) + int64(binary.LittleEndian.Uint64(differences[8*i:])); target != int64(id) || flags[id] != 1 {
			t.Fatalf("row %d stands for %d with flag %d, want %d", i, target, flags[id], id)
		}
	}
	for _, b := range flags {
		set += int(b)
	}
	if set != len(ids) {
		t.Fatalf("%d flags are set, want %d", set, len(ids))
	}
	var config struct {
		Draft int `json:"draft_vocab_size"`
		Vocab int `json:"vocab_size"`
	}
	if err := json.Unmarshal(c.ConfigJSON(), &config); err != nil || config.Draft != len(ids) || config.Vocab != vocab {
		t.Fatalf("config %+v, %v", config, err)
	}
}

// writeDraft makes a checkpoint of random matrices.
func writeDraft(t *testing.T, config string, shapes map[string][]int) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	var list []formats.LazyTensor
	for name, shape := range shapes {
		data := make([]byte, 4*tensor.Elements(shape))
		for i := range data {
			data[i] = byte(i*7 + len(name)) // the last byte of no float is that of an infinity for all
		}
		list = append(list, formats.LazyTensor{Info: formats.Info{Name: name, DType: tensor.F32, Shape: shape}, Write: func(to io.Writer) error {
			_, err := to.Write(data)
			return err
		}})
	}
	if err := formats.WriteSafetensors(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestHeadsAreFoundWhateverTheyAreCalled(t *testing.T) {
	const vocab = 40
	medusa := map[string][]int{"0.0.linear.weight": {8, 8}, "0.0.linear.bias": {8}, "0.1.weight": {vocab, 8}, "1.0.linear.weight": {8, 8}, "1.1.weight": {vocab, 8}}
	hydra := map[string][]int{"hydra_mlp.0.0.linear.weight": {8, 16}, "hydra_lm_head.0.weight": {vocab, 8}, "hydra_lm_head.0.bias": {vocab}}
	eagle3 := map[string][]int{"midlayer.self_attn.q_proj.weight": {8, 16}, "fc.weight": {8, 24}, "lm_head.weight": {vocab, 8}, "embed_tokens.weight": {vocab, 8}}
	for what, d := range map[string]struct {
		config string
		shapes map[string][]int
		heads  []string
		ownMap bool // token_map too
	}{
		"medusa": {`{"medusa_num_heads":2,"vocab_size":40}`, medusa, []string{"0.1.weight", "1.1.weight"}, true},
		"hydra":  {`{"model_type":"hydra","vocab_size":40}`, hydra, []string{"hydra_lm_head.0.bias", "hydra_lm_head.0.weight"}, true},
		"eagle3": {`{"model_type":"llama","architectures":["LlamaForCausalLMEagle3"],"vocab_size":40,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2}`,
			eagle3, []string{"lm_head.weight"}, false},
	} {
		c := writeDraft(t, d.config, d.shapes)
		h, err := OpenHeads(c, 0, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		found := h.Names()
		slices.Sort(found)
		if !slices.Equal(found, d.heads) {
			t.Errorf("%s: heads %v, want %v", what, found, d.heads)
		}
		ids := everyThird(vocab)
		v, err := h.View(ids)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		checkMaps(t, v, ids, vocab)
		for name, shape := range d.shapes {
			info, err := v.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(d.heads, name) {
				shape = append([]int{len(ids)}, shape[1:]...)
			}
			if !slices.Equal(info.Shape, shape) {
				t.Errorf("%s: %s has shape %v, want %v", what, name, info.Shape, shape)
			}
		}
		if _, err := v.Info("token_map"); (err == nil) != d.ownMap || strings.Contains(string(v.ConfigJSON()), "truncated_vocab_size") != d.ownMap {
			t.Errorf("%s: token_map is there: %v, want %v", what, err == nil, d.ownMap)
		}
		if !d.ownMap {
			continue
		}
		list := make([]byte, 8*len(ids))
		if err := v.ReadRaw("token_map", list, 0); err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if got := binary.LittleEndian.Uint64(list[8*i:]); got != uint64(id) {
				t.Fatalf("%s: token_map[%d] is %d, want %d", what, i, got, id)
			}
		}
	}
}

func TestADraftWithoutAHeadTakesThatOfItsTarget(t *testing.T) {
	o := openShared(t, "pith-ref", "wikitext-2.valid.txt")
	config := `{"model_type":"llama","vocab_size":4096,"hidden_size":256,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2}`
	draft := writeDraft(t, config, map[string][]int{"fc.weight": {256, 512}, "layers.0.mlp.up_proj.weight": {8, 256}})
	if _, err := OpenHeads(draft, 0, nil); err == nil || !strings.Contains(err.Error(), "target") {
		t.Errorf("no head and no target: %v", err)
	}
	h, err := OpenHeads(draft, 0, o.ckpt)
	if err != nil {
		t.Fatal(err)
	}
	ids := everyThird(4096)
	v, err := h.View(ids)
	if err != nil {
		t.Fatal(err)
	}
	checkMaps(t, v, ids, 4096)
	got, want := tensor.NewMat(1, 256), tensor.NewMat(1, 256)
	for i, id := range ids {
		if err := v.ReadRows("lm_head.weight", got, i); err != nil {
			t.Fatal(err)
		}
		if err := o.ckpt.ReadRows("lm_head.weight", want, int(id)); err != nil || !slices.Equal(got.Data, want.Data) {
			t.Fatalf("row %d is not the target's %d (%v)", i, id, err)
		}
	}
}
