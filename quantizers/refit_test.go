package quantizers

import (
	"math"
	"testing"

	"pith/approx"
	"pith/codec"
)

// lossOf solves and returns the loss, which must be the reported one.
func lossOf(t *testing.T, q LDLQ, p approx.Problem) float64 {
	t.Helper()
	term, report := solveWith(t, q, p)
	loss := gramLoss(p.W, decoded(term), p.Stats, none)
	if math.Abs(report.Proxy-loss) > 1e-3*loss {
		t.Errorf("%s: reported loss %g, is %g", q.Codec.Name(), report.Proxy, loss)
	}
	return loss
}

func TestRefitNeverRaisesTheLoss(t *testing.T) {
	for _, cols := range []int{64, 96, 200} {
		p := approx.Problem{Name: "w", W: gaussian(21, 37, cols), Stats: correlated(22, cols, 3*cols)}
		for _, name := range []string{"int2-grow", "int2-g32", "int3-g64-asym", "int4-g32", "tcq-lut8-2", "tcq-lut7-3.5", "bf16"} {
			for _, ordered := range []bool{false, true} {
				q := LDLQ{Codec: parse(t, name), Ordered: ordered, Search: true}
				before := lossOf(t, q, p)
				q.Refit = true
				after := lossOf(t, q, p)
				if after > before*(1+1e-6) {
					t.Errorf("%s, %d columns: loss %g, before the refit %g", name, cols, after, before)
				}
				if name[:3] == "int" && name[3] < '4' && after > 0.99*before {
					t.Errorf("%s, %d columns: the refit gains nothing: %g, %g", name, cols, after, before)
				}
			}
		}
	}
}

func TestSweepsNeverRaiseTheLoss(t *testing.T) {
	for _, cols := range []int{64, 96, 200} {
		p := approx.Problem{Name: "w", W: gaussian(23, 37, cols), Stats: correlated(24, cols, 3*cols)}
		for _, c := range []codec.Codec{parse(t, "int2-g32"), parse(t, "int4-g64"), parse(t, "q4_0"), parse(t, "tcq-lut7-2"), parse(t, "tcq-lut8-3.5"),
			&stepped{Codec: parse(t, "int2-g64"), step: 8}} {
			if c.Check(p.W.Rows, cols) != nil {
				continue
			}
			for _, ordered := range []bool{false, true} {
				q := LDLQ{Codec: c, Ordered: ordered, Search: true, Damping: 1e-7}
				last := math.Inf(1)
				for q.Sweeps = range 4 {
					loss := lossOf(t, q, p)
					if loss > last*(1+1e-6) {
						t.Errorf("%s, %d columns, %d sweeps: loss %g, before %g", c.Name(), cols, q.Sweeps, loss, last)
					}
					last = loss
				}
			}
		}
	}
}

func TestRefitsAndSweepsGiveTheSameBytesForAnyNumberOfWorkers(t *testing.T) {
	for _, name := range []string{"int3-g64", "tcq-lut7-2.5"} {
		var first codec.Term
		for _, workers := range []int{1, 2, 7} {
			p := approx.Problem{Name: "w", W: gaussian(25, 150, 96), Stats: correlated(26, 96, 500), Workers: workers}
			term, _ := solveWith(t, LDLQ{Codec: parse(t, name), Refit: true, Sweeps: 2, Gains: []float32{0.9, 1, 1.1}}, p)
			if first == nil {
				first = term
			}
			sameBytes(t, name, term, first)
		}
	}
}
