package quantizers

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"pith/approx"
	"pith/calib"
	"pith/internal/par"
	"pith/linalg"
)

// defaultDamping is the share of the mean diagonal of H that is added to the diagonal: QuIP#'s and GPTQ's 0.01.
const defaultDamping = 0.01

// dampingSteps and dampingGrowth bound the retries where H is not positive definite: 0.01, 0.0316, 0.1, 0.316, 1.
const dampingSteps = 5

var dampingGrowth = math.Sqrt(10)

// minTokens is the least number of tokens from which a Gram matrix says more than noise.
const minTokens = 2

// feedback is the factor H = L·D·Lᵀ of the damped mean H of x·xᵀ over tokens, L unit lower triangular. What is left of the loss
// tr(E·H·Eᵀ) once columns are rounded from the last to the first, each to its target, is Σ_j D_j·(E·L)_j² (Chee et al. 2023,
// QuIP, arXiv 2307.13304, eq. 6). Indices are positions: column order[j] of the weight is at position j.
type feedback struct {
	n       int
	order   []int     // nil: position j is column j
	l       []float32 // (n, n), zeros above the diagonal
	d       []float64
	added   []float64 // what was added to H's diagonal
	damping float64   // that did, relative to the mean diagonal

	stats *calib.Stats
	once  sync.Once
	h     []float32 // see damped
}

// derivedFeedback is what a Stats keeps: a feedback, or why there is none.
type derivedFeedback struct {
	f   *feedback
	why string
}

// newFeedback returns the factor of p's statistics, made once for all weights that share the input; or why there is none, in a few words.
// ordered sorts positions by H's diagonal, the largest last, so that it is rounded first. An error is that of p's context.
func newFeedback(p approx.Problem, damping float64, ordered bool) (f *feedback, why string, err error) {
	stats, cols := p.Stats, p.W.Cols
	switch {
	case stats == nil || stats.Gram == nil:
		return nil, "no Gram matrix", nil
	case len(stats.SqSum) != cols || len(stats.Gram) != cols*(cols+1)/2:
		panic("quantizers: statistics of another number of columns")
	case stats.Tokens < minTokens:
		return nil, fmt.Sprintf("statistics of %d tokens", stats.Tokens), nil
	}
	if damping == 0 {
		damping = defaultDamping
	}
	made, err := stats.TryDerive(fmt.Sprintf("feedback %g %t", damping, ordered), func() (any, error) {
		f, why, err := factor(p, damping, ordered)
		return derivedFeedback{f, why}, err
	})
	if err != nil {
		return nil, "", err
	}
	return made.(derivedFeedback).f, made.(derivedFeedback).why, nil
}

// factor computes what newFeedback keeps.
func factor(p approx.Problem, damping float64, ordered bool) (*feedback, string, error) {
	stats, n := p.Stats, p.W.Cols
	h, mean, why := meanGram(stats, n)
	if why != "" || p.Err() != nil {
		return nil, why, p.Err()
	}
	f := &feedback{n: n, stats: stats, added: make([]float64, n), d: make([]float64, n)}
	diagonal := make([]float64, n)
	for j := range n {
		diagonal[j] = h.Row(j)[j]
	}
	if ordered {
		f.order = make([]int, n)
		for j := range f.order {
			f.order[j] = j
		}
		slices.SortStableFunc(f.order, func(a, b int) int {
			switch {
			case diagonal[a] < diagonal[b]:
				return -1
			case diagonal[a] > diagonal[b]:
				return 1
			}
			return 0
		})
	}
	var err error
	for range dampingSteps {
		for j := range n {
			f.added[j] = damping * mean
			if diagonal[f.column(j)] == 0 {
				f.added[j] += mean // a dead column: it feeds nothing back, whatever its diagonal
			}
		}
		l := f.permuted(h)
		if err = cholesky(p, l); err == nil {
			f.damping = damping
			f.unit(l, p.Workers)
			return f, "", nil
		}
		if p.Err() != nil {
			return nil, "", p.Err()
		}
		damping *= dampingGrowth
	}
	return nil, fmt.Sprintf("Gram matrix: %v, however damped", err), nil
}

// cholesky is linalg.Cholesky within p's context.
func cholesky(p approx.Problem, a linalg.Matrix) error {
	if p.Context == nil {
		return linalg.Cholesky(a, p.Workers)
	}
	return linalg.CholeskyContext(p.Context, a, p.Workers)
}

// meanGram returns the mean of x·xᵀ (lower triangle) and the mean of its diagonal over columns that are not dead.
func meanGram(stats *calib.Stats, n int) (h linalg.Matrix, mean float64, why string) {
	if h, why = stats.MeanGram(n); why != "" {
		return h, 0, why
	}
	live := 0
	for i := range n {
		if v := h.Row(i)[i]; v > 0 {
			live++
			mean += v
		}
	}
	if live == 0 {
		return h, 0, "inputs that are all zero"
	}
	return h, mean / float64(live), ""
}

// column returns the column at position j.
func (f *feedback) column(j int) int {
	if f.order == nil {
		return j
	}
	return f.order[j]
}

// permuted returns the damped matrix by positions (lower triangle).
func (f *feedback) permuted(h linalg.Matrix) linalg.Matrix {
	out := linalg.NewMatrix(f.n)
	for i := range f.n {
		row, a := out.Row(i), f.column(i)
		for j := range i + 1 {
			b := f.column(j)
			row[j] = h.Row(max(a, b))[min(a, b)]
		}
		row[i] += f.added[i]
	}
	return out
}

// unit sets l and d from the Cholesky factor.
func (f *feedback) unit(c linalg.Matrix, workers int) {
	f.l = make([]float32, f.n*f.n)
	for j := range f.n {
		v := c.Row(j)[j]
		f.d[j] = float64(v * v)
	}
	par.Ranges(workers, f.n, 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := c.Row(i), f.l[i*f.n:(i+1)*f.n]
			for j := range i {
				to[j] = float32(from[j] / c.Row(j)[j])
			}
			to[i] = 1
		}
	})
}

// weights returns D by column: what a column's rounding error costs once feedback has done its part.
func (f *feedback) weights() []float32 {
	out := make([]float32, f.n)
	for j, v := range f.d {
		out[f.column(j)] = float32(v)
	}
	return out
}
