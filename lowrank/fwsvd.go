package lowrank

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/calib"
)

// FWSVD counts rows by how much the loss depends on them: D = diag(√Σ_j I_ij), I the squared gradients of calibration (Hsu et al. 2022,
// Language model compression with weighted low-rank factorization, arXiv 2207.00112, eq. 6). With Inputs it counts columns by √mean_i I_ij
// instead, as the code of ASVD does under that name.
type FWSVD struct {
	Inputs bool
}

// Name returns "fwsvd", or "fisher-in" with Inputs.
func (f FWSVD) Name() string {
	if f.Inputs {
		return "fisher-in"
	}
	return "fwsvd"
}

// Needs returns calib.Nothing: squared gradients are of a weight, not of an input.
func (FWSVD) Needs() calib.Need { return calib.Nothing }

// fisherFloor is the least weight of a row or column, relative to the largest: those that no gradient reached are not free.
const fisherFloor = 1e-3

// Metric returns the diagonal one; without squared gradients an error.
func (f FWSVD) Metric(p approx.Problem) (Metric, string, error) {
	if p.Fisher == nil {
		return Metric{}, "", fmt.Errorf("%s: method %s needs squared gradients, which the statistics do not have: run pith calibrate with --gradients, or choose svd-llm or asvd", p.Name, f.Name())
	}
	sums, want := p.Fisher.Rows, p.W.Rows
	if f.Inputs {
		sums, want = p.Fisher.Cols, p.W.Cols
	}
	if len(sums) != want {
		return Metric{}, "", fmt.Errorf("%s: squared gradients of %d rows or columns, the weight has %d: calibrate with this model", p.Name, len(sums), want)
	}
	weights := make([]float64, len(sums))
	var top float64
	for i, v := range sums {
		weights[i] = math.Sqrt(max(v, 0))
		top = max(top, weights[i])
	}
	if !(top > 0) || math.IsInf(top, 0) {
		return Metric{}, "plain svd: the squared gradients are all zero, or not finite", nil
	}
	for i, v := range weights {
		weights[i] = max(v/top, fisherFloor)
	}
	if f.Inputs {
		return Metric{Cols: weights}, "", nil
	}
	return Metric{Rows: weights}, "", nil
}
