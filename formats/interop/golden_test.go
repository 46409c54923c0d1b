package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pith/codec"
	"pith/formats"
	"pith/model"
	"pith/tensor"
)

// plainWeights serves a safetensors file as model.Weights.
type plainWeights struct{ formats.Source }

func (w plainWeights) Shape(name string) ([]int, error) {
	info, err := w.Info(name)
	return info.Shape, err
}

func (w plainWeights) Load(name string) (*codec.Weight, error) {
	t, err := formats.Read(w.Source, name)
	if err != nil {
		return nil, err
	}
	rows, cols := 1, tensor.Elements(t.Shape)
	if len(t.Shape) > 1 {
		cols = t.Shape[len(t.Shape)-1]
		rows = tensor.Elements(t.Shape) / cols
	}
	term, err := codec.Dense(name, t.DType, rows, cols, t.Data)
	if err != nil {
		return nil, err
	}
	return &codec.Weight{Name: name, Rows: rows, Cols: cols, Shape: t.Shape, Terms: []codec.Term{term}}, nil
}

// expressible lists the golden models that GGUF can express, and what in their configs must change for it: llama.cpp scales gemma's attention by the head size.
var expressible = map[string]map[string]any{
	"llama": nil, "llama_bias_tied": nil, "llama_linear": nil, "llama_llama3": nil, "llama_yarn": nil, "llama_dynamic": nil,
	"mistral": nil, "qwen2": nil, "qwen3": nil, "phi3": nil, "phi3_longrope_long": nil, "phi3_longrope_short": nil,
	"gpt2": nil, "gpt_neox": nil,
	"gemma2": {"query_pre_attn_scalar": 16}, "gemma3_text": {"query_pre_attn_scalar": 16},
}

// golden opens one of model's golden models, with some of its config's fields changed.
func golden(t *testing.T, name string, change map[string]any) (model.Config, plainWeights) {
	t.Helper()
	dir := filepath.Join("..", "..", "model", "testdata", name)
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for k, v := range change {
		fields[k] = v
	}
	data, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	c, err := model.ParseConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := formats.OpenSafetensors(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return c, plainWeights{s}
}

// values returns a weight in checkpoint orientation.
func values(t *testing.T, w *codec.Weight) []float32 {
	t.Helper()
	m := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(m, 0)
	if !w.Transposed {
		return m.Data
	}
	out := make([]float32, len(m.Data))
	for r := range m.Rows {
		for c, v := range m.Row(r) {
			out[c*m.Rows+r] = v
		}
	}
	return out
}

func load(t *testing.T, w model.Weights, name string) *codec.Weight {
	t.Helper()
	x, err := w.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestEveryTensorOfEveryArchitectureSurvivesTheTripThroughGGUF(t *testing.T) {
	for name, change := range expressible {
		t.Run(name, func(t *testing.T) {
			c, w := golden(t, name, change)
			for _, dense := range []tensor.DType{tensor.Invalid, tensor.F32} {
				path := filepath.Join(t.TempDir(), "m.gguf")
				if err := ExportGGUF(path, c, testTokenizer(t, c.Vocab), w, GGUFOptions{Dense: dense}); err != nil {
					t.Fatal(err)
				}
				m, err := OpenGGUF(path)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				compareWeights(t, w, m)
				back, err := model.ParseConfig(m.ConfigJSON())
				if err != nil {
					t.Fatalf("%v in\n%s", err, m.ConfigJSON())
				}
				compareLogits(t, c, w, back, m)
				// A second trip must not change a byte.
				again := filepath.Join(t.TempDir(), "again.gguf")
				if err := ExportGGUF(again, back, testTokenizer(t, c.Vocab), m, GGUFOptions{Dense: dense}); err != nil {
					t.Fatal(err)
				}
				compareData(t, path, again)
			}
		})
	}
}

func compareWeights(t *testing.T, w plainWeights, m *GGUFModel) {
	t.Helper()
	names := w.Names()
	if c := m.arch.ModelType; c == "gpt2" {
		for i, n := range names {
			names[i] = m.arch.Canonical(n)
		}
	}
	if got := m.Names(); !slices.Equal(got, names) {
		t.Fatalf("names %v\nwant %v", got, names)
	}
	for _, n := range names {
		want, got := values(t, load(t, w, n)), values(t, load(t, m, n))
		shape, _ := w.Shape(n)
		if back, err := m.Shape(n); err != nil || !slices.Equal(back, shape) {
			t.Errorf("%s: shape %v, want %v", n, back, shape)
		}
		_, layout, _ := m.arch.ToGGUF(n)
		for i := range want {
			// 1 + w is rounded to float32 once; everything else is moved, not computed with.
			if want[i] != got[i] && !(layout == PlusOne && math.Abs(float64(want[i]-got[i])) <= 1.0/(1<<23)) {
				t.Errorf("%s: element %d is %v, was %v", n, i, got[i], want[i])
				break
			}
		}
		checkReadAt(t, m, n)
	}
}

// checkReadAt compares odd windows of ReadAt with the weight that Load gives.
func checkReadAt(t *testing.T, m *GGUFModel, name string) {
	t.Helper()
	data := load(t, m, name).Terms[0].Parts()[0].Data
	for _, window := range [][2]int{{0, len(data)}, {1, len(data) - 1}, {len(data) / 3, len(data)/3 + 5}, {len(data), len(data)}} {
		buf := make([]byte, window[1]-window[0])
		if err := m.ReadAt(name, buf, int64(window[0])); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf, data[window[0]:window[1]]) {
			t.Errorf("%s: bytes %v differ from the loaded weight's", name, window)
		}
	}
}

func compareLogits(t *testing.T, c model.Config, w model.Weights, back model.Config, m model.Weights) {
	t.Helper()
	tokens := 24
	if c.Rope.Type == "dynamic" {
		tokens = 16 // llama.cpp has no dynamic scaling, so it is not written
	}
	logits := func(c model.Config, w model.Weights) tensor.Mat {
		x, err := model.New(c, w, 1)
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]int32, tokens)
		for i := range ids {
			ids[i] = int32((i*i + 3) % c.Vocab)
		}
		return x.Logits(x.Forward([][]int32{ids}))
	}
	a, b := logits(c, w), logits(back, m)
	for i := range a.Data {
		if math.Abs(float64(a.Data[i]-b.Data[i])) > 2e-5*(1+math.Abs(float64(a.Data[i]))) {
			t.Fatalf("logit %d is %v, was %v; config:\n%+v\n%+v", i, b.Data[i], a.Data[i], c, back)
		}
	}
}

