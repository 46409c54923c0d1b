package calib

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pith/tensor"
)

// integers returns small ones, whose sums of products are exact.
func integers(rng *rand.Rand, rows, cols int) tensor.Mat {
	m := tensor.NewMat(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(rng.IntN(9) - 4)
	}
	return m
}

func TestDriftSumsProductsWithTheInput(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const tokens, features, outputs = 50, 37, 61
	x, input, output := integers(rng, tokens, features), integers(rng, tokens, features), integers(rng, tokens, outputs)
	s := NewDrift(features, outputs)
	s.ObserveDrift(3, x.Slice(0, 20), input.Slice(0, 20), output.Slice(0, 20))
	s.ObserveDrift(1, x.Slice(20, tokens), input.Slice(20, tokens), output.Slice(20, tokens))
	check := func(what string, got []float32, a tensor.Mat) {
		for i := range a.Cols {
			for j := range features {
				var want float32
				for r := range tokens {
					want += a.Row(r)[i] * x.Row(r)[j]
				}
				if got[i*features+j] != want {
					t.Fatalf("%s (%d, %d) is %g, want %g", what, i, j, got[i*features+j], want)
				}
			}
		}
	}
	check("input", s.Drift.Input, input)
	check("output", s.Drift.Output, output)
	gram := NewGram(features)
	gram.Observe(x)
	if s.Tokens != tokens || !slices.Equal(s.Gram, gram.Gram) {
		t.Error("the Gram matrix is not that of the inputs")
	}
	if err := s.Merge(gram); err == nil {
		t.Error("a drift can be merged")
	}
	s.Reset()
	if slices.ContainsFunc(slices.Concat(s.Drift.Input, s.Drift.Output), func(v float32) bool { return v != 0 }) {
		t.Error("Reset leaves sums")
	}
}

func TestDriftLeavesTokensOutThatAreNotFinite(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	x, input, output := integers(rng, 9, 5), integers(rng, 9, 5), integers(rng, 9, 3)
	want := NewDrift(5, 3)
	for _, r := range []int{0, 2, 3, 5, 7, 8} {
		want.ObserveDrift(1, x.Slice(r, r+1), input.Slice(r, r+1), output.Slice(r, r+1))
	}
	x.Row(1)[2] = float32(math.NaN())
	input.Row(4)[0] = float32(math.Inf(1))
	output.Row(6)[2] = float32(math.Inf(-1))
	got := NewDrift(5, 3)
	got.ObserveDrift(2, x, input, output)
	if got.Tokens != 6 || got.NonFinite != 3 || !slices.Equal(got.Gram, want.Gram) ||
		!slices.Equal(got.Drift.Input, want.Drift.Input) || !slices.Equal(got.Drift.Output, want.Drift.Output) {
		t.Errorf("%d tokens, %d left out: the sums are not those of the others", got.Tokens, got.NonFinite)
	}
}
