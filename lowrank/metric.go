package lowrank

import (
	"context"
	"fmt"
	"math"

	"pith/approx"
	"pith/calib"
	"pith/linalg"
)

// Metric is how much errors E = W-Ŵ count: |D·E·S|² with D diagonal (rows) and M = S·Sᵀ diagonal (columns) or a Gram matrix. The zero value
// counts all elements alike.
type Metric struct {
	Rows []float64 // the diagonal of D, above zero; nil: ones
	Cols []float64 // the diagonal of S, above zero; nil: ones. Not looked at where there is a Gram matrix

	gram   linalg.Dense // M, both triangles; no rows: diagonal
	stats  *calib.Stats // that gram is made of, which keep its whitening for other weights
	ridge  float64      // what was added to gram's diagonal
	Tokens int64        // that gram is the mean over
}

// gramFloor is the least that is added to a Gram matrix's diagonal, relative to its largest element: directions that calibration has not seen
// count a little, and so does whatever the matrix's rounding hides.
const gramFloor = linalg.WhitenFloor

// gramMetric returns the metric tr(E·(H+λ)·Eᵀ), H the mean of x·xᵀ over tokens and λ damping times its mean diagonal, but no less than
// gramFloor; or why there is none.
func gramMetric(p approx.Problem, damping float64) (m Metric, why string) {
	if p.Stats == nil || p.Stats.Gram == nil {
		return m, "no Gram matrix"
	}
	h, why := p.Stats.MeanGram(p.W.Cols)
	if why != "" {
		return m, why
	}
	n := h.N
	var sum, top float64
	for i := range n {
		d := h.Row(i)[i]
		sum, top = sum+d, max(top, d)
		for j, v := range h.Row(i)[:i] {
			h.Data[j*n+i] = v
		}
	}
	if !(top > 0) || math.IsInf(sum, 0) {
		return m, "the inputs are all zero"
	}
	m.ridge = max(damping*sum/float64(n), gramFloor*top)
	for i := range n {
		h.Row(i)[i] += m.ridge
	}
	m.gram, m.stats, m.Tokens = linalg.Dense{Rows: n, Cols: n, Data: h.Data}, p.Stats, p.Stats.Tokens
	return m, ""
}

// full reports whether the metric has a Gram matrix.
func (m Metric) full() bool { return m.gram.Rows > 0 }

// times returns A·M.
func (m Metric) times(a linalg.Dense, workers int) linalg.Dense {
	if m.full() {
		return a.TimesT(m.gram, workers)
	}
	out := a.Clone()
	scaleCols(out, m.Cols, workers)
	scaleCols(out, m.Cols, workers)
	return out
}

// root is S, of a metric whose Gram matrix has been factored.
type root struct {
	cols  []float64
	white *linalg.Whitening
}

// root returns S.
func (m Metric) root(p approx.Problem) (root, error) {
	if !m.full() {
		return root{cols: m.Cols}, nil
	}
	white, err := m.stats.TryDerive(fmt.Sprintf("lowrank: whitening, ridge %g", m.ridge), func() (any, error) {
		return linalg.WhitenContext(contextOf(p), linalg.Matrix{N: m.gram.Rows, Data: m.gram.Data}, gramFloor, p.Workers)
	})
	if err != nil {
		return root{}, fmt.Errorf("%s: Gram matrix of the input: %w", p.Name, err)
	}
	return root{white: white.(*linalg.Whitening)}, nil
}

// apply returns A·S.
func (s root) apply(a linalg.Dense, workers int) linalg.Dense {
	if s.white != nil {
		return s.white.Apply(a, workers)
	}
	out := a.Clone()
	scaleCols(out, s.cols, workers)
	return out
}

// undo returns A·S⁻¹.
func (s root) undo(a linalg.Dense, workers int) linalg.Dense {
	if s.white != nil {
		return s.white.Undo(a, workers)
	}
	out := a.Clone()
	scaleCols(out, reciprocals(s.cols), workers)
	return out
}

func contextOf(p approx.Problem) context.Context {
	if p.Context == nil {
		return context.Background()
	}
	return p.Context
}
