package calib

import (
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// Drift is how inputs differ that compressing earlier weights has changed. With x the input in the original network and x̂, whose
// Gram matrix the Stats hold, in the compressed one, it says which part of W·x - W·x̂ can be foreseen from x̂. Sums in float32: their
// bits depend on how tokens are cut into calls, not on workers.
type Drift struct {
	Input []float32 // Σ over tokens of (x - x̂)_i·x̂_j at [i·n + j], (n, n)
	// Output is Σ of (r - r̂)_i·x̂_j, (m, n), where r is what the weight's m outputs are added to in the original network and r̂ in the
	// compressed one; nil where outputs are not added to anything.
	Output []float32
}

// NewDrift returns a Gram matrix, moments and a drift of no tokens yet; outputs is 0 where outputs are not added to anything.
func NewDrift(features, outputs int) *Stats {
	s := NewGram(features)
	s.Drift = &Drift{Input: make([]float32, features*features)}
	if outputs > 0 {
		s.Drift.Output = make([]float32, outputs*features)
	}
	return s
}

// ObserveDrift adds the inputs x̂, (tokens, features), with x - x̂, of the same shape, and r - r̂, (tokens, outputs). Tokens with a value that
// is not finite are left out and counted.
func (s *Stats) ObserveDrift(workers int, x, input, output tensor.Mat) {
	if s.Drift == nil || x.Cols != len(s.SqSum) || input.Cols != x.Cols || input.Rows != x.Rows ||
		len(s.Drift.Output) != output.Cols*x.Cols || output.Cols > 0 && output.Rows != x.Rows {
		panic("calib: ObserveDrift of other shapes than NewDrift's")
	}
	x, input, output = s.finiteTokens(x, input, output)
	s.ObserveWith(workers, x)
	addProducts(workers, s.Drift.Input, transposed(input), x)
	addProducts(workers, s.Drift.Output, transposed(output), x)
}

// finiteTokens returns the rows of all matrices where all are finite, and counts the others.
func (s *Stats) finiteTokens(x, input, output tensor.Mat) (tensor.Mat, tensor.Mat, tensor.Mat) {
	var keep []int
	for t := range x.Rows {
		if allFinite(x.Row(t)) && allFinite(input.Row(t)) && (output.Cols == 0 || allFinite(output.Row(t))) {
			keep = append(keep, t)
		}
	}
	if len(keep) == x.Rows {
		return x, input, output
	}
	s.NonFinite += int64(x.Rows - len(keep))
	kept := func(m tensor.Mat) tensor.Mat {
		out := tensor.NewMat(len(keep), m.Cols)
		for i, t := range keep {
			if m.Cols > 0 {
				copy(out.Row(i), m.Row(t))
			}
		}
		return out
	}
	return kept(x), kept(input), kept(output)
}

// transposed returns the transpose of m.
func transposed(m tensor.Mat) tensor.Mat {
	if m.Cols == 0 {
		return tensor.Mat{}
	}
	out := tensor.NewMat(m.Cols, m.Rows)
	kernels.Transpose(out.Data, out.Stride, m.Data, m.Stride, m.Rows, m.Cols)
	return out
}

// addProducts adds A·B to sums, (A.Rows, B.Cols).
func addProducts(workers int, sums []float32, a, b tensor.Mat) {
	const grain = 48
	par.Ranges(workers, a.Rows, grain, func(lo, hi int) {
		kernels.GemmNN(sums[lo*b.Cols:], b.Cols, a.Data[lo*a.Stride:], a.Stride, b.Data, b.Stride, hi-lo, b.Cols, b.Rows)
	})
}
