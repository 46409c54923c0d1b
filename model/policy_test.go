package model

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pith/codec"
)

// ofAtoms returns a model whose layers' matrices are combinations of the first and the last layer's.
func ofAtoms(t testing.TB, layers int) *Model {
	t.Helper()
	m := synthesize(t, narrowLlama(t, layers), synthesizer(narrowLlama(t, layers), "int8-g32"), 2)
	c, err := codec.Parse("int8-g32")
	if err != nil {
		t.Fatal(err)
	}
	first, last := m.layers[0], m.layers[layers-1]
	for i := range m.layers {
		for _, lin := range []struct{ to, a, b *linear }{{&m.layers[i].qkv, &first.qkv, &last.qkv}, {&m.layers[i].out, &first.out, &last.out}, {&m.layers[i].up, &first.up, &last.up}, {&m.layers[i].down, &first.down, &last.down}} {
			parts := slices.Clone(lin.to.parts)
			for p := range parts {
				w := *parts[p].w
				w.Terms = []codec.Term{codec.AtomsOf(2, c).Combine([]float32{0.5, float32(i+1) / 8}, []codec.Term{lin.a.parts[p].w.Terms[0], lin.b.parts[p].w.Terms[0]})}
				parts[p].w = &w
			}
			lin.to.parts = parts
		}
	}
	return m
}

// Prompts give the same states whichever policy makes the rows; single tokens differ by no more than activations rounded to int8 do, and sessions
// side by side do not disturb one another.
func TestPoliciesAgree(t *testing.T) {
	for _, layers := range []int{1, 2, 3, 4} {
		m := ofAtoms(t, layers)
		tokens := []int32{1, 5, 30, 17, 2, 25, 9, 8, 7, 6, 11, 12}
		if err := m.SetPolicy(Direct); err != nil {
			t.Fatal(err)
		}
		want := m.Forward([][]int32{tokens})
		direct := decode(t, m, tokens)
		if err := m.SetPolicy(Materialise); err != nil || m.Policy() != Materialise {
			t.Fatal(err)
		}
		if got := m.Forward([][]int32{tokens}); !slices.Equal(got.Data, want.Data) {
			t.Errorf("%d layers: a prompt's states depend on the policy", layers)
		}
		done := make(chan []float32)
		for range 2 {
			go func() { done <- decode(t, m, tokens) }()
		}
		for range 2 {
			made := <-done
			if len(made) == 0 || distanceOf(made, direct) > 0.1*largestOf(direct) {
				t.Errorf("%d layers: logits of single tokens differ by %g of %g", layers, distanceOf(made, direct), largestOf(direct))
			}
		}
	}
}

func decode(t testing.TB, m *Model, tokens []int32) []float32 {
	s := m.NewSession(len(tokens))
	var logits []float32
	for _, token := range tokens {
		got, err := s.Feed([]int32{token})
		if err != nil {
			t.Error(err)
			return nil
		}
		logits = append(logits, got...)
	}
	return logits
}

func distanceOf(a, b []float32) (worst float64) {
	for i, v := range a {
		worst = max(worst, math.Abs(float64(v-b[i])))
	}
	return worst
}

func largestOf(a []float32) (worst float64) {
	for _, v := range a {
		worst = max(worst, math.Abs(float64(v)))
	}
	return worst
}

func TestPoliciesAreForModelsMadeOfAtoms(t *testing.T) {
	m := ofAtoms(t, 3)
	if err := m.SetPolicy(AutoPolicy); err != nil || m.Policy() != Direct {
		t.Errorf("auto is %s (%v)", m.Policy(), err)
	}
	var most int64
	for _, t := range []*linear{&m.layers[0].qkv, &m.layers[0].out, &m.layers[0].up, &m.layers[0].down} {
		for _, p := range t.parts {
			most += p.w.Bytes() - 8
		}
	}
	if got := m.AtomBytes(); got != most {
		t.Errorf("%d bytes of atoms in a layer, want %d", got, most)
	}
	if err := m.SetPolicy("fold"); err == nil {
		t.Error("an unknown policy is accepted")
	}
	plain := synthesize(t, narrowLlama(t, 2), synthesizer(narrowLlama(t, 2), "int8-g32"), 1)
	if err := plain.SetPolicy(Materialise); err != nil || plain.Policy() != Direct {
		t.Error("a model without atoms has combinations to make")
	}
}

// Atoms count once however many weights are made of them, and so does what is made of them.
func TestResidentBytesCountWhatIsInCommonOnce(t *testing.T) {
	const layers = 4
	m := ofAtoms(t, layers)
	whole := synthesize(t, narrowLlama(t, 2), synthesizer(narrowLlama(t, 2), "int8-g32"), 1).Resident()
	got := m.Resident()
	if coefficients := int64(4 * 2 * 7 * layers); got.Weights != whole.Weights+coefficients || got.Made != 0 {
		t.Errorf("%+v; two layers hold %d, coefficients %d", got, whole.Weights, coefficients)
	}
	if err := m.SetPolicy(Materialise); err != nil {
		t.Fatal(err)
	}
	var matrices int64
	m.layers[0].weights(func(w *codec.Weight) { matrices += 4 * int64(w.Rows) * int64(w.Cols) })
	if got := m.Resident().Made; got != 2*matrices {
		t.Errorf("%d bytes are made, two layers have %d", got, 2*matrices)
	}
}

func TestCacheSizesAreReadAsLinuxWritesThem(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index0": "32K\n", "index2": "1024K\n", "index3": "2M\n", "index4": "nonsense\n", "index5": "-5K\n"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "size"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := cacheBytes(dir); err != nil || n != 2<<20 {
		t.Errorf("%d bytes (%v)", n, err)
	}
	if _, err := cacheBytes(t.TempDir()); err == nil {
		t.Error("no cache has a size")
	}
}

func narrowLlama(t testing.TB, layers int) Config {
	t.Helper()
	c, err := ParseConfig(fmt.Appendf(nil, `{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": %d, "num_attention_heads": 4,
		"num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}`, layers))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
