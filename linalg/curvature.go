package linalg

import (
	"context"
	"errors"
	"fmt"
	"math"

	"pith/internal/par"
	"pith/kernels"
)

// dampingSteps and dampingGrowth bound the retries where a matrix is not positive definite: 0.01, 0.0316, 0.1, 0.316, 1.
const dampingSteps = 5

var dampingGrowth = math.Sqrt(10)

// ErrZero says that no diagonal element of a matrix is above zero.
var ErrZero = errors.New("the matrix is all zero")

// Curvature is the factor L·D·Lᵀ of a symmetric matrix H with something added to its diagonal: of H, the mean of x·xᵀ over the inputs of a
// weight, it says what is lost of the outputs, tr(E·H·Eᵀ), once columns are decided from the last to the first: Σ_j D_j·(E·L)_j².
type Curvature struct {
	N       int
	L       []float32 // (N, N) unit lower triangular, zeros above the diagonal
	D       []float64
	Added   []float64 // what was added to the diagonal
	Damping float64   // that did, relative to the mean of the diagonal elements above zero
}

// NewCurvature factors h, whose lower triangle counts and stays as it is, after adding damping times the mean of the diagonal elements above
// zero to the diagonal; elements that are zero, of inputs that never were anything else, get that mean besides. Where this is not positive
// definite the damping grows by √10, four times at most. Elements must be finite. It stops soon after ctx has ended, with its error.
func NewCurvature(ctx context.Context, h Matrix, damping float64, workers int) (*Curvature, error) {
	mean, err := meanDiagonal(h)
	if err != nil {
		return nil, err
	}
	f := &Curvature{N: h.N, Added: make([]float64, h.N), D: make([]float64, h.N)}
	l := NewMatrix(h.N)
	for range dampingSteps {
		for j := range h.N {
			f.Added[j] = damping * mean
			if h.Row(j)[j] == 0 {
				f.Added[j] += mean
			}
			copy(l.Row(j)[:j+1], h.Row(j)[:j+1])
			l.Row(j)[j] += f.Added[j]
		}
		if err = CholeskyContext(ctx, l, workers); err == nil {
			f.Damping = damping
			f.unit(l, workers)
			return f, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		damping *= dampingGrowth
	}
	return nil, fmt.Errorf("%w, however damped", err)
}

// meanDiagonal returns the mean of the diagonal elements above zero; one below is an error.
func meanDiagonal(h Matrix) (float64, error) {
	var sum float64
	live := 0
	for j := range h.N {
		switch v := h.Row(j)[j]; {
		case v < 0:
			return 0, &NotPositiveError{j, v}
		case v > 0:
			live++
			sum += v
		}
	}
	if live == 0 {
		return 0, ErrZero
	}
	return sum / float64(live), nil
}

// unit sets L and D from the Cholesky factor.
func (f *Curvature) unit(c Matrix, workers int) {
	f.L = make([]float32, f.N*f.N)
	for j := range f.N {
		v := c.Row(j)[j]
		f.D[j] = float64(v * v)
	}
	par.Ranges(workers, f.N, grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := c.Row(i), f.L[i*f.N:(i+1)*f.N]
			for j := range i {
				to[j] = float32(from[j] / c.Row(j)[j])
			}
			to[i] = 1
		}
	})
}

// stripCols is how many columns of L Times multiplies by at once; of the triangle it then reads little more than half.
const stripCols = 128

// Times returns x·L of x, (rows, N) by rows.
func (f *Curvature) Times(x []float32, rows int) []float32 {
	if len(x) != rows*f.N {
		panic("linalg: Times of a matrix of another shape")
	}
	out, n := make([]float32, rows*f.N), f.N
	for c := 0; c < n && rows > 0; c += stripCols {
		kernels.GemmNN(out[c:], n, x[c:], n, f.L[c*n+c:], n, rows, min(stripCols, n-c), n-c)
	}
	return out
}

// Loss returns x·H·xᵀ, H without what was added, from x·L and x. Rounding may not make it negative.
func (f *Curvature) Loss(xl, x []float32) float64 {
	var damped, added float64
	for j, v := range xl {
		damped += float64(f.D[j] * float64(float64(v)*float64(v)))
		added += float64(f.Added[j] * float64(float64(x[j])*float64(x[j])))
	}
	return max(0, damped-added)
}
