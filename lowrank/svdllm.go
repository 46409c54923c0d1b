package lowrank

import (
	"pith/approx"
	"pith/calib"
	"pith/linalg"
)

// SVDLLM counts errors by what they do to the outputs of calibration: |(W-Ŵ)·X|², so that what rank r loses is exactly the tail of the
// spectrum of W·S, S·Sᵀ = X·Xᵀ, and no other product of that rank loses less there (Wang et al. 2024, SVD-LLM, arXiv 2403.07378; version 2, arXiv 2503.12340, has the
// eigenvectors in place of Cholesky's factor).
type SVDLLM struct {
	Damping float64 // added to the diagonal of the mean of x·xᵀ, relative to its mean
	// Update fits U to the outputs of the original network, from the inputs that the compressed one has (the paper's closed-form
	// update), where statistics tell of them (calib.Drift).
	Update bool
	Quiet  bool // no note where there is no Gram matrix
}

// Name returns "svd-llm", or "svd-llm-u" with Update.
func (s SVDLLM) Name() string {
	if s.Update {
		return "svd-llm-u"
	}
	return "svd-llm"
}

// Needs returns calib.Gram.
func (SVDLLM) Needs() calib.Need { return calib.Gram }

// Metric returns that of the Gram matrix; without one, of elements.
func (s SVDLLM) Metric(p approx.Problem) (Metric, string, error) {
	m, why := gramMetric(p, s.Damping)
	if why == "" || s.Quiet {
		return m, "", nil
	}
	return m, "plain svd: " + why, nil
}

// target returns T·M, where T·x̂ + r̂ comes nearest to W·x + r, with x, r the input and what outputs are added to in the original network and x̂, r̂ in the
// compressed one: W·(M+Δ) + R, Δ the mean of (x-x̂)·x̂ᵀ and R that of (r-r̂)·x̂ᵀ. Empty where it is W·M.
func (s *stored) target(w linalg.Dense) linalg.Dense {
	method, ok := s.factorizer.Weighting.(SVDLLM)
	if !ok || !method.Update || !s.metric.full() || s.p.Stats.Drift == nil {
		return linalg.Dense{}
	}
	n, st := w.Cols, s.p.Stats
	if len(st.Drift.Input) != n*n || st.Drift.Output != nil && len(st.Drift.Output) < (s.p.Row0+w.Rows)*n {
		panic("lowrank: drift of another shape than the weight's")
	}
	scale := 1 / float64(st.Tokens)
	moved := linalg.NewDense(n, n)
	for i, v := range st.Drift.Input {
		moved.Data[i] = s.metric.gram.Data[i] + float64(float64(v)*scale)
	}
	tm := w.Times(moved, s.p.Workers)
	if st.Drift.Output != nil {
		for i, v := range st.Drift.Output[s.p.Row0*n : (s.p.Row0+w.Rows)*n] {
			tm.Data[i] += float64(float64(v) * scale)
		}
	}
	return tm
}
