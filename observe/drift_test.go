package observe

import (
	"math"
	"slices"
	"testing"

	"pith/calib"
	"pith/model"
	"pith/tensor"
)

func TestWithoutReplacedWeightsNothingDrifts(t *testing.T) {
	c := tiny(t)
	for _, o := range []Options{{Context: 64, Drift: true}, {Context: 64, Drift: true, HiddenBytes: 1}, {Context: 64, Drift: true, Workers: 3}} {
		b, plain := observer(t, c, o), observer(t, c, Options{Context: 64})
		for i := range b.Config().Layers {
			want, err := plain.Step(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range b.Sites() {
				if s.Layer != i {
					continue
				}
				got, err := b.Drift(t.Context(), i, nil, s.Name)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got.Gram, want[s.Name].Gram) || got.Tokens != want[s.Name].Tokens {
					t.Errorf("%s: other sums than without drift", s.Name)
				}
				if !zero(got.Drift.Input) || !zero(got.Drift.Output) {
					t.Errorf("%s: a network drifts from itself", s.Name)
				}
				if adds := s.Name[len(s.Name)-3:] == "out" || s.Name[len(s.Name)-4:] == "down"; adds != (got.Drift.Output != nil) {
					t.Errorf("%s: a drift of outputs: %t", s.Name, !adds)
				}
			}
			if err := b.Advance(t.Context(), i, nil); err != nil {
				t.Fatal(err)
			}
		}
		want, err := plain.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Gram, want.Gram) || !zero(got.Drift.Input) || got.Drift.Output != nil {
			t.Error("the head's input drifts, or has other sums")
		}
	}
}

func zero(x []float32) bool {
	return !slices.ContainsFunc(x, func(v float32) bool { return v != 0 })
}

// seen are the rows that watchers were shown.
type seen struct{ in, residual []float32 }

func (s *seen) watch(in, residual tensor.Mat) {
	for r := range in.Rows {
		s.in = append(s.in, in.Row(r)...)
		if residual.Cols > 0 {
			s.residual = append(s.residual, residual.Row(r)...)
		}
	}
}

// The sums of a drift are those of the two networks' inputs and residuals, here taken window by window.
func TestDriftIsOfTheTwoNetworksInputs(t *testing.T) {
	c := tiny(t)
	b := observer(t, c, Options{Context: 64, Drift: true})
	over := doubled{c, []string{"model.embed_tokens.weight", "model.layers.0.self_attn.v_proj.weight", "model.layers.1.self_attn.o_proj.weight"}}
	if err := b.Embed(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	if err := b.Advance(t.Context(), 0, over); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"layers.1.qkv", "layers.1.out", "layers.1.up", "layers.1.down"} {
		got, err := b.Drift(t.Context(), 1, over, site)
		if err != nil {
			t.Fatal(err)
		}
		was, is := walk(t, b, nil, site), walk(t, b, over, site)
		n := len(got.SqSum)
		tokens := len(is.in) / n
		compare(t, site+" input", got, got.Drift.Input, was.in, is.in, n, tokens, is.in)
		if len(is.residual) > 0 {
			compare(t, site+" output", got, got.Drift.Output, was.residual, is.residual, len(is.residual)/tokens, tokens, is.in)
		}
		if zero(got.Drift.Input) {
			t.Errorf("%s does not drift", site)
		}
	}
}

// walk runs all windows through the layers up to a site of layer 1, with over's weights if over is given.
func walk(t *testing.T, b *Observer, over model.Weights, site string) (s seen) {
	t.Helper()
	layers := b.layers.With(over)
	e, err := layers.Embedding()
	if err != nil {
		t.Fatal(err)
	}
	first, err := layers.Layer(0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := layers.Layer(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range b.windows {
		x := tensor.NewMat(len(w), b.config.Hidden)
		e.Forward(x, w)
		first.Forward(x, []int{len(w)}, nil)
		second.Reach(x, tensor.Mat{}, []int{len(w)}, site, s.watch)
	}
	return s
}

// compare wants Σ (was - is)_i·in_j, up to the rounding of float32 sums.
func compare(t *testing.T, what string, s *calib.Stats, got, was, is []float32, m, tokens int, in []float32) {
	t.Helper()
	n := len(s.SqSum)
	for i := range m {
		for j := range n {
			var want, size float64
			for r := range tokens {
				v := float64(was[r*m+i]-is[r*m+i]) * float64(in[r*n+j])
				want, size = want+v, size+math.Abs(v)
			}
			if math.Abs(float64(got[i*n+j])-want) > 1e-5*size {
				t.Fatalf("%s: element (%d, %d) is %g, want %g", what, i, j, got[i*n+j], want)
			}
		}
	}
}
