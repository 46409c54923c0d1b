package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
)

// AWQ is the scaling of Lin et al. 2023 (arXiv 2306.00978): columns that read large activations are stored larger, by the feature's
// root mean square to the power α, and their factors (codec.ScaleInputs) undo it at the input, rounding errors with it. α is the one of 0, 0.05 …
// 0.95 with the least error of the outputs, features taken as uncorrelated, of a sample of rows; Method then solves the weight
// with the factors that were chosen. α = 0 changes nothing, so on the sampled rows the error is never larger than Method's own by nearest rounding.
//
// The original folds factors into the layer before, and also searches how much to clip: here Method's Search does.
type AWQ struct {
	Codec  codec.Codec // one of codec.ScaleInputs
	Search bool        // search scales, in trials and in the solution
}

// alphas is how many strengths are tried.
const alphas = 20

// Name returns "awq".
func (a AWQ) Name() string { return "awq" }

// Needs returns calib.Moments.
func (a AWQ) Needs() calib.Need { return calib.Moments }

// RowWise returns false: all rows share the factors.
func (a AWQ) RowWise() bool { return false }

// Check returns an error that names a codec which would do, if Codec has no place for factors.
func (a AWQ) Check() error {
	if _, ok := codec.Unscale(a.Codec); !ok {
		return fmt.Errorf("awq stores factors of the inputs, which %s has no place for; use %s", a.Codec.Name(), codec.ScaleInputs(a.Codec, nil).Name())
	}
	return nil
}

// Solve chooses factors and rounds p.W.
func (a AWQ) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if err := a.Check(); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	inner, _ := codec.Unscale(a.Codec)
	with := func(factors []float32) Nearest {
		return Nearest{Codec: codec.ScaleInputs(inner, factors), Search: a.Search}
	}
	importance := p.Stats.Importance()
	if importance == nil {
		term, report, err := with(codec.InputFactors(nil, p.W.Cols, 0)).Solve(p)
		report.Fallback = "no statistics: factors are 1"
		return term, report, err
	}
	sample := p
	sample.W = approx.Sample(p.W)
	best, bestLoss := []float32(nil), 0.0
	for i := range alphas {
		factors := codec.InputFactors(importance, p.W.Cols, float64(i)/alphas)
		_, report, err := with(factors).Solve(sample)
		if err != nil {
			if best != nil {
				break // factors so far apart that the codec cannot store the columns
			}
			return nil, approx.Report{}, err
		}
		if best == nil || report.SquaredError < bestLoss {
			best, bestLoss = factors, report.SquaredError
		}
	}
	return with(best).Solve(p)
}
