package lowrank

import (
	"pith/approx"
	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// outputLoss returns tr(E·H·Eᵀ) of E = W - Ŵ, of W itself if term is nil, for the H that the metric was made of, without what was added to it; 0
// for a metric without a Gram matrix.
func (m Metric) outputLoss(p approx.Problem, term codec.Term) (sum float64) {
	if !m.full() {
		return 0
	}
	const rows = 64
	n := p.W.Cols
	parts := make([]float64, (p.W.Rows+rows-1)/rows)
	par.Ranges(p.Workers, p.W.Rows, rows, func(lo, hi int) {
		if p.Err() != nil {
			return
		}
		got := tensor.NewMat(hi-lo, n)
		if term != nil {
			codec.Read(term, got, lo)
		}
		e, y := make([]float64, (hi-lo)*n), make([]float64, (hi-lo)*n)
		for r := range hi - lo {
			for c, v := range p.W.Row(lo + r) {
				e[r*n+c] = float64(v) - float64(got.Row(r)[c])
			}
		}
		kernels.Gemm64NT(y, n, e, n, m.gram.Data, n, hi-lo, n, n)
		var energy, squares float64
		for i, v := range e {
			energy += float64(v * y[i])
			squares += float64(v * v)
		}
		parts[lo/rows] = energy - float64(m.ridge*squares)
	})
	for _, v := range parts {
		sum += v
	}
	return max(sum, 0)
}
