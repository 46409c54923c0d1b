package linalg

import (
	"context"
	"math"

	"pith/internal/par"
)

// Cholesky overwrites the lower triangle of a, symmetric and positive definite, with that of L: A = L·Lᵀ. It returns a
// *NotPositiveError at the first pivot that is not a positive finite number; a is then partly overwritten. n³/3 products and sums.
//
// The matrix is halved: L11 of A11, L21 = A21·L11⁻ᵀ, then A22 - L21·L21ᵀ. Each element still subtracts its products from the
// first column to the last, as in the textbook's loop (Golub and Van Loan, Matrix Computations, algorithm 4.2.1).
func Cholesky(a Matrix, workers int) error { return CholeskyContext(context.Background(), a, workers) }

// CholeskyContext is Cholesky that stops soon after ctx has ended, with its error.
func CholeskyContext(ctx context.Context, a Matrix, workers int) error {
	if len(a.Data) != a.N*a.N {
		panic("linalg: Cholesky of a matrix that is not square")
	}
	bad := a.cholesky(crew{workers, ctx}, 0, a.N)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bad != nil:
		return bad
	}
	return nil
}

func (a Matrix) cholesky(c crew, at, n int) *NotPositiveError {
	if n <= small {
		return a.choleskyPlain(at, n)
	}
	half := split(n)
	if bad := a.cholesky(c, at, half); bad != nil || c.stopped() {
		return bad
	}
	rest := n - half
	a.solveRight(c, at, at+half, at, rest, half)
	a.subtractProduct(c, at+half, at+half, at+half, at, at+half, at, rest, rest, half, true)
	return a.cholesky(c, at+half, rest)
}

// split returns where a triangle of n > small rows is cut: about its middle, at a multiple of small.
func split(n int) int { return (n/2 + small - 1) / small * small }

// choleskyPlain factors the triangle of n rows at (at, at).
func (a Matrix) choleskyPlain(at, n int) *NotPositiveError {
	for i := range n {
		row := a.window(at+i, at)[:i+1]
		for j := range i {
			row[j] = reduce(row[j], row[:j], a.window(at+j, at)) / a.window(at+j, at)[j]
		}
		pivot := reduce(row[i], row[:i], row)
		if !(pivot > 0) || math.IsInf(pivot, 1) {
			return &NotPositiveError{at + i, pivot}
		}
		row[i] = math.Sqrt(pivot)
	}
	return nil
}

// reduce returns s - Σ x·y, product after product.
func reduce(s float64, x, y []float64) float64 {
	y = y[:len(x)]
	for i, v := range x {
		s = math.FMA(-v, y[i], s)
	}
	return s
}

// solveRight overwrites X, the window of m rows and n columns at (row, col), with X·L⁻ᵀ, L being the lower triangle of n rows at
// (l, l).
func (a Matrix) solveRight(c crew, l, row, col, m, n int) {
	if c.stopped() {
		return
	}
	if n <= small {
		par.Ranges(c.workers, m, grain, func(lo, hi int) { a.solveRightPlain(l, row+lo, col, hi-lo, n) })
		return
	}
	half := split(n)
	a.solveRight(c, l, row, col, m, half)
	a.subtractProduct(c, row, col+half, row, col, l+half, l, m, n-half, half, false)
	a.solveRight(c, l+half, row, col+half, m, n-half)
}

// solveRightPlain is solveRight element by element, four rows at a time so that their chains of products overlap.
func (a Matrix) solveRightPlain(l, row, col, m, n int) {
	r := 0
	for ; r+4 <= m; r += 4 {
		x0, x1 := a.window(row+r, col)[:n], a.window(row+r+1, col)[:n]
		x2, x3 := a.window(row+r+2, col)[:n], a.window(row+r+3, col)[:n]
		for j := range n {
			t := a.window(l+j, l)[:j+1]
			s0, s1, s2, s3 := x0[j], x1[j], x2[j], x3[j]
			for p, v := range t[:j] {
				s0, s1 = math.FMA(-x0[p], v, s0), math.FMA(-x1[p], v, s1)
				s2, s3 = math.FMA(-x2[p], v, s2), math.FMA(-x3[p], v, s3)
			}
			d := t[j]
			x0[j], x1[j], x2[j], x3[j] = s0/d, s1/d, s2/d, s3/d
		}
	}
	for ; r < m; r++ {
		x := a.window(row+r, col)[:n]
		for j := range n {
			t := a.window(l+j, l)
			x[j] = reduce(x[j], x[:j], t) / t[j]
		}
	}
}