// compareData demands that two GGUF files hold the same tensors, byte for byte.
func compareData(t *testing.T, a, b string) {
	t.Helper()
	x, err := formats.OpenGGUF(a)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	y, err := formats.OpenGGUF(b)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	if !slices.Equal(x.Names(), y.Names()) {
		t.Fatalf("names differ: %v and %v", x.Names(), y.Names())
	}
	for _, n := range x.Names() {
		p, err := formats.Read(x, n)
		if err != nil {
			t.Fatal(err)
		}
		q, err := formats.Read(y, n)
		if err != nil {
			t.Fatal(err)
		}
		if p.DType != q.DType || !bytes.Equal(p.Data, q.Data) {
			t.Errorf("%s differs", n)
		}
	}
}

func TestModelsThatLlamaCppWouldComputeDifferentlyAreRefused(t *testing.T) {
	for name, want := range map[string]string{"gemma2": "query_pre_attn_scalar", "gpt2_scaled": "scale_attn_by_inverse_layer_idx", "llama_yarn_mscale": "mscale", "gpt_neox_serial": "attention biases"} {
		c, w := golden(t, name, nil)
		err := ExportGGUF(filepath.Join(t.TempDir(), "m.gguf"), c, testTokenizer(t, c.Vocab), w, GGUFOptions{})
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestWarningsSayWhatLlamaCppComputesDifferently(t *testing.T) {
	for name, want := range map[string]string{"mistral": "sliding window", "llama_dynamic": "dynamic", "gpt_neox": "GELU"} {
		c, w := golden(t, name, nil)
		var said bytes.Buffer
		err := ExportGGUF(filepath.Join(t.TempDir(), "m.gguf"), c, testTokenizer(t, c.Vocab), w, GGUFOptions{Warn: func(s string) { fmt.Fprintln(&said, s) }})
		if err != nil || !bytes.Contains(said.Bytes(), []byte(want)) {
			t.Errorf("%s: %v, said %q", name, err, said.String())
		}
	}
}
