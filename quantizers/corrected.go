package quantizers

import (
	"fmt"
	"sync/atomic"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/linalg"
	"pith/tensor"
)

// Corrected has Method approximate not W but what gives the original network's outputs from the inputs that the compressed one has: with
// x, x̂ the inputs and r, r̂ what outputs are added to in the two networks, the V that minimises the mean over calibration tokens of
//
//	|W·x + r - V·x̂ - r̂|² + λ·|V - W|²,   V = W + (W·Δ + R)·(H + λ)⁻¹,   Δ = mean of (x - x̂)·x̂ᵀ,   R = mean of (r - r̂)·x̂ᵀ
//
// and H = mean of x̂·x̂ᵀ. So each weight makes up for what can be foreseen of the errors before it; those added to the residual stream
// would otherwise stay. A row whose correction is more than ten times the row stays as it is: the networks
// differ by more than a weight can make up for. Needs statistics with a drift (calib.Drift); without, it is Method. The idea of matching original outputs is that
// of Li et al. 2025 (GPTAQ, arXiv 2504.02692) and Zhang et al. 2025 (Qronos, arXiv 2505.11695); the residual stream and the ridge are ours.
type Corrected struct {
	Method approx.Method
	Ridge  float64 // λ relative to the mean diagonal of H; 0 means 0.3
}

const (
	defaultRidge = 0.3
	farLarger    = 10
)

// Name returns the inner method's name.
func (m Corrected) Name() string { return m.Method.Name() }

// Needs returns what the inner method needs.
func (m Corrected) Needs() calib.Need { return m.Method.Needs() }

// RowWise reports what the inner method does: a row's correction needs that row only.
func (m Corrected) RowWise() bool { return m.Method.RowWise() }

// Solve solves the corrected problem. Its report is that of V.
func (m Corrected) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if p.Stats == nil || p.Stats.Drift == nil || codec.CheckFinite(p.W) != nil {
		return m.Method.Solve(p) // which says where a weight is not finite
	}
	v, why, err := m.correct(p)
	if err != nil {
		return nil, approx.Report{}, err
	}
	if v.Rows > 0 {
		p.W = v
	}
	term, report, err := m.Method.Solve(p)
	if why != "" && report.Fallback == "" {
		report.Fallback = "errors of earlier layers left as they are: " + why
	}
	return term, report, err
}

// ridgeFactor is the Cholesky factor of H + λ, or why there is none.
type ridgeFactor struct {
	l   linalg.Matrix
	why string
}

// correct returns V, empty if there is none, and why rows of it, or all, are W's. An error is that of p's context.
func (m Corrected) correct(p approx.Problem) (v tensor.Mat, why string, err error) {
	n, s := p.W.Cols, p.Stats
	if s.Tokens < minTokens {
		return v, fmt.Sprintf("statistics of %d tokens", s.Tokens), nil
	}
	if len(s.Drift.Input) != n*n || s.Drift.Output != nil && len(s.Drift.Output) < (p.Row0+p.W.Rows)*n {
		panic("quantizers: drift of another shape than the weight's")
	}
	ridge := m.Ridge
	if ridge == 0 {
		ridge = defaultRidge
	}
	made, err := s.TryDerive(fmt.Sprintf("quantizers: ridge %g", ridge), func() (any, error) { return newRidgeFactor(p, ridge) })
	if err != nil {
		return v, "", err
	}
	f := made.(ridgeFactor)
	if f.why != "" {
		return v, f.why, nil
	}
	v = tensor.NewMat(p.W.Rows, n)
	scale := 1 / float64(s.Tokens)
	var left atomic.Int64
	par.Ranges(p.Workers, p.W.Rows, groupRows, func(lo, hi int) {
		if p.Err() != nil {
			return
		}
		rows := hi - lo
		sums := make([]float32, rows*n)
		kernels.GemmNN(sums, n, p.W.Slice(lo, hi).Data, p.W.Stride, s.Drift.Input, n, rows, n, n)
		x := make([]float64, rows*n)
		for i, u := range sums {
			x[i] = float64(u) * scale
		}
		if out := s.Drift.Output; out != nil {
			for i, u := range out[(p.Row0+lo)*n : (p.Row0+hi)*n] {
				x[i] += float64(float64(u) * scale)
			}
		}
		linalg.SolveRight(f.l, x, rows, 1)
		for r := range rows {
			if !addRow(v.Row(lo+r), p.W.Row(lo+r), x[r*n:(r+1)*n]) {
				left.Add(1)
			}
		}
	})
	if left.Load() > 0 {
		why = fmt.Sprintf("in %d of %d rows they are far larger than the weights", left.Load(), v.Rows)
	}
	return v, why, p.Err()
}

// addRow sets to to w + x, and reports whether it did: to w if x is not finite, or more than farLarger times w.
func addRow(to, w []float32, x []float64) bool {
	var norm, change float64
	for c, u := range x {
		norm += float64(float64(w[c]) * float64(w[c]))
		change += float64(u * u)
		to[c] = float32(float64(w[c]) + u)
	}
	if change <= farLarger*farLarger*norm {
		return true
	}
	copy(to, w)
	return false
}

func newRidgeFactor(p approx.Problem, ridge float64) (ridgeFactor, error) {
	n := p.W.Cols
	h, mean, why := meanGram(p.Stats, n)
	if why != "" {
		return ridgeFactor{why: why}, nil
	}
	for i := range n {
		h.Row(i)[i] += ridge * mean
	}
	if err := cholesky(p, h); err != nil {
		return ridgeFactor{why: fmt.Sprintf("Gram matrix: %v", err)}, p.Err()
	}
	return ridgeFactor{l: h}, nil
}
