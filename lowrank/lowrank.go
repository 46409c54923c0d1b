// Package lowrank holds methods that store a weight as a product of two factors, or as a sum of such terms. A factorizer is a weighting of
// errors and a singular value decomposition (Factorizer); what tells the methods of the SVD family apart is the weighting, one file each.
// The factors are rounded by methods of other packages, which plan puts in.
package lowrank

import (
	"pith/internal/par"
	"pith/linalg"
	"pith/tensor"
)

// widened returns w in float64.
func widened(w tensor.Mat) linalg.Dense {
	a := linalg.NewDense(w.Rows, w.Cols)
	for r := range w.Rows {
		row := a.Row(r)
		for c, v := range w.Row(r) {
			row[c] = float64(v)
		}
	}
	return a
}

// narrowed returns a rounded to float32.
func narrowed(a linalg.Dense) tensor.Mat {
	w := tensor.NewMat(a.Rows, a.Cols)
	for i, v := range a.Data {
		w.Data[i] = float32(v)
	}
	return w
}

// scaleRows multiplies rows by factors; nil: by 1.
func scaleRows(a linalg.Dense, factors []float64, workers int) {
	if factors == nil {
		return
	}
	par.Ranges(workers, a.Rows, 64, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := a.Row(r)
			for c := range row {
				row[c] *= factors[r]
			}
		}
	})
}

// scaleCols multiplies columns by factors; nil: by 1.
func scaleCols(a linalg.Dense, factors []float64, workers int) {
	if factors == nil {
		return
	}
	par.Ranges(workers, a.Rows, 64, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := a.Row(r)
			for c, f := range factors {
				row[c] *= f
			}
		}
	})
}

// reciprocals returns 1/x of each; nil for nil.
func reciprocals(x []float64) []float64 {
	if x == nil {
		return nil
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = 1 / v
	}
	return out
}
