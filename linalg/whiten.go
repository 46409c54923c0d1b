package linalg

import (
	"context"
	"math"

	"pith/internal/par"
)

// WhitenFloor is the smallest floor of Whiten: eigenvalues below this part of the largest are rounding and noise of the statistics.
const WhitenFloor = 1e-6

// Whitening is a symmetric positive definite matrix G in its eigenvectors: G = S·Sᵀ with S = Q·√Λ. A loss tr(E·G·Eᵀ) is then the squared
// Frobenius norm of E·S.
type Whitening struct {
	Values  []float64 // eigenvalues, largest first, raised to the floor
	Vectors Matrix    // row i is the eigenvector of value i: Qᵀ
	Floored int       // how many eigenvalues were raised
}

// Whiten factors gram, symmetric and positive semidefinite, of which the lower triangle is read, raising eigenvalues to floor (at
// least WhitenFloor) times the largest. A matrix whose eigenvalues are all zero or less is ErrZero.
//
// The eigen form instead of Cholesky's: it needs no positive definite matrix and says what was raised (SVD-LLM v2, Wang et al. 2025,
// arXiv 2503.12340, section 3.2).
func Whiten(gram Matrix, floor float64, workers int) (*Whitening, error) {
	return WhitenContext(context.Background(), gram, floor, workers)
}

// WhitenContext is Whiten that stops soon after ctx has ended, with its error.
func WhitenContext(ctx context.Context, gram Matrix, floor float64, workers int) (*Whitening, error) {
	values, vectors, err := EigenContext(ctx, gram, workers)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 || values[0] <= 0 {
		return nil, ErrZero
	}
	w := &Whitening{Values: values, Vectors: vectors}
	least := max(floor, WhitenFloor) * values[0]
	for i, v := range values {
		if v < least {
			values[i] = least
			w.Floored++
		}
	}
	return w, nil
}

// Apply returns W·S of a matrix W of N columns.
func (w *Whitening) Apply(a Dense, workers int) Dense {
	out := a.TimesT(Dense{w.Vectors.N, w.Vectors.N, w.Vectors.Data}, workers)
	w.scale(out, workers, func(v float64) float64 { return math.Sqrt(v) })
	return out
}

// Undo returns V·S⁻¹ of a matrix V of N columns.
func (w *Whitening) Undo(a Dense, workers int) Dense {
	scaled := a.Clone()
	w.scale(scaled, workers, func(v float64) float64 { return 1 / math.Sqrt(v) })
	return scaled.Times(Dense{w.Vectors.N, w.Vectors.N, w.Vectors.Data}, workers)
}

// scale multiplies columns by f of their eigenvalue.
func (w *Whitening) scale(a Dense, workers int, f func(float64) float64) {
	factors := make([]float64, len(w.Values))
	for i, v := range w.Values {
		factors[i] = f(v)
	}
	par.Ranges(workers, a.Rows, strip, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := a.Row(i)
			for j, f := range factors {
				row[j] *= f
			}
		}
	})
}
