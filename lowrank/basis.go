package lowrank

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// Basis finds a factor that several weights have in common: W_l ≈ U_l·V with one V, from the weights on top of one another, or W_l ≈ U·V_l
// with one U, from the weights side by side (Basis Sharing, Wang et al. 2025, ICLR, arXiv 2410.03765, section 3). Inputs count by the mean of the
// members' Gram matrices, or each weight's own for a common U, where there are statistics.
type Basis struct {
	Rank  int
	Left  bool          // U is in common, else V
	Store approx.Method // how the factor is stored

	// Relative counts the loss of each member by what its outputs are, and its inputs by their own size: else layers whose inputs are small get a
	// basis for others' inputs.
	Relative bool
}

// Name returns "basis-u" or "basis-v", by what is in common.
func (b Basis) Name() string { return basisName(b.Left) }

func basisName(left bool) string {
	if left {
		return "basis-u"
	}
	return "basis-v"
}

// Needs returns calib.Gram.
func (Basis) Needs() calib.Need { return calib.Gram }

// Share returns the factor: V (rank, cols) or U (rows, rank).
func (b Basis) Share(m approx.Members) ([]codec.Term, string, error) {
	factor, _, note, err := b.factor(m)
	if err != nil {
		return nil, "", err
	}
	term, _, err := b.Store.Solve(storing(m, narrowed(factor)))
	if err != nil {
		return nil, "", fmt.Errorf("factor: %w", err)
	}
	return []codec.Term{term}, note, m.Err()
}

// factor returns the factor before it is rounded, and all eigenvalues: with it and the best other factors the members' loss is the sum of those
// after the first rank.
func (b Basis) factor(m approx.Members) (factor linalg.Dense, values []float64, note string, err error) {
	if b.Left {
		return b.left(m)
	}
	return b.right(m)
}

// right finds V: the leading eigenvectors of Σ (W_l·S)ᵀ·W_l·S with S·Sᵀ the mean Gram matrix, times S⁻¹.
func (b Basis) right(m approx.Members) (linalg.Dense, []float64, string, error) {
	cols := m.W[0].Cols
	h, note := meanMetric(m, b.Relative)
	var white *linalg.Whitening
	if h.Rows > 0 {
		var err error
		if white, err = linalg.Whiten(linalg.Matrix{N: cols, Data: h.Data}, 0, m.Workers); err != nil {
			white, note = nil, fmt.Sprintf("not weighted by inputs: %v", err)
		}
	}
	sum := linalg.NewDense(cols, cols)
	for l, w := range m.W {
		if w.Cols != cols {
			return sum, nil, "", fmt.Errorf("%s reads %d inputs and %s %d: weights with as many inputs have a right factor in common", m.Names[0], cols, m.Names[l], w.Cols)
		}
		a := widened(w)
		if white != nil {
			a = white.Apply(a, m.Workers)
		}
		b.balance(a, inner(a, a))
		t := a.Transposed()
		add(sum, t.TimesT(t, m.Workers))
		if err := m.Err(); err != nil {
			return sum, nil, "", err
		}
	}
	v, values, err := b.leading(sum, len(m.W), m)
	if err == nil && white != nil {
		v = white.Undo(v, m.Workers)
	}
	return v, values, note, err
}

// left finds U: the leading eigenvectors of Σ W_l·H_l·W_lᵀ, as columns.
func (b Basis) left(m approx.Members) (linalg.Dense, []float64, string, error) {
	rows, note := m.W[0].Rows, ""
	sum := linalg.NewDense(rows, rows)
	for l, w := range m.W {
		if w.Rows != rows {
			return sum, nil, "", fmt.Errorf("%s has %d outputs and %s %d: weights with as many outputs have a left factor in common", m.Names[0], rows, m.Names[l], w.Rows)
		}
		h, why := ownMetric(m.Stats[l], w.Cols)
		if why != "" && note == "" {
			note = fmt.Sprintf("%s: %s", m.Names[l], why)
		}
		a := widened(w)
		weighed := timesMetric(a, h, m.Workers)
		b.balance(a, inner(weighed, a))
		add(sum, timesMetric(a, h, m.Workers).TimesT(a, m.Workers))
		if err := m.Err(); err != nil {
			return sum, nil, "", err
		}
	}
	u, values, err := b.leading(sum, len(m.W), m)
	return u.Transposed(), values, note, err
}

// balance divides a by the root of its energy, if losses are relative.
func (b Basis) balance(a linalg.Dense, energy float64) {
	if !b.Relative || energy <= 0 {
		return
	}
	scale(a, 1/math.Sqrt(energy))
}

// scale is a *= f.
func scale(a linalg.Dense, f float64) {
	for i := range a.Data {
		a.Data[i] *= f
	}
}

