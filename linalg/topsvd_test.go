package linalg

import (
	"math"
	"slices"
	"testing"
)

func TestTopSVDIsAsGoodAsTheWholeDecomposition(t *testing.T) {
	const m, n, rank = 180, 150, 20
	for name, s := range map[string][]float64{
		"polynomial":  values(n, func(i int) float64 { return 1 / float64(i+1) }),
		"exponential": values(n, func(i int) float64 { return math.Exp2(-float64(i) / 4) }),
		"step":        values(n, func(i int) float64 { return 1 - 0.9*float64(min(1, i/rank)) }),
		"deficient":   values(n, func(i int) float64 { return float64(max(0, 12-i)) }),
		"slow":        values(n, func(i int) float64 { return 1 - float64(i)/n }),
	} {
		for _, scale := range []float64{1, 1e-100, 1e100} {
			a := withValues(m, n, s, 11)
			for i := range a.Data {
				a.Data[i] *= scale
			}
			r, res, err := TopSVD(a, rank, TopOptions{Approximate: true}, 2)
			if err != nil {
				t.Fatal(err)
			}
			if res.Power < 4 {
				t.Errorf("%s: %d iterations", name, res.Power)
			}
			var tail, total, got float64
			for i, v := range s {
				total += v * v
				if i >= rank {
					tail += v * v
				}
			}
			got = total
			for i, v := range r.S {
				v /= scale
				got -= v * v
				if v > s[i]*(1+1e-12)+1e-12*s[0] { // the subspace cannot have more than the matrix
					t.Errorf("%s: value %d is %g, of %g", name, i, v, s[i])
				}
			}
			rounding := 1e-13 * total // of the float32 passes, squared
			if got > tail*1.01+rounding && res.Converged {
				t.Errorf("%s: the rest is %g of %g, %g at best", name, got, total, tail)
			}
			if name != "slow" && !res.Converged {
				t.Errorf("%s: not converged: %+v", name, res)
			}
			if d := math.Abs(res.Relative*res.Relative - got/total); d > 1e-13 {
				t.Errorf("%s: residual %g, found %g", name, res.Relative, math.Sqrt(got/total))
			}
			a, r = scaled(a, r, 1/scale)
			checkSVD(t, name, a, r, res.Relative+1e-7)
		}
	}
}

// Values that fall off slowly are not told apart in a pass or two: then the whole decomposition is made.
func TestTopSVDThatDoesNotConvergeIsCutFromTheWhole(t *testing.T) {
	const n, rank = 120, 10
	a := withValues(n, n, values(n, func(i int) float64 { return math.Exp2(-float64(i) / 40) }), 7)
	o := TopOptions{Power: 1, Oversample: 1, Approximate: true}
	if _, res, err := TopSVD(a, rank, o, 1); err != nil || res.Converged || res.Power == 0 {
		t.Fatalf("converged in two passes: %+v (%v)", res, err)
	}
	o.Approximate = false
	got, res, err := TopSVD(a, rank, o, 1)
	if err != nil || !res.Converged || res.Power != 0 || res.Excess != 0 {
		t.Fatalf("%+v (%v)", res, err)
	}
	whole, err := SVD(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	if whole = whole.Truncate(rank); !slices.Equal(got.S, whole.S) || !slices.Equal(got.U.Data, whole.U.Data) || !slices.Equal(got.V.Data, whole.V.Data) {
		t.Error("other values or vectors than the whole decomposition's")
	}
	flat := withValues(n, n, values(n, func(int) float64 { return 1 }), 7) // of a flat spectrum any vectors are the first
	if got, res, err = TopSVD(flat, rank, o, 1); err != nil || !res.Converged || math.Abs(res.Relative-math.Sqrt(1-float64(rank)/n)) > 1e-6 {
		t.Errorf("flat: %+v (%v)", res, err)
	}
	checkSVD(t, "flat", flat, got, res.Relative+1e-7)
}

func TestTopSVDOfLargeRanksIsCutFromTheWhole(t *testing.T) {
	a := gaussian(40, 30, 3)
	whole, err := SVD(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, rank := range []int{0, 5, 29, 30, 100} {
		r, res, err := TopSVD(a, rank, TopOptions{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(rank, 30); len(r.S) != want || !slices.Equal(r.S, whole.S[:want]) || !res.Converged || res.Power != 0 {
			t.Errorf("rank %d: %d values, %+v", rank, len(r.S), res)
		}
		checkSVD(t, "cut", a, r, res.Relative+1e-13)
	}
}

func TestTopSVDIsTheSameForAnyNumberOfWorkers(t *testing.T) {
	skipUnderLibrary(t)
	a := withValues(700, 600, values(600, func(i int) float64 { return 1 / float64(i+1) }), 5)
	one, first, err := TopSVD(a, 40, TopOptions{Seed: 3}, 1)
	if err != nil {
		t.Fatal(err)
	}
	five, second, err := TopSVD(a, 40, TopOptions{Seed: 3}, 5)
	if err != nil || first != second || !slices.Equal(one.U.Data, five.U.Data) || !slices.Equal(one.S, five.S) || !slices.Equal(one.V.Data, five.V.Data) {
		t.Errorf("other results with five workers (%v)", err)
	}
}
