package quantizers

import (
	"slices"

	"pith/approx"
	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// attempt is a solution without a safety net.
type attempt func(approx.Problem) (codec.Term, approx.Report, error)

// netted is a method whose reports have a Proxy, and which is solved within a safety net.
type netted interface {
	attempt(approx.Problem) (codec.Term, approx.Report, error)
	nearest() Nearest // with the same codec
}

// Fallbacks of the safety net.
const (
	netLimited = "outlying weights limited to four times what most of their row are: as they are, they would drown the others"
	netNearest = "rounded to nearest: error feedback loses more"
	netZeros   = "stored as zeros: whatever else the codec can store loses more than the weight is worth"
)

// safely solves p by main without its dead columns. Where that loses much more than the codec's bits promise, as outliers bring about that
// weigh on the scales and hardly on the outputs, it tries what else there is and takes what loses least: p with outlying
// weights limited, rounding to nearest, zeros. The report says what was taken.
func safely(p approx.Problem, main, nearest attempt) (codec.Term, approx.Report, error) {
	clean, note := withoutDead(p)
	term, report, err := main(clean)
	if err != nil {
		return nil, approx.Report{}, err
	}
	if report.Fallback != "" || !doubtful(p, term, report) {
		report.Fallback = joined(note, report.Fallback)
		return term, report, nil
	}
	b := &best{p: p, clean: clean, term: term, report: report}
	b.report.Proxy = outputLoss(p, term)
	b.report.ProxyNorm = outputLoss(p, nil)
	if limited, changed := withoutOutliers(clean.W); changed {
		if err := b.try(limited, main, netLimited); err != nil {
			return nil, approx.Report{}, err
		}
	}
	if doubtful(p, b.term, b.report) {
		if err := b.try(clean.W, nearest, netNearest); err != nil {
			return nil, approx.Report{}, err
		}
		if !(b.report.Proxy <= b.report.ProxyNorm) {
			if err := b.try(tensor.NewMat(p.W.Rows, p.W.Cols), nearest, netZeros); err != nil {
				return nil, approx.Report{}, err
			}
		}
	}
	measured := approx.Measure(p, b.term)
	measured.Proxy, measured.ProxyNorm = b.report.Proxy, b.report.ProxyNorm
	measured.Fallback = joined(note, b.report.Fallback)
	return b.term, measured, p.Err()
}

// joined is two notes as one.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// doubtfulFactor is how many times the bound of rate and distortion, 4^(−bits) of the norm, a loss may be before it is doubted. Nearest rounding to
// groups of integers is within three times, error feedback far below unless inputs are uncorrelated.
const doubtfulFactor = 4

// doubtful reports whether a solution of p lost so much that something else may lose less.
func doubtful(p approx.Problem, term codec.Term, report approx.Report) bool {
	bound := doubtfulFactor * report.ProxyNorm
	for bits := 8 * term.Bytes() / max(1, int64(p.W.Rows)*int64(p.W.Cols)); bits > 0; bits-- {
		bound /= 4
	}
	return !(report.Proxy <= bound)
}

// best is the best solution so far.
type best struct {
	p, clean approx.Problem
	term     codec.Term
	report   approx.Report
}

// try takes what solve makes of w in place of the clean problem's weight, if that loses less.
func (b *best) try(w tensor.Mat, solve attempt, fallback string) error {
	p := b.clean
	p.W = w
	term, _, err := solve(p)
	if err != nil {
		return err
	}
	if loss := outputLoss(b.p, term); loss < b.report.Proxy || b.report.Proxy != b.report.Proxy {
		b.term, b.report.Proxy, b.report.Fallback = term, loss, fallback
	}
	return nil
}

// withoutOutliers returns w with every weight limited to four times the magnitude that seven eighths of its row do not exceed, six
// standard deviations of a Gaussian. Rows that are mostly zeros stay.
func withoutOutliers(w tensor.Mat) (limited tensor.Mat, changed bool) {
	limited = tensor.NewMat(w.Rows, w.Cols)
	sorted := make([]float32, w.Cols)
	for r := range w.Rows {
		row := limited.Row(r)
		copy(row, w.Row(r))
		for c, v := range row {
			sorted[c] = max(v, -v)
		}
		slices.Sort(sorted)
		limit := 4 * sorted[(len(sorted)-1)*7/8]
		if limit == 0 {
			continue
		}
		for c, v := range row {
			if v > limit || v < -limit {
				row[c] = max(-limit, min(limit, v))
				changed = true
			}
		}
	}
	return limited, changed
}

// outputLoss returns tr(E·H·Eᵀ) of E = W - Ŵ for H as observed, without damping; of W itself if term is nil. It needs no factor of H.
func outputLoss(p approx.Problem, term codec.Term) (sum float64) {
	const rows = 64
	parts := make([]float64, (p.W.Rows+rows-1)/rows)
	par.Ranges(p.Workers, p.W.Rows, rows, func(lo, hi int) {
		if p.Err() != nil {
			return
		}
		got := tensor.NewMat(hi-lo, p.W.Cols)
		if term != nil {
			codec.Read(term, got, lo)
		}
		e := make([]float64, 0, (hi-lo)*p.W.Cols)
		for r := range hi - lo {
			for c, v := range p.W.Row(lo + r) {
				e = append(e, float64(v)-float64(got.Row(r)[c]))
			}
		}
		parts[lo/rows] = gramEnergy(p, e, hi-lo) / float64(p.Stats.Tokens)
	})
	for _, v := range parts {
		sum += v
	}
	return sum
}

// gramEnergy returns Σ e·G·eᵀ over the rows of e: twice Σ_i e_i·(Σ_{j<i} G_ij·e_j + ½·G_ii·e_i), a strip of G at a time.
func gramEnergy(p approx.Problem, e []float64, rows int) (sum float64) {
	const strip = 64
	n := p.W.Cols
	g, y := make([]float64, strip*n), make([]float64, rows*strip)
	for i0 := 0; i0 < n; i0 += strip {
		i1 := min(n, i0+strip)
		clear(g)
		clear(y)
		for i := i0; i < i1; i++ {
			row := g[(i-i0)*n : (i-i0)*n+n]
			copy(row, p.Stats.GramRow(i))
			row[i] /= 2
		}
		kernels.Gemm64NT(y, strip, e, n, g, n, rows, i1-i0, i1)
		for r := range rows {
			for i := i0; i < i1; i++ {
				sum += float64(e[r*n+i] * y[r*strip+i-i0])
			}
		}
	}
	return 2 * sum
}
