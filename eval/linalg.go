package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"pith/linalg"
)

// LinalgSpeed is how long one decomposition takes.
type LinalgSpeed struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
}

// LinalgOptions chooses what MeasureLinalg times.
type LinalgOptions struct {
	Sizes            []int // of square matrices
	Rows, Cols, Rank int   // of the truncated decomposition; rank 0: none
	Repeats          int   // the best counts
	Workers          int
}

// MeasureLinalg times the decompositions of uniform random matrices: Cholesky's and the eigenvectors of their Gram matrices, singular values
// and vectors of themselves, and the first ones of a matrix whose columns fall.
func MeasureLinalg(ctx context.Context, o LinalgOptions) ([]LinalgSpeed, error) {
	var list []LinalgSpeed
	measure := func(what string, run func() error) error {
		s := LinalgSpeed{what, math.Inf(1)}
		for range max(1, o.Repeats) {
			start := time.Now()
			if err := run(); err != nil {
				return fmt.Errorf("bench linalg, %s: %w", what, err)
			}
			s.Seconds = min(s.Seconds, time.Since(start).Seconds())
		}
		list = append(list, s)
		return nil
	}
	for _, n := range o.Sizes {
		if err := measureSquare(ctx, n, o.Workers, measure); err != nil {
			return nil, err
		}
	}
	if o.Rank == 0 {
		return list, nil
	}
	a := uniformDense(o.Rows, o.Cols)
	for i, v := range a.Data {
		a.Data[i] = v * math.Exp2(-8*float64(i%o.Cols)/float64(o.Cols))
	}
	err := measure(fmt.Sprintf("first %d singular vectors, %d × %d", o.Rank, o.Rows, o.Cols), func() error {
		_, _, err := linalg.TopSVDContext(ctx, a, o.Rank, linalg.TopOptions{Approximate: true}, o.Workers)
		return err
	})
	return list, err
}

// measureSquare times the decompositions of n × n matrices.
func measureSquare(ctx context.Context, n, workers int, measure func(what string, run func() error) error) error {
	a := uniformDense(n, n)
	gram := linalg.Matrix{N: n, Data: a.TimesT(a, workers).Data}
	for i := range n {
		gram.Row(i)[i]++
	}
	size := fmt.Sprintf("%d × %d", n, n)
	if err := measure("Cholesky, "+size, func() error { return linalg.CholeskyContext(ctx, gram.Clone(), workers) }); err != nil {
		return err
	}
	if err := measure("eigenvectors, "+size, func() error {
		_, _, err := linalg.EigenContext(ctx, gram, workers)
		return err
	}); err != nil {
		return err
	}
	return measure("singular vectors, "+size, func() error {
		_, err := linalg.SVDContext(ctx, a, workers)
		return err
	})
}

func uniformDense(rows, cols int) linalg.Dense {
	rng := rand.New(rand.NewPCG(3, 4))
	a := linalg.NewDense(rows, cols)
	for i := range a.Data {
		a.Data[i] = rng.Float64() - 0.5
	}
	return a
}
