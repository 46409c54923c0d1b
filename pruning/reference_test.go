package pruning

import (
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// reference prunes as SparseGPT's authors do, with an inverse and its Cholesky factor, but on the columns in reverse.
func reference(l layer, h linalg.Matrix, selector Selector, kept int64) (*codec.Mask, tensor.Mat) {
	rows, n := l.w.Rows, l.w.Cols
	flip := func(a linalg.Matrix) linalg.Matrix {
		b := linalg.NewMatrix(n)
		for i := range n {
			for j := range n {
				b.Row(i)[j] = a.Row(n - 1 - i)[n-1-j]
			}
		}
		return b
	}
	a := flip(h)
	if linalg.Cholesky(a, 1) != nil {
		panic("the reference's matrix is not positive definite")
	}
	u := linalg.Inverse(a, 1) // U of H⁻¹ = Uᵀ·U, as the lower triangle of its transpose
	if linalg.Cholesky(u, 1) != nil {
		panic("the reference's inverse is not positive definite")
	}
	w := make([]float64, rows*n) // by reversed columns, updated
	for r := range rows {
		for c, v := range l.w.Row(r) {
			w[r*n+n-1-c] = float64(v)
		}
	}
	mask, values := codec.NewMask(rows, n), tensor.NewMat(rows, n)
	step := selector.Stretch(n)
	for c1 := n; c1 > 0; { // columns c0 … c1 of the weight, stretches aligned from column 0
		c0 := (c1 - 1) / step * step
		scores := tensor.NewMat(rows, c1-c0)
		for r := range rows {
			for c := c0; c < c1; c++ {
				j := n - 1 - c
				d := u.Row(j)[j]
				scores.Row(r)[c-c0] = float32(w[r*n+j] * w[r*n+j] / (d * d))
			}
		}
		selector.Select(mask, 0, c0, scores, kept)
		for c := c1 - 1; c >= c0; c-- {
			j := n - 1 - c
			for r := range rows {
				row := w[r*n : (r+1)*n]
				if mask.Kept(r, c) {
					values.Row(r)[c] = float32(row[j])
					continue
				}
				e := row[j] / u.Row(j)[j]
				for k := j; k < n; k++ {
					row[k] -= e * u.Row(k)[j]
				}
			}
		}
		c1 = c0
	}
	return mask, values
}
