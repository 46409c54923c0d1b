package lowrank

import (
	"pith/linalg"
)

// refitRidge is added to the Gram matrix of a factor's rows, relative to its largest diagonal element: rows may be zero, or nearly the same.
const refitRidge = 1e-9

// leftFactor returns the U that makes tr((W-U·V)·M·(W-U·V)ᵀ) least, (T·M)·Vᵀ·(V·M·Vᵀ)⁻¹ with T·M = tm, and V·M·Vᵀ. tm may be empty:
// that of w. U is empty if V is all zero.
func (m Metric) leftFactor(tm, w, v linalg.Dense, workers int) (u, gram linalg.Dense, err error) {
	vm := m.times(v, workers)
	gram = vm.TimesT(v, workers)
	factor := gram.Clone()
	if !addRidge(factor) {
		return linalg.Dense{}, gram, nil
	}
	if tm.Rows > 0 {
		u = tm.TimesT(v, workers)
	} else {
		u = w.TimesT(vm, workers)
	}
	lower := linalg.Matrix{N: factor.Rows, Data: factor.Data}
	if err := linalg.Cholesky(lower, workers); err != nil {
		return linalg.Dense{}, gram, err
	}
	linalg.SolveRight(lower, u.Data, u.Rows, workers)
	return u, gram, nil
}

// rightFactor returns the V that makes |D·(W-U·V)·S|² least, (Uᵀ·D²·U)⁻¹·Uᵀ·D²·W whatever S is; empty if U is all zero. was is V so far.
func (m Metric) rightFactor(w, u, was linalg.Dense, workers int) linalg.Dense {
	scaled := u.Clone()
	scaleRows(scaled, m.Rows, workers)
	across := scaled.Transposed() // Uᵀ·D
	factor := across.TimesT(across, workers)
	if !addRidge(factor) {
		return linalg.Dense{}
	}
	scaleCols(across, m.Rows, workers)
	v := across.Times(w, workers).Transposed() // (cols, rank)
	lower := linalg.Matrix{N: factor.Rows, Data: factor.Data}
	if linalg.Cholesky(lower, workers) != nil {
		return linalg.Dense{}
	}
	linalg.SolveRight(lower, v.Data, v.Rows, workers)
	return v.Transposed()
}

// addRidge makes a positive semidefinite matrix definite; false if it is zero.
func addRidge(a linalg.Dense) bool {
	var top float64
	for i := range a.Rows {
		top = max(top, a.Row(i)[i])
	}
	if !(top > 0) {
		return false
	}
	for i := range a.Rows {
		a.Row(i)[i] += float64(refitRidge * top)
	}
	return true
}
