package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// Frequent stores the rows of an embedding that calibration reads most often by the first codec of a codec.Rows, and all others by the second;
// of rows that are read equally often the lower one. Frequencies of tokens are nearly Zipf's, so few rows are most of what a text reads. Each
// kind is rounded to nearest. An embedding that is also the head is multiplied by whole; what an error in the row of a token costs then grows with
// the token's probability p, as the Kullback-Leibler divergence of logits does to second order: ½ (Σ p·e² - (Σ p·e)²).
type Frequent struct {
	Codec  codec.Codec // a codec.Rows
	Search bool        // as Nearest's
}

// Name returns "frequent", or "frequent-search".
func (f Frequent) Name() string {
	if f.Search {
		return "frequent-search"
	}
	return "frequent"
}

// Needs returns calib.Counts.
func (f Frequent) Needs() calib.Need { return calib.Counts }

// TiedCounts reports that rows of an embedding that is also the head are counted too.
func (f Frequent) TiedCounts() bool { return true }

// RowWise reports false: which rows are frequent is known of all together.
func (f Frequent) RowWise() bool { return false }

// Check returns an error if the codec does not store rows in two precisions.
func (f Frequent) Check() error {
	if _, ok := f.Codec.(codec.Rows); !ok {
		return fmt.Errorf("method frequent gives some rows more bits, and codec %s gives all the same; name rows<share>-<codec>/<codec>, as rows0.1-int8-g64/int4-g64", f.Codec.Name())
	}
	return nil
}

// unreadRow is how often a row that was never read counts as read.
const unreadRow = 0.1

// weights returns how much each row's error counts, nil if that is not known.
func (f Frequent) weights(p approx.Problem) []float64 {
	if p.Stats == nil || len(p.Stats.Counts) != p.W.Rows {
		return nil
	}
	weights := make([]float64, p.W.Rows)
	for r, n := range p.Stats.Counts {
		weights[r] = max(float64(n), unreadRow)
	}
	return weights
}

// Solve chooses rows and rounds both kinds. The report's Proxy is the mean squared error of the rows that calibration read.
func (f Frequent) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if err := f.Check(); err != nil {
		return nil, approx.Report{}, err
	}
	weights := f.weights(p)
	if weights == nil {
		term, report, err := Nearest(f).Solve(p)
		report.Fallback = joined("the rows of largest norm: how often each row is read is known of embeddings only, with --text or --stats", report.Fallback)
		return term, report, err
	}
	c := f.Codec.(codec.Rows)
	if err := c.Check(p.W.Rows, p.W.Cols); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %s: %w", p.Name, c.Name(), err)
	}
	if err := codec.CheckFinite(p.W); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	chosen := c.Choose(weights)
	a, b := c.Inner()
	first, note, err := f.part(p, "frequent rows", a, chosen)
	if err != nil {
		return nil, approx.Report{}, err
	}
	second, more, err := f.part(p, "other rows", b, codec.Others(chosen, p.W.Rows))
	if err != nil {
		return nil, approx.Report{}, err
	}
	term := c.Join(chosen, first, second)
	report := approx.Measure(p, term)
	report.Proxy, report.ProxyNorm = rowLoss(p, term, weights)
	if report.Fallback = note; more != note {
		report.Fallback = joined(note, more)
	}
	return term, report, p.Err()
}

// part rounds some rows to nearest. All columns of a row that is read count alike, whatever a head that has the same rows multiplies them by.
func (f Frequent) part(p approx.Problem, what string, c codec.Codec, rows []int) (codec.Term, string, error) {
	part := p
	part.Name, part.W = fmt.Sprintf("%s (%s)", p.Name, what), codec.GatherRows(p.W, rows)
	part.Mask, part.Fisher, part.Stats = nil, nil, nil
	m := ForCodec(c, func(c codec.Codec) approx.Method { return Nearest{c, f.Search} })
	term, report, err := m.Solve(part)
	return term, report.Fallback, err
}

// rowLoss returns Σ n·|e|²/Σ n over rows of error e that count n times, and the same of the rows themselves.
func rowLoss(p approx.Problem, term codec.Term, weights []float64) (loss, norm float64) {
	const chunk = 64
	sums := make([][2]float64, (p.W.Rows+chunk-1)/chunk)
	par.Ranges(p.Workers, p.W.Rows, chunk, func(lo, hi int) {
		if p.Err() != nil {
			return
		}
		got := tensor.NewMat(hi-lo, p.W.Cols)
		codec.Read(term, got, lo)
		for r := range got.Rows {
			var e, n float64
			for c, v := range p.W.Row(lo + r) {
				d := float64(v) - float64(got.Row(r)[c])
				e += float64(d * d)
				n += float64(float64(v) * float64(v))
			}
			sums[lo/chunk][0] += float64(weights[lo+r] * e)
			sums[lo/chunk][1] += float64(weights[lo+r] * n)
		}
	})
	var total float64
	for _, n := range weights {
		total += n
	}
	for _, s := range sums {
		loss += s[0]
		norm += s[1]
	}
	if total == 0 {
		return 0, 0
	}
	return loss / total, norm / total
}
