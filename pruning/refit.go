package pruning

import (
	"pith/calib"
	"pith/internal/par"
	"pith/linalg"
	"pith/tensor"
)

// Refit gives kept elements the values at which the outputs lose least, row by row: with K the columns kept and P those pruned
//
//	w_K = w_K + (H_KK)⁻¹·H_KP·w_P,   H damped,
//
// which is (H_KK)⁻¹·H_K·w, the minimum of tr(E·H·Eᵀ) for the mask. Mask chooses the mask: Zero by the dense weight, Sequential while it updates.
// A row takes |K|³/3 products; above refitMost kept elements it is solved by conjugate gradients, from Sequential's solution.
type Refit struct {
	Mask Solver
	// Most overrides refitMost; 0 leaves it.
	Most int
}

// refitMost is the largest number of kept elements of a row that is solved by a factorization.
const refitMost = 1024

// Name returns "refit", or "obs-refit" where Sequential chooses the mask.
func (s Refit) Name() string {
	if _, ok := s.Mask.(Sequential); ok {
		return "obs-refit"
	}
	return "refit"
}

// Needs returns calib.Gram.
func (Refit) Needs() calib.Need { return calib.Gram }

// Solve leaves the values that Mask gave if there is no curvature.
func (s Refit) Solve(t *Task) string {
	note := s.Mask.Solve(t)
	f, why := t.Inputs.Curvature()
	if why != "" {
		return "pruned without updates: " + why
	}
	s.fit(t, f)
	return note
}

// fit sets the values for the mask.
func (s Refit) fit(t *Task, f *linalg.Curvature) {
	most := s.Most
	if most == 0 {
		most = refitMost
	}
	var long []int // rows too long to be factored
	for r := range t.W.Rows {
		if t.Mask.RowCount(r) > most {
			long = append(long, r)
		}
	}
	par.Ranges(t.Workers, t.W.Rows, 1, func(r, _ int) {
		if t.Mask.RowCount(r) <= most && !t.Inputs.stopped() {
			refitRow(t, f, r)
		}
	})
	if len(long) == 0 || t.Inputs.stopped() {
		return
	}
	if _, ok := s.Mask.(Sequential); !ok {
		sweepSome(t, f, long)
	}
	descend(t, f, long)
}

// refitRow solves row r by a factorization.
func refitRow(t *Task, f *linalg.Curvature, r int) {
	w, q := t.W.Row(r), t.Values.Row(r)
	var kept, pruned []int
	for c := range w {
		if t.Mask.Kept(r, c) {
			kept = append(kept, c)
		} else if w[c] != 0 {
			pruned = append(pruned, c)
		}
	}
	a, x := t.submatrix(f, kept), make([]float64, len(kept))
	for i, c := range kept {
		var sum float64
		for _, d := range pruned {
			sum += float64(t.gram(c, d) * float64(w[d]))
		}
		x[i] = sum
	}
	if linalg.Cholesky(a, 1) != nil {
		return // a part of a positive definite matrix is positive definite; rounding may say otherwise of one that barely is
	}
	linalg.Solve(a, x)
	for i, c := range kept {
		q[c] = float32(float64(w[c]) + x[i])
	}
}

// submatrix returns the lower triangle of H_KK, damped.
func (t *Task) submatrix(f *linalg.Curvature, kept []int) linalg.Matrix {
	a := linalg.NewMatrix(len(kept))
	for i, c := range kept {
		row, to := t.Inputs.Stats.GramRow(c), a.Row(i)
		for j, d := range kept[:i+1] {
			to[j] = t.mean(row[d])
		}
		to[i] += f.Added[c]
	}
	return a
}

// mean returns an entry of the Gram matrix as one of H.
func (t *Task) mean(v float64) float64 { return v / float64(t.Inputs.Stats.Tokens) }

// gram returns element (i, j) of H as observed.
func (t *Task) gram(i, j int) float64 {
	return t.mean(t.Inputs.Stats.GramRow(max(i, j))[min(i, j)])
}

// sweepSome solves rows by Sequential with the mask as it is.
func sweepSome(t *Task, f *linalg.Curvature, rows []int) {
	par.Ranges(t.Workers, len(rows), 1, func(i, _ int) {
		one := *t
		one.Selector = Row{}
		newSweeper(&one, f, rows[i], rows[i]+1, 1).run(false)
	})
}

// rowsOf returns a copy of some rows in float64, one after another.
func rowsOf(m tensor.Mat, rows []int) []float64 {
	out := make([]float64, len(rows)*m.Cols)
	for i, r := range rows {
		for c, v := range m.Row(r) {
			out[i*m.Cols+c] = float64(v)
		}
	}
	return out
}