// leading returns the first eigenvectors of sum as rows, each times the fourth root of what it explains of one weight, so that both factors
// have values of about one size.
func (b Basis) leading(sum linalg.Dense, members int, m approx.Members) (linalg.Dense, []float64, error) {
	if b.Rank < 1 || b.Rank > sum.Rows {
		return sum, nil, fmt.Errorf("%s and others have no common factor of rank %d: use 1 to %d", m.Names[0], b.Rank, sum.Rows)
	}
	values, vectors, err := linalg.Eigen(linalg.Matrix{N: sum.Rows, Data: sum.Data}, m.Workers)
	if err != nil {
		return sum, nil, fmt.Errorf("%s and others: %w; check the weights with pith verify", m.Names[0], err)
	}
	top := linalg.Dense{Rows: b.Rank, Cols: sum.Rows, Data: vectors.Data[:b.Rank*sum.Rows]}.Clone()
	for k := range b.Rank {
		root := math.Sqrt(math.Sqrt(max(values[k], 1e-12*values[0]) / float64(members)))
		for i := range top.Row(k) {
			top.Row(k)[i] *= root
		}
	}
	return top, values, nil
}

// add is to += a.
func add(to, a linalg.Dense) {
	for i, v := range a.Data {
		to.Data[i] += v
	}
}

// FromBasis solves a weight's own factor for the common one as it is stored: the one of least loss, rounded by Store.
type FromBasis struct {
	Codec codec.LowRank
	Left  bool // U is in common
	Store approx.Method
}

// Name returns "basis-u" or "basis-v".
func (f FromBasis) Name() string { return basisName(f.Left) }

// Needs returns calib.Gram.
func (FromBasis) Needs() calib.Need { return calib.Gram }

// RowWise reports false: all rows share a factor.
func (FromBasis) RowWise() bool { return false }

// Solve needs the common factor in p.Shared.
func (f FromBasis) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	rank := f.Codec.Rank(p.W.Rows, p.W.Cols)
	want := [2]int{rank, p.W.Cols}
	if f.Left {
		want = [2]int{p.W.Rows, rank}
	}
	if len(p.Shared) != 1 || dims(p.Shared[0]) != want {
		return nil, approx.Report{}, fmt.Errorf("%s: the set has no factor of shape %v; make the plan again", p.Name, want)
	}
	h, note := ownMetric(p.Stats, p.W.Cols)
	own := p
	var u, v codec.Term
	var err error
	if f.Left {
		u = p.Shared[0]
		if own.W, err = f.rightFactor(p, u); err == nil {
			v, _, err = f.Store.Solve(own)
		}
	} else {
		v = p.Shared[0]
		if own.W, own.Stats, err = f.leftFactor(p, v, h); err == nil {
			u, _, err = f.Store.Solve(own)
		}
	}
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: own factor: %w", p.Name, err)
	}
	term := f.Codec.Join(u, v)
	report := approx.Measure(p, term)
	report.Proxy, report.ProxyNorm = approx.OutputLoss(p, term)
	report.Fallback = note
	return term, report, p.Err()
}

func dims(t codec.Term) [2]int {
	rows, cols := t.Dims()
	return [2]int{rows, cols}
}

// decodeTerm returns a whole term in float64.
func decodeTerm(t codec.Term) linalg.Dense {
	rows, cols := t.Dims()
	w := tensor.NewMat(rows, cols)
	codec.Read(t, w, 0)
	return widened(w)
}

// leftFactor returns U = W·H·Vᵀ·(V·H·Vᵀ)⁻¹, and the statistics of what it multiplies, V·x.
func (f FromBasis) leftFactor(p approx.Problem, shared codec.Term, h linalg.Dense) (tensor.Mat, *calib.Stats, error) {
	v := decodeTerm(shared)
	weighed := timesMetric(v, h, p.Workers)
	normal := weighed.TimesT(v, p.Workers)
	var stats *calib.Stats
	if h.Rows > 0 {
		stats = calib.NewGram(v.Rows)
		stats.Tokens = p.Stats.Tokens
		for i := range v.Rows {
			for j, g := range normal.Row(i)[:i+1] {
				stats.Gram[i*(i+1)/2+j] = g * float64(p.Stats.Tokens)
			}
			stats.SqSum[i] = max(0, normal.Row(i)[i]*float64(p.Stats.Tokens))
		}
	}
	u := widened(p.W).TimesT(weighed, p.Workers)
	err := solveRidge(normal, u, p.Workers)
	return narrowed(u), stats, err
}

// rightFactor returns V = (Uᵀ·U)⁻¹·Uᵀ·W, which is best whatever the inputs are.
func (f FromBasis) rightFactor(p approx.Problem, shared codec.Term) (tensor.Mat, error) {
	ut := decodeTerm(shared).Transposed()
	normal := ut.TimesT(ut, p.Workers)
	right := widened(p.W).Transposed().TimesT(ut, p.Workers) // Wᵀ·U
	err := solveRidge(normal, right, p.Workers)
	return narrowed(right.Transposed()), err
}

// solveRidge replaces X by X·A⁻¹ for a symmetric positive semidefinite A, to which next to nothing is added so that it has an inverse.
func solveRidge(a, x linalg.Dense, workers int) error {
	m := linalg.Matrix{N: a.Rows, Data: a.Clone().Data}
	var top float64
	for i := range m.N {
		top = max(top, m.Row(i)[i])
	}
	if top == 0 {
		clear(x.Data)
		return nil
	}
	for i := range m.N {
		m.Row(i)[i] += 1e-10 * top
	}
	if err := linalg.Cholesky(m, workers); err != nil {
		return err
	}
	linalg.SolveRight(m, x.Data, x.Rows, workers)
	return nil
}
