package linalg

import (
	"context"
	"math"
	"slices"

	"pith/internal/par"
	"pith/kernels"
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
func SVD(a Dense, workers int) (SVDResult, error) {
	return SVDContext(context.Background(), a, workers)
}

// SVDContext is SVD that stops soon after ctx has ended, with its error.
func SVDContext(ctx context.Context, a Dense, workers int) (SVDResult, error) {
	a.check()
	if !a.finite() {
		return SVDResult{}, ErrNotFinite
	}
	tall := a.Rows > a.Cols
	if tall {
		a = a.Transposed()
	} else {
		a = a.Clone()
	}
	k := a.Rows
	l := orthonormalRows(a, crew{workers, ctx}) // A = L·Q
	u := NewDense(k, k)
	for i := range k {
		u.Row(i)[i] = 1
	}
	if err := jacobi(ctx, l, u, workers); err != nil { // u·L₀ = l, rows of l orthogonal
		return SVDResult{}, err
	}
	s := make([]float64, k)
	order := make([]int, k)
	for i := range k {
		s[i], order[i] = math.Sqrt(kernels.Dot64(l.Row(i), l.Row(i))), i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case s[i] > s[j]:
			return -1
		case s[i] < s[j]:
			return 1
		}
		return 0
	})
	out := SVDResult{U: NewDense(k, k), S: make([]float64, k), V: NewDense(k, k)}
	for to, from := range order {
		out.S[to] = s[from]
		copy(out.U.Row(to), u.Row(from))
		for j, v := range l.Row(from) {
			out.V.Row(to)[j] = v / max(s[from], math.SmallestNonzeroFloat64)
		}
	}
	orthonormalized := out.V.Clone() // null vectors need directions
	tri := orthonormalRows(orthonormalized, crew{workers, ctx})
	for i := range k {
		for j, v := range orthonormalized.Row(i) {
			out.V.Row(i)[j] = math.Copysign(1, tri.Row(i)[i]) * v
		}
	}
	out.V = out.V.Times(a, workers)
	if tall {
		out.U, out.V = out.V, out.U
	}
	out.settle()
	out.U = out.U.Transposed()
	return out, ctx.Err()
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

// jacobi turns pairs of rows of a, and the same rows of u, until all are orthogonal.
func jacobi(ctx context.Context, a, u Dense, workers int) error {
	n := a.Rows + a.Rows%2
	ring := make([]int, n)
	for i := range ring {
		ring[i] = i
	}
	turned := make([]bool, n/2)
	for range 60 {
		any := false
		for range n - 1 {
			par.For(workers, n/2, func(p int) {
				i, j := min(ring[p], ring[n-1-p]), max(ring[p], ring[n-1-p])
				turned[p] = j < a.Rows && turn(a, u, i, j)
			})
			any = any || slices.Contains(turned, true)
			last := ring[n-1]
			copy(ring[2:], ring[1:n-1])
			ring[1] = last
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if !any {
			return nil
		}
	}
	return nil
}

func turn(a, u Dense, i, j int) bool {
	x, y := a.Row(i), a.Row(j)
	p, q, r := kernels.Dot64(x, x), kernels.Dot64(y, y), kernels.Dot64(x, y)
	if math.Abs(r) <= 1e-15*math.Sqrt(p)*math.Sqrt(q) {
		return false
	}
	zeta := (q - p) / (2 * r)
	t := math.Copysign(1, zeta) / (math.Abs(zeta) + math.Hypot(1, zeta))
	c := 1 / math.Hypot(1, t)
	s := c * t
	for _, w := range [][2][]float64{{x, y}, {u.Row(i), u.Row(j)}} {
		for k, v := range w[0] {
			w[0][k] = float64(c*v) - float64(s*w[1][k])
			w[1][k] = float64(s*v) + float64(c*w[1][k])
		}
	}
	return true
}
