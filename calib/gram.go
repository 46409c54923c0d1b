package calib

import (
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// gramRows is how many rows of a Gram matrix are one piece of work.
const gramRows = 32

// addGram adds x·xᵀ of each row of x to the Gram matrix, whose rows the workers share, and keeps the moments equal to its diagonal.
func (s *Stats) addGram(workers int, x tensor.Mat) {
	n := x.Cols
	pieces := (n + gramRows - 1) / gramRows
	par.For(workers, pieces, func(i int) {
		hi := n - i*gramRows // the longest rows first, so that the last piece is short
		lo := max(0, hi-gramRows)
		kernels.Gram64(s.Gram, x.Data, x.Stride, x.Rows, n, lo, hi)
	})
	for i := range n {
		s.SqSum[i] = s.Gram[packed(i+1)-1]
	}
}
