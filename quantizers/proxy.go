package quantizers

import (
	"pith/approx"
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// loss returns x·H·xᵀ of H as observed, without damping, from xl = x·L and x, both by position.
func (f *feedback) loss(xl, x []float32) float64 {
	var damped, added float64
	for j, v := range xl {
		damped += float64(f.d[j] * float64(float64(v)*float64(v)))
		added += float64(f.added[j] * float64(float64(x[j])*float64(x[j])))
	}
	return max(0, damped-added)
}

// norm returns tr(W·H·Wᵀ) of p's weight.
func (f *feedback) norm(p approx.Problem) (sum float64) {
	const rows = 32
	parts := make([]float64, (p.W.Rows+rows-1)/rows)
	par.Ranges(p.Workers, p.W.Rows, rows, func(lo, hi int) {
		if p.Err() != nil {
			return
		}
		x := f.byPosition(p.W.Slice(lo, hi))
		xl := f.timesL(x, hi-lo)
		for r := range hi - lo {
			parts[lo/rows] += f.loss(xl[r*f.n:(r+1)*f.n], x[r*f.n:(r+1)*f.n])
		}
	})
	for _, v := range parts {
		sum += v
	}
	return sum
}

// byPosition returns a copy of m, (rows, n), by position, row after row.
func (f *feedback) byPosition(m tensor.Mat) []float32 {
	out := make([]float32, m.Rows*f.n)
	for r := range m.Rows {
		row, to := m.Row(r), out[r*f.n:(r+1)*f.n]
		if f.order == nil {
			copy(to, row)
			continue
		}
		for j, c := range f.order {
			to[j] = row[c]
		}
	}
	return out
}

// stripCols is how many columns of L timesL multiplies by at once; of the triangle it then reads little more than half.
const stripCols = 128

// timesL returns x·L of x, (rows, n) by position.
func (f *feedback) timesL(x []float32, rows int) []float32 {
	out, n := make([]float32, rows*f.n), f.n
	for c := 0; c < n; c += stripCols {
		kernels.GemmNN(out[c:], n, x[c:], n, f.l[c*n+c:], n, rows, min(stripCols, n-c), n-c)
	}
	return out
}
