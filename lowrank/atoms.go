package lowrank

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/linalg"
)

// MatrixPCA finds the atoms of a set of weights of one shape: the principal components of the weights as vectors (MASA, Zhussip et al.
// 2025, arXiv 2508.04581, section 4: Gram matrix of vec(W_l), an eigenproblem as large as there are weights). Distances are those of
// outputs, tr(E·H·Eᵀ) with H the mean Gram matrix of the members' inputs, where there are statistics of all; else those of weights.
type MatrixPCA struct {
	Atoms int
	Store approx.Method // how an atom is stored

	// Relative counts the loss of each member by what its outputs are, and its inputs by their own size.
	Relative bool
}

// Name returns "matrix-pca".
func (MatrixPCA) Name() string { return "matrix-pca" }

// Needs returns calib.Gram.
func (MatrixPCA) Needs() calib.Need { return calib.Gram }

// Share returns the atoms, the one that explains most first.
func (p MatrixPCA) Share(m approx.Members) ([]codec.Term, string, error) {
	atoms, _, note, err := p.components(m)
	if err != nil {
		return nil, "", err
	}
	terms := make([]codec.Term, p.Atoms)
	for s, d := range atoms {
		term, _, err := p.Store.Solve(storing(m, narrowed(d)))
		if err != nil {
			return nil, "", fmt.Errorf("atom %d: %w", s, err)
		}
		terms[s] = term
	}
	return terms, note, m.Err()
}

// components returns the atoms before they are rounded, and all eigenvalues: the energy Σ‖W_l − Ŵ_l‖² of the best combinations of S atoms is the sum
// of those after the S largest.
func (p MatrixPCA) components(m approx.Members) (atoms []linalg.Dense, values []float64, note string, err error) {
	n := len(m.W)
	if p.Atoms < 1 || p.Atoms > n {
		return nil, nil, "", fmt.Errorf("%d atoms for %d weights: use 1 to %d", p.Atoms, n, n)
	}
	for l, w := range m.W {
		if w.Rows != m.W[0].Rows || w.Cols != m.W[0].Cols {
			return nil, nil, "", fmt.Errorf("%s is (%d, %d) and %s (%d, %d): weights of one shape have atoms in common", m.Names[0], m.W[0].Rows, m.W[0].Cols, m.Names[l], w.Rows, w.Cols)
		}
	}
	h, note := meanMetric(m, p.Relative)
	all := make([]linalg.Dense, n)
	gram := linalg.NewMatrix(n)
	for l, w := range m.W {
		if err := m.Err(); err != nil {
			return nil, nil, "", err
		}
		all[l] = widened(w)
		weighed := timesMetric(all[l], h, m.Workers)
		if energy := inner(weighed, all[l]); p.Relative && energy > 0 {
			scale(all[l], 1/math.Sqrt(energy))
			weighed = timesMetric(all[l], h, m.Workers)
		}
		for k := range l + 1 {
			gram.Row(l)[k] = inner(weighed, all[k])
		}
	}
	values, vectors, err := linalg.Eigen(gram, 1)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s and others: %w; check the weights with pith verify", m.Names[0], err)
	}
	for s := range p.Atoms {
		d := linalg.NewDense(m.W[0].Rows, m.W[0].Cols)
		for l, c := range vectors.Row(s) {
			for i, v := range all[l].Data {
				d.Data[i] += float64(c * v)
			}
		}
		atoms = append(atoms, d)
	}
	return atoms, values, note, nil
}

// FromAtoms combines the atoms of a weight's set. Coefficients are those of least loss for the atoms as they are stored, in the metric of the
// weight's own inputs.
type FromAtoms struct{ Codec codec.Atoms }

// Name returns "matrix-pca".
func (FromAtoms) Name() string { return MatrixPCA{}.Name() }

// Needs returns calib.Gram.
func (FromAtoms) Needs() calib.Need { return calib.Gram }

// RowWise reports false: coefficients are of all rows.
func (FromAtoms) RowWise() bool { return false }

// Solve needs the atoms in p.Shared.
func (f FromAtoms) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if len(p.Shared) != f.Codec.Count() {
		return nil, approx.Report{}, fmt.Errorf("%s: %d atoms are there, %s needs %d; make the plan again", p.Name, len(p.Shared), f.Codec.Name(), f.Codec.Count())
	}
	h, note := ownMetric(p.Stats, p.W.Cols)
	atoms := make([]linalg.Dense, len(p.Shared))
	normal := linalg.NewMatrix(len(atoms))
	right := make([]float64, len(atoms))
	w := widened(p.W)
	for s, t := range p.Shared {
		if rows, cols := t.Dims(); rows != p.W.Rows || cols != p.W.Cols {
			return nil, approx.Report{}, fmt.Errorf("%s: atoms of shape (%d, %d); make the plan again", p.Name, rows, cols)
		}
		atoms[s] = decodeTerm(t)
		weighed := timesMetric(atoms[s], h, p.Workers)
		for k := range s + 1 {
			normal.Row(s)[k] = inner(weighed, atoms[k])
		}
		right[s] = inner(weighed, w)
		if err := p.Err(); err != nil {
			return nil, approx.Report{}, err
		}
	}
	x, err := leastSquares(normal, right)
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: coefficients: %w", p.Name, err)
	}
	coefficients := make([]float32, len(x))
	for s, v := range x {
		coefficients[s] = float32(v)
	}
	term := f.Codec.Combine(coefficients, p.Shared)
	report := approx.Measure(p, term)
	report.Proxy, report.ProxyNorm = approx.OutputLoss(p, term)
	report.Fallback = note
	return term, report, p.Err()
}
