// Package linalg holds the few factorizations that methods need: Cholesky, triangular solves, inverses and the block LDL of
// symmetric positive definite matrices, in float64. Every element of a result takes its products in one fixed order, rounded one
// by one (kernels.Gemm64NT), so that results are the same bytes for any number of workers and on any machine.
package linalg

import (
	"context"
	"fmt"

	"pith/internal/par"
	"pith/kernels"
)

// Matrix is a square matrix by rows: element (i, j) is Data[i·N+j]. Symmetric and lower triangular ones have their lower triangle
// there; what is above the diagonal is then of no meaning and may be overwritten.
type Matrix struct {
	N    int
	Data []float64
}

// NewMatrix returns a zero n × n matrix.
func NewMatrix(n int) Matrix { return Matrix{n, make([]float64, n*n)} }

// Row returns row i.
func (a Matrix) Row(i int) []float64 { return a.Data[i*a.N : (i+1)*a.N] }

// Unpack returns the n × n symmetric matrix whose lower triangle lies packed by rows: packed[i(i+1)/2+j] is element (i, j), j ≤ i.
// Both triangles are filled.
func Unpack(n int, packed []float64) Matrix {
	if len(packed) != n*(n+1)/2 {
		panic("linalg: Unpack of another number of elements")
	}
	a := NewMatrix(n)
	for i := range n {
		row := a.Row(i)
		copy(row, packed[i*(i+1)/2:][:i+1])
		for j := range i {
			a.Data[j*n+i] = row[j]
		}
	}
	return a
}

// Clone returns a copy.
func (a Matrix) Clone() Matrix {
	return Matrix{a.N, append([]float64(nil), a.Data...)}
}

// NotPositiveError says where a factorization met a pivot that is not a positive number.
type NotPositiveError struct {
	Pivot int     // row and column, counted from 0
	Value float64 // of the pivot, what is left of the diagonal element
}

func (e *NotPositiveError) Error() string {
	return fmt.Sprintf("the matrix is not positive definite: pivot %d is %g", e.Pivot, e.Value)
}

// crew is who computes, and until when: once the context has ended, what is left of a matrix stays as it is.
type crew struct {
	workers int
	ctx     context.Context
}

func (c crew) stopped() bool { return c.ctx.Err() != nil }

// grain is how many rows a worker takes at once.
const grain = 64

// small is the size of triangles that are factored element by element; larger ones are halved.
const small = 16

// window is the part of a matrix that starts at (row, col).
func (a Matrix) window(row, col int) []float64 { return a.Data[row*a.N+col:] }

// subtractProduct computes C -= A·Bᵀ for the windows of m at (ci, cj), (ai, aj) and (bi, bj) of rows × k and cols × k. With lower,
// C is square and only its lower triangle is wanted.
func (a Matrix) subtractProduct(c crew, ci, cj, ai, aj, bi, bj, rows, cols, k int, lower bool) {
	par.Ranges(c.workers, rows, grain, func(lo, hi int) {
		if c.stopped() {
			return
		}
		n := cols
		if lower {
			n = hi
		}
		kernels.Gemm64NTSub(a.window(ci+lo, cj), a.N, a.window(ai+lo, aj), a.N, a.window(bi, bj), a.N, hi-lo, n, k)
	})
}
