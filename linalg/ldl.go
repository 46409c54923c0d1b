package linalg

import (
	"math"

	"pith/internal/par"
)

// LDL is A = L·D·Lᵀ in blocks of Step consecutive rows and columns (the last one as short as need be): L has identities as its
// diagonal blocks and zeros above them, D is block diagonal and positive definite.
type LDL struct {
	Step int
	L    Matrix      // below the diagonal blocks; the blocks themselves hold the identity
	D    [][]float64 // each block by rows, both triangles
}

// BlockLDL returns the block LDL of A, whose Cholesky factor l is overwritten by L.
func BlockLDL(l Matrix, step, workers int) LDL {
	if step < 1 {
		panic("linalg: BlockLDL with a step below 1")
	}
	blocks := (l.N + step - 1) / step
	out := LDL{Step: step, L: l, D: make([][]float64, blocks)}
	for b := range blocks {
		c, n := b*step, min(step, l.N-b*step)
		out.D[b] = l.blockSquare(c, n)
		par.Ranges(workers, l.N-c-n, grain, func(lo, hi int) {
			for r := c + n + lo; r < c+n+hi; r++ {
				l.divideBlock(l.Row(r)[c:c+n], c)
			}
		})
		for i := range n {
			row := l.Row(c + i)
			clear(row[c:])
			row[c+i] = 1
		}
	}
	return out
}

// blockSquare returns T·Tᵀ of the triangle T of n rows at (c, c).
func (a Matrix) blockSquare(c, n int) []float64 {
	d := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			x, y := a.window(c+i, c), a.window(c+j, c)
			var s float64
			for p := range j + 1 {
				s = math.FMA(x[p], y[p], s)
			}
			d[i*n+j], d[j*n+i] = s, s
		}
	}
	return d
}

// divideBlock overwrites x with x·T⁻¹, T the triangle of len(x) rows at (c, c).
func (a Matrix) divideBlock(x []float64, c int) {
	for j := len(x) - 1; j >= 0; j-- {
		s := x[j]
		for p := j + 1; p < len(x); p++ {
			s = math.FMA(-x[p], a.window(c+p, c)[j], s)
		}
		x[j] = s / a.window(c+j, c)[j]
	}
}
