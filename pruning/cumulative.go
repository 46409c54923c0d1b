package pruning

import (
	"slices"

	"pith/codec"
	"pith/tensor"
)

// Cumulative prunes from every row the lowest scores whose sum is at most a share α of the row's, the same for all rows: the "variant" of
// Wanda's authors (arXiv 2306.11695). They search α; here each element is given the α from which it goes, and the lowest go.
type Cumulative struct{}

// Name returns "cumulative".
func (Cumulative) Name() string { return "cumulative" }

// Stretch returns all columns.
func (Cumulative) Stretch(cols int) int { return cols }

// RowWise returns false.
func (Cumulative) RowWise() bool { return false }

// Select decides all elements. Scores below zero count as zero.
func (Cumulative) Select(m *codec.Mask, _, c0 int, scores tensor.Mat, kept int64) {
	alphas := tensor.NewMat(scores.Rows, scores.Cols)
	keys := make([]uint64, scores.Cols)
	for r := range scores.Rows {
		row, to := scores.Row(r), alphas.Row(r)
		for i, v := range row {
			keys[i] = uint64(ordered(v))<<32 | uint64(i)
		}
		slices.Sort(keys)
		var total, sum float64
		for _, key := range keys {
			total += float64(max(0, row[uint32(key)]))
		}
		for _, key := range keys {
			i := uint32(key)
			sum += float64(max(0, row[i]))
			if total > 0 {
				to[i] = float32(sum / total)
			}
		}
	}
	keepHighest(m, 0, c0, alphas, int(kept))
}
