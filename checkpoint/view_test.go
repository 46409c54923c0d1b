package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pith/formats/interop"
	"pith/internal/synth/llama"
	"pith/model"
	"pith/tensor"
)

// goldens opens the tiny models of every architecture.
func goldens(t *testing.T) map[string]*Checkpoint {
	t.Helper()
	dirs, err := filepath.Glob("../model/testdata/*/config.json")
	if err != nil || len(dirs) < 15 {
		t.Fatalf("%d models (%v)", len(dirs), err)
	}
	all := map[string]*Checkpoint{}
	for _, d := range dirs {
		dir := filepath.Dir(d)
		all[filepath.Base(dir)] = open(t, dir)
	}
	return all
}

func logits(t *testing.T, c *Checkpoint) []float32 {
	t.Helper()
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(cfg, c, 2)
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]int32, 24)
	for i := range tokens {
		tokens[i] = int32(i * 7 % 90)
	}
	return m.Logits(m.Forward([][]int32{tokens})).Data
}

func TestAViewOfAllLayersIsTheCheckpoint(t *testing.T) {
	for name, c := range goldens(t) {
		v, err := c.View(Edit{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(v.Names(), c.Names()) || !bytes.Equal(v.ConfigJSON(), c.ConfigJSON()) || v.Bytes() != c.Bytes() {
			t.Errorf("%s: names, config or size differ", name)
		}
		if !slices.Equal(logits(t, v), logits(t, c)) {
			t.Errorf("%s: other logits", name)
		}
	}
}

func TestAViewWrittenAsGGUFGivesItsLogits(t *testing.T) {
	exact := 0
	for name, c := range goldens(t) {
		cfg, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		layers := []int{0, 2}
		if cfg.Layers < 3 || cfg.ScaleByLayer {
			layers = []int{0}
		}
		v, err := c.View(Edit{Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		if cfg, err = v.Config(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "view.gguf")
		err = interop.ExportGGUF(path, cfg, nil, v, interop.GGUFOptions{Dense: tensor.F32})
		whole, wholeErr := c.Config()
		if wholeErr != nil {
			t.Fatal(wholeErr)
		}
		if asWhole := interop.ExportGGUF(path+".whole", whole, nil, c, interop.GGUFOptions{Dense: tensor.F32}); asWhole != nil {
			continue // what GGUF cannot express of the whole model is no matter of views
		}
		if !slices.Equal(logits(t, open(t, path+".whole")), logits(t, c)) {
			continue // as are scaled rotary factors that a file rounds
		}
		exact++
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(logits(t, open(t, path)), logits(t, v)) {
			t.Errorf("%s: other logits from GGUF", name)
		}
	}
	if exact < 9 {
		t.Errorf("only %d models compared", exact)
	}
}

func TestAViewReadsThroughToItsLayersAndMadeTensors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := llama.Write(dir, llama.Shapes()["mini"], llama.Options{Seed: 2, DType: tensor.BF16}); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir)
	made := bytes.Repeat([]byte{0, 0, 128, 63}, 256) // ones
	norm := "model.layers.1.input_layernorm.weight"
	v, err := c.View(Edit{Layers: []int{0, 2}, Made: []Made{
		{Name: norm, DType: tensor.F32, Shape: []int{256}, Data: func() ([]byte, error) { return made, nil }},
		{Name: "extra.bias", DType: tensor.F32, Shape: []int{1, 256}, Data: func() ([]byte, error) { return made, nil }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Names()) - 9 + 1; len(v.Names()) != n || !slices.IsSorted(v.Names()) {
		t.Errorf("%d names, want %d in order", len(v.Names()), n)
	}
	from, at := "model.layers.2.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
	info, err := v.Info(at)
	if err != nil || info.Name != at || info.Rows != 640 {
		t.Errorf("info %+v, %v", info, err)
	}
	want, got := tensor.NewMat(7, 256), tensor.NewMat(7, 256)
	if err := c.ReadRows(from, want, 11); err != nil {
		t.Fatal(err)
	}
	if err := v.ReadRows(at, got, 11); err != nil || !slices.Equal(got.Data, want.Data) {
		t.Errorf("other rows (%v)", err)
	}
	raw, rawWant := make([]byte, 100), make([]byte, 100)
	if err := c.ReadRaw(from, rawWant, 33); err != nil {
		t.Fatal(err)
	}
	if err := v.ReadRaw(at, raw, 33); err != nil || !bytes.Equal(raw, rawWant) {
		t.Errorf("other bytes (%v)", err)
	}
	w, err := v.Load(at)
	if err != nil || w.Name != at {
		t.Errorf("loaded %v, %v", w, err)
	}
	for _, name := range []string{norm, "extra.bias"} {
		w, err := v.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		row, read := tensor.NewMat(1, 256), tensor.NewMat(1, 256)
		w.ReadRows(row, 0)
		if err := v.ReadRows(name, read, 0); err != nil || row.Data[255] != 1 || read.Data[0] != 1 {
			t.Errorf("%s: %v %v %v", name, row.Data[255], read.Data[0], err)
		}
		if err := v.ReadRaw(name, raw[:4], 8); err != nil || raw[2] != 128 {
			t.Errorf("%s: bytes %v, %v", name, raw[:4], err)
		}
	}
	if _, err := v.Info("model.layers.2.mlp.up_proj.weight"); err == nil {
		t.Error("a layer that is gone is found")
	}
	if !slices.Equal(v.Layers(), []int{0, 2}) || c.Layers() != nil {
		t.Errorf("layers %v and %v", v.Layers(), c.Layers())
	}
}

func TestAViewOfAGGUFFileKeepsItsTokenizerAndEditsItsConfig(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := llama.Write(dir, llama.Shapes()["mini"], llama.Options{Seed: 2, DType: tensor.BF16}); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir)
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "whole.gguf")
	if err := interop.ExportGGUF(path, cfg, tok, c, interop.GGUFOptions{}); err != nil {
		t.Fatal(err)
	}
	fromGGUF, err := open(t, path).View(Edit{Layers: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	fromDir, err := c.View(Edit{Layers: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(logits(t, fromGGUF), logits(t, fromDir)) {
		t.Error("other logits")
	}
	if again, err := fromGGUF.Tokenizer(); err != nil || again.Size() != tok.Size() {
		t.Errorf("tokenizer: %v", err)
	}
	contents, err := fromGGUF.ConfigContents()
	if err != nil || contents[0].Name != "config.json" {
		t.Fatalf("%v", err)
	}
	edited, err := model.ParseConfig(contents[0].Data)
	if err != nil || edited.Layers != 1 {
		t.Errorf("config.json says %d layers (%v)", edited.Layers, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
