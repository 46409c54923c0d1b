package calib

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pith/tensor"
)

func TestMergedStatsAreThoseOfAllTokens(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := tensor.NewMat(10, 33)
	for i := range x.Data {
		x.Data[i] = float32(rng.IntN(9) - 4) // sums are exact
	}
	all := NewStats(33)
	all.Observe(x)
	a, b := NewStats(33), NewStats(33)
	a.Observe(x.Slice(0, 3))
	b.Observe(x.Slice(3, 10))
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	if a.Tokens != 10 || !slices.Equal(a.SqSum, all.SqSum) {
		t.Errorf("merged %v, want %v", a, all)
	}
	if err := a.Merge(NewStats(32)); err == nil {
		t.Error("merging another input's statistics is no error")
	}
}

func TestImportanceIsTheMeanSquare(t *testing.T) {
	var none *Stats
	if none.Importance() != nil || NewStats(4).Importance() != nil {
		t.Error("no tokens must mean equal importance")
	}
	s := NewStats(2)
	s.Observe(tensor.Of(2, 2, []float32{1, 3, 2, -1}))
	if got := s.Importance(); !slices.Equal(got, []float32{2.5, 5}) {
		t.Errorf("importance %v", got)
	}
}

func TestNeedsAreSets(t *testing.T) {
	if !Moments.Has(Nothing) || Nothing.Has(Moments) || !Moments.Has(Moments) {
		t.Error("Has is not inclusion")
	}
}

// Activations of any size give the importance of ordinary ones, but for a power of two.
func TestImportanceOfExtremeActivationsIsFinite(t *testing.T) {
	want := (&Stats{Tokens: 2, SqSum: []float64{0, 1.5, 1}}).Importance()
	for _, exponent := range []int{-900, -160, 0, 80, 140, 900} {
		got := (&Stats{Tokens: 2, SqSum: []float64{0, math.Ldexp(1.5, exponent), math.Ldexp(1, exponent)}}).Importance()
		if got[0] != 0 || got[2]/got[1] != want[2]/want[1] || !(got[1] > 0 && got[1] <= 1) {
			t.Errorf("2^%d: %v", exponent, got)
		}
	}
}
