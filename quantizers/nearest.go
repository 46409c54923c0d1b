// Package quantizers holds methods that choose codes: one paper per file. They see a codec only through its Grid.
package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
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

// menuRows and menuWeights bound the sample from which Menu predicts a loss.
const (
	menuRows    = 64
	menuWeights = 1 << 18
)

// Menu returns one entry: the exact size, and the relative error of rows spread evenly over the matrix (the same ones every time).
func (n Nearest) Menu(p approx.Problem) ([]approx.Entry, error) {
	if err := n.Codec.Check(p.W.Rows, p.W.Cols); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", p.Name, n.Codec.Name(), err)
	}
	_, report, err := n.Solve(approx.Problem{Name: p.Name, W: sampleRows(p.W), Stats: p.Stats})
	if err != nil {
		return nil, err
	}
	return []approx.Entry{{Method: n.Name(), Codec: n.Codec.Name(), Bytes: n.Codec.Size(p.W.Rows, p.W.Cols), Loss: report.Relative()}}, nil
}

// sampleRows returns at most menuRows rows, at most menuWeights weights but no less than one row, in the middle of equal ranges.
func sampleRows(w tensor.Mat) tensor.Mat {
	if w.Cols == 0 {
		return w
	}
	n := min(menuRows, max(1, menuWeights/w.Cols))
	if w.Rows <= n {
		return w
	}
	out := tensor.NewMat(n, w.Cols)
	for i := range n {
		copy(out.Row(i), w.Row((2*i+1)*w.Rows/(2*n)))
	}
	return out
}
