package linalg

import (
	"math"

	"pith/internal/par"
)

// SolveLower overwrites x with L⁻¹·x, L lower triangular.
func SolveLower(l Matrix, x []float64) {
	checkVector(l, x)
	for i := range x {
		row := l.Row(i)
		x[i] = reduce(x[i], row[:i], x) / row[i]
	}
}

// SolveLowerT overwrites x with L⁻ᵀ·x, L lower triangular.
func SolveLowerT(l Matrix, x []float64) {
	checkVector(l, x)
	for i := len(x) - 1; i >= 0; i-- {
		row := l.Row(i)
		x[i] /= row[i]
		for j, v := range row[:i] {
			x[j] = math.FMA(-v, x[i], x[j])
		}
	}
}

// Solve overwrites x with A⁻¹·x, l being the Cholesky factor of A.
func Solve(l Matrix, x []float64) {
	SolveLower(l, x)
	SolveLowerT(l, x)
}

func checkVector(l Matrix, x []float64) {
	if len(x) != l.N {
		panic("linalg: solve of a vector of another length")
	}
}

// Inverse returns A⁻¹, both triangles filled, l being the Cholesky factor of A. n³ products and sums.
func Inverse(l Matrix, workers int) Matrix {
	inv := NewMatrix(l.N)
	par.For(workers, l.N, func(i int) { // row i is column i: the inverse is symmetric
		row := inv.Row(i)
		row[i] = 1
		Solve(l, row)
	})
	for i := range l.N { // the same bits on both sides of the diagonal
		for j := range i {
			inv.Data[j*l.N+i] = inv.Data[i*l.N+j]
		}
	}
	return inv
}
