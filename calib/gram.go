package calib

import (
	"pith/internal/par"
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
		gramPlain(s.Gram, x, lo, hi)
	})
	for i := range n {
		s.SqSum[i] = s.Gram[packed(i+1)-1]
	}
}

// gramPlain adds to rows lo … hi of the packed lower triangle. Products of two float32 are exact in float64, and each entry adds them in the
// order of the tokens.
func gramPlain(gram []float64, x tensor.Mat, lo, hi int) {
	for i := lo; i < hi; i++ {
		row := gram[packed(i):packed(i+1)]
		for t := range x.Rows {
			xt := x.Row(t)[:i+1]
			v := float64(xt[i])
			for j, u := range xt {
				row[j] += v * float64(u)
			}
		}
	}
}
