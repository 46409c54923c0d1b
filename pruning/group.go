package pruning

import (
	"fmt"

	"pith/codec"
	"pith/tensor"
)

// Group keeps the N highest scores of each M consecutive columns of a row, N < M ≤ 64; of a last group of k < M, ⌈N·k/M⌉.
type Group struct{ N, M int }

// Name returns N:M.
func (g Group) Name() string { return fmt.Sprintf("%d:%d", g.N, g.M) }

// Stretch returns M.
func (g Group) Stretch(int) int { return g.M }

// RowWise returns true.
func (Group) RowWise() bool { return true }

// Kept returns how many elements of a rows × cols matrix stay.
func (g Group) Kept(rows, cols int) int64 {
	return int64(rows) * int64(cols/g.M*g.N+g.of(cols%g.M))
}

// of returns how many of a group of cols columns stay.
func (g Group) of(cols int) int { return (g.N*cols + g.M - 1) / g.M }

// Select decides one group of each row. It panics if the pattern keeps another number of elements than it is to.
func (g Group) Select(m *codec.Mask, r0, c0 int, scores tensor.Mat, kept int64) {
	if kept != g.Kept(m.Rows, m.Cols) {
		panic("pruning: pattern N:M with another number of elements to keep")
	}
	keys := make([]uint64, 0, g.M)
	for r := range scores.Rows {
		keys = keepOfRow(m, r0+r, c0, scores.Row(r), g.of(scores.Cols), keys)
	}
}
