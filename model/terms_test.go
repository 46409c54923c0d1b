package model

import (
	"slices"
	"sync"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// halves returns the terms W/4 and 3W/4 of every matrix of m's layers, and W itself.
func halves(t *testing.T, m *Model) (parts, whole map[string][]codec.Term) {
	t.Helper()
	parts, whole = map[string][]codec.Term{}, map[string][]codec.Term{}
	f32, err := codec.Parse("f32")
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.layers {
		l := &m.layers[i]
		for _, lin := range []*linear{&l.qkv, &l.out, &l.up, &l.down} {
			for _, p := range lin.parts {
				whole[p.w.Name] = p.w.Terms
				for _, share := range []float32{0.25, 0.75} {
					w := tensor.NewMat(p.w.Rows, p.w.Cols)
					p.w.ReadRows(w, 0)
					for i := range w.Data {
						w.Data[i] *= share
					}
					g, err := f32.Fit(w, nil, codec.FitOptions{})
					if err != nil {
						t.Fatal(err)
					}
					codec.RoundAll(g, w, 1)
					parts[p.w.Name] = append(parts[p.w.Name], g.Pack())
				}
			}
		}
	}
	return parts, whole
}

func TestSetTermsChangesWhatTheNextPassMultiplies(t *testing.T) {
	g := goldens(t)[0]
	m := openModel(t, g.dir, 2)
	tokens := [][]int32{g.Input}
	want := m.Logits(m.Forward(tokens))
	parts, whole := halves(t, m)
	bytes := m.TermBytes()
	before, err := m.SetTerms(parts)
	if err != nil || len(before) != len(whole) {
		t.Fatal(len(before), err)
	}
	if m.TermBytes() <= bytes {
		t.Errorf("%d bytes of terms in place of %d", m.TermBytes(), bytes)
	}
	if d := difference(m.Logits(m.Forward(tokens)).Row(0), toFloat64(want.Row(0))); !(d < 1e-5) {
		t.Errorf("the logits of two terms that sum to one differ by %g", d)
	}
	for name, list := range parts {
		if _, err := m.SetTerms(map[string][]codec.Term{name: list[:1]}); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Equal(m.Logits(m.Forward(tokens)).Data, want.Data) {
		t.Error("a quarter of every weight gives the same logits")
	}
	if _, err := m.SetTerms(before); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Logits(m.Forward(tokens)).Data, want.Data) || m.TermBytes() != bytes {
		t.Error("the logits are not what they were")
	}
	if _, err := m.SetTerms(map[string][]codec.Term{"no.such.weight": nil}); err == nil {
		t.Error("a weight that is not there is replaced")
	}
	for name := range whole {
		wrong, err := codec.Dense(name, tensor.F32, 1, 3, make([]byte, 12))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.SetTerms(map[string][]codec.Term{name: {wrong}}); err == nil {
			t.Errorf("%s: a term of another shape is taken", name)
		}
	}
}

// Every pass sees one set of terms, whatever happens beside it. The race detector watches too, where it is on.
func TestTermsAreReplacedBetweenPassesOnly(t *testing.T) {
	g := goldens(t)[0]
	m := openModel(t, g.dir, 2)
	parts, whole := halves(t, m)
	tokens := [][]int32{g.Input}
	first := m.Forward(tokens)
	if _, err := m.SetTerms(parts); err != nil {
		t.Fatal(err)
	}
	second := m.Forward(tokens)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 15 {
				if h := m.Forward(tokens); !slices.Equal(h.Data, first.Data) && !slices.Equal(h.Data, second.Data) {
					t.Error("a pass saw terms of both sets")
				}
			}
		})
	}
	for range 20 {
		for _, terms := range []map[string][]codec.Term{whole, parts} {
			if _, err := m.SetTerms(terms); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
}
