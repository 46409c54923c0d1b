package pruning

import (
	"pith/codec"
	"pith/tensor"
)

// Matrix keeps the highest scores of the whole matrix.
type Matrix struct{}

// Name returns "matrix".
func (Matrix) Name() string { return "matrix" }

// Stretch returns all columns.
func (Matrix) Stretch(cols int) int { return cols }

// RowWise returns false.
func (Matrix) RowWise() bool { return false }

// Select decides all elements.
func (Matrix) Select(m *codec.Mask, _, c0 int, scores tensor.Mat, kept int64) {
	keepHighest(m, 0, c0, scores, int(kept))
}

// keepHighest keeps the kept highest of the scores of the window of m that starts at (r0, c0), and prunes the others there.
func keepHighest(m *codec.Mask, r0, c0 int, scores tensor.Mat, kept int) {
	pruned := scores.Rows*scores.Cols - kept
	if pruned < 0 || kept < 0 {
		panic("pruning: more elements to keep than there are")
	}
	var t threshold // which nothing is below
	if pruned > 0 {
		t = lowest(pruned, func(f func([]float32)) {
			for r := range scores.Rows {
				f(scores.Row(r))
			}
		})
	}
	for r := range scores.Rows {
		for c, v := range scores.Row(r) {
			m.Set(r0+r, c0+c, !t.below(v))
		}
	}
}
