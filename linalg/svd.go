package linalg

import (
	"cmp"
	"context"
	"math"
	"slices"

	"pith/internal/par"
)

// SVDResult is A = U·diag(S)·V, thin: k = min(rows, cols) or the rank that was asked for.
type SVDResult struct {
	U Dense     // (rows, k): column i is left vector i
	S []float64 // k, largest first, none below zero
	V Dense     // (k, cols): row i is right vector i, its largest component (the first among equals) positive
}

// Truncate returns the first rank vectors and values.
func (r SVDResult) Truncate(rank int) SVDResult {
	if rank >= len(r.S) {
		return r
	}
	u := NewDense(r.U.Rows, rank)
	for i := range u.Rows {
		copy(u.Row(i), r.U.Row(i))
	}
	return SVDResult{u, r.S[:rank:rank], Dense{rank, r.V.Cols, r.V.Data[: rank*r.V.Cols : rank*r.V.Cols]}}
}

// SVD returns the thin singular value decomposition of a, the same bytes for any number of workers and on any machine.
//
// A matrix that is not square is reduced to its triangular factor, that to bidiagonal form by blocks of reflections, and that is diagonalized by
// QR steps (Golub and Van Loan, Matrix Computations, section 8.6).
func SVD(a Dense, workers int) (SVDResult, error) {
	return SVDContext(context.Background(), a, workers)
}

// SVDContext is SVD that stops soon after ctx has ended, with its error.
func SVDContext(ctx context.Context, a Dense, workers int) (SVDResult, error) {
	a.check()
	tall := a.Rows > a.Cols
	if tall {
		a = a.Transposed()
	} else {
		a = a.Clone()
	}
	exponent, err := a.normalize()
	if err != nil {
		return SVDResult{}, err
	}
	c := crew{max(workers, 1), ctx}
	if used != nil {
		return svdByLibrary(a, tall, exponent, c)
	}
	square := a
	if a.Rows < a.Cols {
		square = orthonormalRows(a, c) // A = square·a from here on
	}
	s, u, v, err := c.squareSVD(square)
	if err != nil {
		return SVDResult{}, err
	}
	if a.Rows < a.Cols {
		v = v.Times(a, workers)
	}
	return finished(s, u, v, tall, exponent), ctx.Err()
}

// finished puts together what was found of a matrix, transposed if it was tall, that was divided by 2^exponent: vectors are rows.
func finished(s []float64, u, v Dense, tall bool, exponent int) SVDResult {
	for i := range s {
		s[i] = math.Ldexp(s[i], exponent)
	}
	r := SVDResult{u, s, v}
	if tall {
		r.U, r.V = v, u
	}
	r.settle()
	r.U = r.U.Transposed()
	return r
}

// svdByLibrary is SVD by another library.
func svdByLibrary(a Dense, tall bool, exponent int, c crew) (SVDResult, error) {
	s, u, v, err := used.svd(a, c.workers)
	if err != nil {
		return SVDResult{}, err
	}
	return finished(s, u, v, tall, exponent), c.ctx.Err()
}

// normalize divides a by 2^exponent, so that its elements are 1 at most.
func (a Dense) normalize() (exponent int, err error) {
	largest := a.largest()
	if math.IsNaN(largest) || math.IsInf(largest, 1) {
		return 0, ErrNotFinite
	}
	exponent, unit := scaleOf(largest)
	for i := range a.Data {
		a.Data[i] *= unit
	}
	return exponent, nil
}

// scaleOf returns the power of two that makes what is at most largest at most 1, and minus its exponent. Of matrices below 1e-300 something is
// left to be desired.
func scaleOf(largest float64) (exponent int, unit float64) {
	_, exponent = math.Frexp(largest)
	exponent = max(exponent, -1000)
	return exponent, math.Ldexp(1, -exponent)
}

// squareSVD returns the singular values of a square matrix, which it overwrites, largest first, and the left and the right vectors as rows.
func (c crew) squareSVD(a Dense) (s []float64, u, v Dense, err error) {
	n := a.Rows
	b := reduceToBidiagonal(n, padded{n, a.Data}, c)
	d, left, right, err := b.conquer(c)
	if err != nil {
		return nil, u, v, err
	}
	undo(padded{n, left.Data}, n, b.left, b.tauLeft, 0, c)
	undo(padded{n, right.Data}, n, b.right, b.tauRight, 1, c)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d[j], d[i]) })
	s, u, v = make([]float64, n), NewDense(n, n), NewDense(n, n)
	par.For(c.workers, n, func(to int) {
		from := order[to]
		if s[to] = d[from]; s[to] <= 2*negligible {
			s[to] = 0
		}
		copy(u.Row(to), left.Row(from))
		copy(v.Row(to), right.Row(from))
	})
	return s, u, v, nil
}

// settle makes the largest component of each right vector positive; U holds left vectors as rows.
func (r SVDResult) settle() {
	for i := range r.S {
		row, largest := r.V.Row(i), 0.0
		for _, v := range row {
			if math.Abs(v) > math.Abs(largest) {
				largest = v
			}
		}
		if largest < 0 {
			for _, x := range [][]float64{row, r.U.Row(i)} {
				for j := range x {
					x[j] = -x[j]
				}
			}
		}
	}
}
