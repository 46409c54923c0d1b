package pruning

import (
	"slices"

	"pith/codec"
	"pith/tensor"
)

// Row keeps the highest scores of each row, equally many: Wanda's choice. Where the number does not divide by the rows, some have one more.
type Row struct{}

// Name returns "row".
func (Row) Name() string { return "row" }

// Stretch returns all columns.
func (Row) Stretch(cols int) int { return cols }

// RowWise returns true.
func (Row) RowWise() bool { return true }

// Select decides whole rows.
func (Row) Select(m *codec.Mask, r0, c0 int, scores tensor.Mat, kept int64) {
	var keys []uint64
	for r := range scores.Rows {
		keys = keepOfRow(m, r0+r, c0, scores.Row(r), share(kept, r0+r, r0+r+1, m.Rows), keys)
	}
}

// keepOfRow keeps the kept highest of a row's scores, those of columns c0 and on. keys is memory, returned to be used again.
func keepOfRow(m *codec.Mask, r, c0 int, scores []float32, kept int, keys []uint64) []uint64 {
	if kept < 0 || kept > len(scores) {
		panic("pruning: more elements to keep than there are")
	}
	keys = keys[:0]
	for i, v := range scores {
		keys = append(keys, uint64(ordered(v))<<32|uint64(i))
	}
	slices.Sort(keys)
	pruned := len(keys) - kept
	for i, key := range keys {
		m.Set(r, c0+int(uint32(key)), i >= pruned)
	}
	return keys
}
