package codec

import (
	"math"
	"math/rand/v2"
	"testing"

	"pith/tensor"
)

// The protective range: whatever is rounded, even far beyond what was fitted, the second level's integers are int8.
func TestQoQIntegersAreInt8(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 9))
	for _, search := range []bool{false, true} {
		w := tensor.NewMat(40, 384)
		for r := range w.Rows {
			shift, spread := rng.NormFloat64()*float64(r%4), math.Exp2(float64(r%7))
			for c := range w.Row(r) {
				w.Row(r)[c] = float32((rng.NormFloat64() + shift) * spread)
			}
		}
		g, err := qoqCodec{128}.Fit(w, nil, FitOptions{Search: search})
		if err != nil {
			t.Fatal(err)
		}
		for _, factor := range []float32{1, 1.5, -40} {
			fed := tensor.NewMat(w.Rows, w.Cols)
			for i, v := range w.Data {
				fed.Data[i] = v * factor
			}
			RoundAll(g, fed, 1)
			term := g.Pack().(*qoqTerm)
			row := make([]float32, w.Cols)
			peak := float32(0)
			for r := range w.Rows {
				term.integers.readRow(row, r)
				for c, v := range row {
					peak = max(peak, v, -v)
					if v != float32(int8(v)) {
						t.Fatalf("row %d, column %d: %g is no int8 (step %d, zero %d)", r, c, v, term.steps[r*3+c/128], term.zeros[r*3+c/128])
					}
				}
			}
			if peak < 100 {
				t.Errorf("the largest integer is %g: the range is not used", peak)
			}
		}
	}
}

func TestQoQErrorOfAGaussian(t *testing.T) {
	got := gaussianError(t, "qoq4-g128", 1<<18)
	asym := gaussianError(t, "int4-g128-asym", 1<<18)
	t.Logf("qoq4-g128 %.5f, int4-g128-asym %.5f", got, asym)
	if got > 1.06*asym {
		t.Errorf("mean squared error %.5f, of int4-g128-asym %.5f", got, asym)
	}
}
