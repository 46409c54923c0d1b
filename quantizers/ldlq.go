package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// LDLQ rounds columns from the last to the first, and adds to each what the errors of those behind it can still be made up for:
//
//	target_B = W_B + Σ_{C>B} (W_C - Ŵ_C)·L_CB,   Ŵ_B = round(target_B),   H = L·D·Lᵀ
//
// where B are blocks of as many columns as the grid rounds together and H is the mean of x·xᵀ over calibration tokens. Among
// methods that feed errors back linearly none leaves a smaller tr((W-Ŵ)·H·(W-Ŵ)ᵀ) (Chee et al. 2023, QuIP, arXiv 2307.13304;
// blocks: Tseng et al. 2024, QuIP# and QTIP, arXiv 2402.04396 and 2406.11235). GPTQ (Frantar et al. 2022, arXiv 2210.17323) is the
// same rule with the columns in reverse. Without usable statistics it rounds to nearest and says so in the report, as it does where
// outliers make that or another way out lose less (safely).
type LDLQ struct {
	Codec   codec.Codec
	Search  bool    // scales that minimise the squared error, columns weighted by D, instead of the format's own rule
	Damping float64 // added to the diagonal of H, relative to its mean; 0 means 0.01. Grows where H is not positive definite
	// Ordered rounds columns in the order of falling mean squares of their inputs. It applies to grids that round single columns.
	Ordered bool
	// Gains are multiples of the fitted scales to try on a sample of the rows; the one that loses least is taken. nil: 1.
	Gains []float32
	// Refit multiplies each scale, once codes are chosen, by what fits the outputs best.
	Refit bool
	// Sweeps is how often each block is rounded again, its target corrected by the errors of all others.
	Sweeps int
}

// Name returns "ldlq".
func (q LDLQ) Name() string { return "ldlq" }

// Needs returns calib.Gram.
func (q LDLQ) Needs() calib.Need { return calib.Gram }

// RowWise reports true where nothing that is stored or chosen joins rows.
func (q LDLQ) RowWise() bool {
	whole, ok := q.Codec.(codec.WholeOnly)
	return len(q.Gains) == 0 && !(ok && whole.WholeOnly())
}

// Solve rounds p.W.
func (q LDLQ) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	return safely(p, q.attempt, q.nearest().Solve)
}

func (q LDLQ) nearest() Nearest { return Nearest{Codec: q.Codec, Search: q.Search} }

// attempt is Solve without a safety net.
func (q LDLQ) attempt(p approx.Problem) (codec.Term, approx.Report, error) {
	ordered := q.Ordered && q.singleColumns(p)
	f, why, err := newFeedback(p, q.Damping, ordered)
	if err != nil {
		return nil, approx.Report{}, err
	}
	if why != "" {
		return q.nearest().instead(p, why)
	}
	gain, err := q.bestGain(p, f)
	if err != nil {
		return nil, approx.Report{}, err
	}
	grid, proxy, err := q.round(p, f, gain)
	if err != nil {
		return nil, approx.Report{}, err
	}
	term := grid.Pack()
	report := approx.Measure(p, term)
	report.Proxy, report.ProxyNorm = proxy, f.norm(p)
	return term, report, p.Err()
}

// singleColumns reports whether the grid rounds column by column, which it says of a matrix of one row.
func (q LDLQ) singleColumns(p approx.Problem) bool {
	grid, err := q.Codec.Fit(tensor.NewMat(1, p.W.Cols), nil, codec.FitOptions{})
	return err == nil && maxStep(bandsOf(grid, 1)) == 1
}

// round fits the grid, rounds all rows and returns tr((W-Ŵ)·H·(W-Ŵ)ᵀ).
func (q LDLQ) round(p approx.Problem, f *feedback, gain float32) (codec.Grid, float64, error) {
	var importance []float32
	if q.Search {
		importance = f.weights()
	}
	grid, err := q.Codec.Fit(p.W, importance, codec.FitOptions{Search: q.Search, Gain: gain, Mask: p.Mask})
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %s: %w", p.Name, q.Codec.Name(), err)
	}
	solvers := groups(bandsOf(grid, p.W.Rows), p.W.Rows, p.Workers)
	proxy := make([]float64, p.W.Rows)
	par.For(p.Workers, len(solvers), func(i int) {
		if p.Err() != nil {
			return
		}
		b := newBandSolver(f, solvers[i], p)
		b.ldlq(0, f.n)
		if q.Refit {
			b.refit(grid)
		}
		for range q.Sweeps {
			b.sweep()
			if q.Refit {
				b.refit(grid)
			}
		}
		b.proxy(proxy[b.first : b.first+b.rows])
	})
	var sum float64
	for _, v := range proxy {
		sum += v
	}
	return grid, sum, p.Err()
}

// wholeBand is a grid without bands as one band.
type wholeBand struct {
	codec.Grid
	rows int
}

func (b wholeBand) Rows() (r0, r1 int) { return 0, b.rows }

func bandsOf(grid codec.Grid, rows int) []codec.Band {
	if banded, ok := grid.(codec.Banded); ok {
		return banded.Bands()
	}
	return []codec.Band{wholeBand{grid, rows}}
}

func maxStep(bands []codec.Band) int {
	step := 1
	for _, b := range bands {
		step = max(step, b.Step())
	}
	return step
}
