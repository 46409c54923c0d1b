package linalg

import (
	"context"
	"errors"
	"math"
	"slices"

	"pith/internal/par"
)

// ErrNoConvergence is returned for matrices whose eigenvalues are not found, those with elements that are not finite.
var ErrNoConvergence = errors.New("the eigenvalues do not converge: the matrix has elements that are not finite")

// Eigen returns the eigenvalues of a symmetric matrix, of which the lower triangle is read, largest first, and the eigenvectors as the
// rows of an orthogonal matrix, each with its largest component (the first among equals) positive.
//
// Householder's reduction to a tridiagonal matrix, divide and conquer, and the reflections applied to the vectors, all but half of the
// reduction in products of matrices. Every sum runs in one order and is fused or rounded in one way (package kernels), so the result is
// the same bytes for any number of workers and on any machine.
func Eigen(a Matrix, workers int) ([]float64, Matrix, error) {
	return EigenContext(context.Background(), a, workers)
}

// EigenContext is Eigen that stops soon after ctx has ended, with its error.
func EigenContext(ctx context.Context, a Matrix, workers int) ([]float64, Matrix, error) {
	if len(a.Data) != a.N*a.N {
		panic("linalg: Eigen of a matrix that is not square")
	}
	c := crew{max(workers, 1), ctx}
	t, exponent, err := scaledLower(a)
	if err != nil {
		return nil, Matrix{}, err
	}
	if used != nil {
		return eigenByLibrary(a, c)
	}
	r := reduceToTridiagonal(a.N, t, c)
	values, z, err := r.conquer(c)
	if err != nil {
		return nil, Matrix{}, err
	}
	r.back(z, c)
	values, vectors := sorted(values, z, c)
	for i := range values {
		values[i] = math.Ldexp(values[i], exponent)
	}
	return values, vectors, ctx.Err()
}

// eigenByLibrary is Eigen by another library.
func eigenByLibrary(a Matrix, c crew) ([]float64, Matrix, error) {
	z := a.Clone()
	values, err := used.eigen(z, c.workers)
	if err != nil {
		return nil, Matrix{}, err
	}
	values, vectors := sorted(values, z, c)
	return values, vectors, c.ctx.Err()
}

// scaledLower copies the lower triangle divided by 2^exponent, so that its elements are 1 at most, to rows that begin where cache lines may.
func scaledLower(a Matrix) (padded, int, error) {
	var largest float64
	for i := range a.N {
		for _, v := range a.Row(i)[:i+1] {
			if v = math.Abs(v); !(v <= largest) {
				largest = v
			}
			if math.IsNaN(v) || math.IsInf(v, 1) {
				return padded{}, 0, ErrNoConvergence
			}
		}
	}
	exponent, unit := scaleOf(largest)
	ld := (a.N+7)/8*8 + 8
	t := padded{ld, make([]float64, a.N*ld)}
	for i := range a.N {
		to := t.row(i)
		for j, v := range a.Row(i)[:i+1] {
			to[j] = v * unit
		}
	}
	return t, exponent, nil
}

// sorted orders eigenvalues from the largest, with their vectors, and settles the vectors' signs.
func sorted(values []float64, z Matrix, c crew) ([]float64, Matrix) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	out, vectors := make([]float64, len(values)), NewMatrix(z.N)
	par.For(c.workers, len(order), func(i int) {
		from := order[i]
		out[i] = values[from]
		row := vectors.Row(i)
		copy(row, z.Row(from))
		largest := 0
		for j, v := range row {
			if math.Abs(v) > math.Abs(row[largest]) {
				largest = j
			}
		}
		if len(row) > 0 && row[largest] < 0 {
			for j := range row {
				row[j] = -row[j]
			}
		}
	})
	return out, vectors
}
