package model

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// withShortcuts adds shortcuts, all the same multiple of the identity, to a checkpoint.
type withShortcuts struct {
	*safetensorsFile
	hidden int
	scale  float32
	names  []string
}

func (w withShortcuts) Names() []string { return append(w.safetensorsFile.Names(), w.names...) }
func (w withShortcuts) Shape(name string) ([]int, error) {
	if slices.Contains(w.names, name) {
		return []int{w.hidden, w.hidden}, nil
	}
	return w.safetensorsFile.Shape(name)
}
func (w withShortcuts) Load(name string) (*codec.Weight, error) {
	if !slices.Contains(w.names, name) {
		return w.safetensorsFile.Load(name)
	}
	data := make([]byte, 4*w.hidden*w.hidden)
	for i := range w.hidden {
		binary.LittleEndian.PutUint32(data[4*(i*w.hidden+i):], math.Float32bits(w.scale))
	}
	t, err := codec.Dense(name, tensor.F32, w.hidden, w.hidden, data)
	return &codec.Weight{Name: name, Rows: w.hidden, Cols: w.hidden, Terms: []codec.Term{t}}, err
}

// shortcutModel opens the llama golden with shortcuts behind the attention of layer 1 and the MLP of layer 0.
func shortcutModel(t *testing.T, scale float32) (golden, *Model) {
	t.Helper()
	g, config, file := openGolden(t, "llama")
	edited, err := WithShortcuts(config, Shortcuts{Attention: []int{1}, MLP: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(edited)
	if err != nil {
		t.Fatal(err)
	}
	w := withShortcuts{file, c.Hidden, scale, []string{"model.layers.1.attn_shortcut.weight", "model.layers.0.mlp_shortcut.weight"}}
	m, err := New(c, w, 2)
	if err != nil {
		t.Fatal(err)
	}
	return g, m
}

func TestIdentityShortcutsChangeNothingAndOthersDo(t *testing.T) {
	g, m := shortcutModel(t, 1)
	g.check(t, m)
	want := openModel(t, g.dir, 2)
	if !slices.Equal(m.Forward([][]int32{g.Input}).Data, want.Forward([][]int32{g.Input}).Data) {
		t.Error("identity shortcuts change bits")
	}
	_, twice := shortcutModel(t, 2)
	full := twice.Logits(twice.Forward([][]int32{g.Input}))
	if slices.Equal(full.Data, want.Logits(want.Forward([][]int32{g.Input})).Data) {
		t.Error("shortcuts are not multiplied")
	}
	s := twice.NewSession(len(g.Input))
	got, err := s.Feed(g.Input[:20])
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range twice.Logits(twice.Forward([][]int32{g.Input[:20]})).Row(19) {
		if math.Abs(float64(v-got[i])) > 1e-4*(1+math.Abs(float64(v))) {
			t.Fatalf("logit %d of a session is %v, of the whole %v", i, got[i], v)
		}
	}
	if r := Role(twice.config, "model.layers.0.mlp_shortcut.weight"); r != "shortcut" {
		t.Errorf("role %s", r)
	}
	if n := ShortcutName(twice.config, "model.layers.1.mlp.up_proj.weight", false); n != "model.layers.1.attn_shortcut.weight" {
		t.Errorf("name %s", n)
	}
}

func TestConfigsWithShortcutsThatCannotBeAreErrors(t *testing.T) {
	config, err := os.ReadFile(filepath.Join("testdata", "llama", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	edited, err := WithShortcuts(config, Shortcuts{MLP: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SelectLayers(edited, []int{0}); !errors.Is(err, ErrShortcuts) {
		t.Errorf("selecting layers: %v", err)
	}
	for _, s := range []Shortcuts{{}, {MLP: []int{1, 0}}, {Attention: []int{9}}, {MLP: []int{-1}}} {
		if _, err := WithShortcuts(config, s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	if _, err := ParseConfig([]byte(strings.Replace(string(edited), `"shortcuts"`, `"short"`, 1))); err == nil {
		t.Error("no shortcuts in a model with shortcuts")
	}
	gemma, err := os.ReadFile(filepath.Join("testdata", "gemma2", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WithShortcuts(gemma, Shortcuts{MLP: []int{0}}); err == nil {
		t.Error("shortcuts beside gemma's norms")
	}
}
