package quantizers

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

var _ approx.Method = HQQ{}

// looseNorm returns Σ |W - Ŵ|^0.7 of each row.
func looseNorm(w tensor.Mat, term codec.Term) []float64 {
	got := tensor.NewMat(w.Rows, w.Cols)
	term.AddTo(got, 0)
	out := make([]float64, w.Rows)
	for r := range out {
		for c, v := range w.Row(r) {
			out[r] += math.Pow(math.Abs(float64(v-got.Row(r)[c])), 0.7)
		}
	}
	return out
}

func TestHQQLowersTheNormThatForgivesOutliers(t *testing.T) {
	w := gaussian(60, 32, 512)
	rng := rand.New(rand.NewPCG(61, 1))
	for i := range w.Data {
		if rng.IntN(40) == 0 {
			w.Data[i] *= 5
		}
	}
	for _, name := range []string{"int3-g64-mid", "int4-g64-mid", "int4-grow-mid"} {
		p := approx.Problem{Name: "w", W: w}
		plain, before := solve(t, Nearest{Codec: parse(t, name)}, p)
		term, after, err := HQQ{parse(t, name)}.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		old, norms := looseNorm(w, plain), looseNorm(w, term)
		var was, is float64
		for r, n := range norms {
			if n > old[r]*(1+1e-6) {
				t.Errorf("%s: row %d has norm %g, before %g", name, r, n, old[r])
			}
			was, is = was+old[r], is+n
		}
		t.Logf("%s: norm %.4f of nearest's, squared error %.4f", name, is/was, after.SquaredError/before.SquaredError)
		if is > 0.999*was {
			t.Errorf("%s: norm %g, of nearest %g", name, is, was)
		}
	}
}

func TestHQQRefusesCodecsWithoutRealOffsets(t *testing.T) {
	_, _, err := HQQ{parse(t, "int4-g64-asym")}.Solve(approx.Problem{Name: "w", W: gaussian(1, 2, 64)})
	if err == nil || !strings.Contains(err.Error(), "use int4-g64-mid") {
		t.Errorf("error %v", err)
	}
}
