package linalg

import (
	"math"

	"pith/internal/par"
	"pith/kernels"
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

// SolveRight overwrites x, (rows, N) by rows, with x·A⁻¹, l being the Cholesky factor of A.
func SolveRight(l Matrix, x []float64, rows, workers int) {
	if len(x) != rows*l.N {
		panic("linalg: SolveRight of a matrix of another shape")
	}
	u := l.transposed()
	par.Ranges(workers, rows, grain, func(lo, hi int) {
		part := x[lo*l.N : hi*l.N]
		l.rightForward(part, hi-lo, 0, l.N)
		l.rightBackward(u, part, hi-lo, 0, l.N)
	})
}

// transposed returns the upper triangular Lᵀ.
func (a Matrix) transposed() Matrix {
	u := NewMatrix(a.N)
	for i := range a.N {
		for j, v := range a.Row(i)[:i+1] {
			u.Data[j*a.N+i] = v
		}
	}
	return u
}

// rightForward overwrites columns at … at+n of x with those columns times L⁻ᵀ of the triangle there.
func (a Matrix) rightForward(x []float64, rows, at, n int) {
	if n <= small {
		for r := range rows {
			row := x[r*a.N+at:][:n]
			for j := range row {
				t := a.window(at+j, at)
				row[j] = reduce(row[j], row[:j], t) / t[j]
			}
		}
		return
	}
	half := split(n)
	a.rightForward(x, rows, at, half)
	if rows > 0 {
		kernels.Gemm64NTSub(x[at+half:], a.N, x[at:], a.N, a.window(at+half, at), a.N, rows, n-half, half)
	}
	a.rightForward(x, rows, at+half, n-half)
}

// rightBackward overwrites columns at … at+n of x with those columns times L⁻¹ of the triangle there; u is Lᵀ.
func (a Matrix) rightBackward(u Matrix, x []float64, rows, at, n int) {
	if n <= small {
		for r := range rows {
			row := x[r*a.N+at:][:n]
			for j := n - 1; j >= 0; j-- {
				t := u.window(at+j, at)
				row[j] = reduce(row[j], row[j+1:], t[j+1:]) / t[j]
			}
		}
		return
	}
	half := split(n)
	a.rightBackward(u, x, rows, at+half, n-half)
	if rows > 0 {
		kernels.Gemm64NTSub(x[at:], a.N, x[at+half:], a.N, u.window(at, at+half), a.N, rows, half, n-half)
	}
	a.rightBackward(u, x, rows, at, half)
}

// InverseDiagonal returns the diagonal of A⁻¹, l being the Cholesky factor of A: Σ_i (L⁻¹)_ij². n³/6 products and sums.
func InverseDiagonal(l Matrix) []float64 {
	out := make([]float64, l.N)
	x := make([]float64, grain*l.N) // rows of the identity, zero before column at, times L⁻ᵀ
	for at := 0; at < l.N; at += grain {
		rows := min(grain, l.N-at)
		clear(x)
		for r := range rows {
			x[r*l.N+at+r] = 1
		}
		l.rightForward(x[:rows*l.N], rows, at, l.N-at)
		for r := range rows {
			for _, v := range x[r*l.N+at : (r+1)*l.N] {
				out[at+r] += float64(v * v)
			}
		}
	}
	return out
}
