package structure

import (
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// A weight replaced by itself changes nothing, by another it does, and the network is as it was afterwards.
func TestProbesMeasureOneWeightAtATime(t *testing.T) {
	c := tiny(t, 3)
	p, err := NewProber(t.Context(), c, words(900), Options{Context: 32, Windows: 3, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	probe := func(name string, scale float32) float64 {
		w, err := c.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		m := tensor.NewMat(w.Rows, w.Cols)
		w.ReadRows(m, 0)
		for i := range m.Data {
			m.Data[i] *= scale
		}
		data := make([]byte, 4*len(m.Data))
		tensor.Encode(data, tensor.F32, m.Data)
		term, err := codec.Dense(name, tensor.F32, w.Rows, w.Cols, data)
		if err != nil {
			t.Fatal(err)
		}
		kl, err := p.KL(t.Context(), name, term)
		if err != nil {
			t.Fatal(err)
		}
		return kl
	}
	for _, name := range []string{"model.layers.0.mlp.up_proj.weight", "model.layers.2.self_attn.v_proj.weight", "model.embed_tokens.weight", "lm_head.weight"} {
		same, half, none := probe(name, 1), probe(name, 0.5), probe(name, 0)
		if same > 1e-9 || half <= 1e-9 || none <= half || probe(name, 0.5) != half {
			t.Errorf("%s: KL %g as it is, %g halved, %g left out", name, same, half, none)
		}
	}
	term, _ := codec.Dense("w", tensor.F32, 1, 1, make([]byte, 4))
	for _, name := range []string{"model.norm.weight", "lm_head.weight", "model.layers.0.mlp.up_proj.weight"} {
		if _, err := p.KL(t.Context(), name, term); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
