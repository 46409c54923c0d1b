// Package quantizers holds methods that choose codes: one paper per file. They see a codec only through its Grid.
package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
)

// Nearest rounds every weight to the nearest value that its codec can store: with GGML's types and without Search that is
// exactly what llama-quantize writes. It needs no data; if there are statistics, Search weighs columns by them, and leaves out those
// whose input is dead (withoutDead).
type Nearest struct {
	Codec  codec.Codec
	Search bool // choose scales that minimise the squared error, instead of the format's own rule
}

// Name returns "nearest", or "nearest-search".
func (n Nearest) Name() string {
	if n.Search {
		return "nearest-search"
	}
	return "nearest"
}

// Needs returns calib.Nothing: statistics are welcome, not needed.
func (n Nearest) Needs() calib.Need { return calib.Nothing }

// RowWise reports whether the codec stores rows one after another: scales are per row or part of a row.
func (n Nearest) RowWise() bool {
	whole, ok := n.Codec.(codec.WholeOnly)
	return !ok || !whole.WholeOnly()
}

// Solve rounds p.W.
func (n Nearest) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	clean, note := p, ""
	if n.Search {
		clean, note = withoutDead(p)
	}
	grid, err := n.Codec.Fit(clean.W, p.Stats.Importance(), codec.FitOptions{Search: n.Search, Mask: p.Mask})
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %s: %w", p.Name, n.Codec.Name(), err)
	}
	if err := roundAll(grid, clean); err != nil {
		return nil, approx.Report{}, err
	}
	term := grid.Pack()
	report := approx.Measure(p, term)
	report.Fallback = note
	return term, report, p.Err()
}

// roundAll rounds p's weight with grid within p's context.
func roundAll(grid codec.Grid, p approx.Problem) error {
	codec.RoundUntil(grid, p.W, p.Workers, func() bool { return p.Err() != nil })
	return p.Err()
}

// instead rounds p to nearest in the place of a method that cannot say what errors cost, and reports why.
func (n Nearest) instead(p approx.Problem, why string) (codec.Term, approx.Report, error) {
	term, report, err := n.Solve(p)
	report.Fallback = "rounded to nearest: " + why
	return term, report, err
}
