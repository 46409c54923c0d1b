package pruning

import (
	"pith/codec"
	"pith/tensor"
)

// blockCols is SparseGPT's block of columns.
const blockCols = 128

// Block keeps the highest scores of each 128 columns, over all rows: SparseGPT's choice, which lets it choose a block once it has updated it.
// Blocks have their share of the elements as nearly as whole numbers allow, and exactly the whole in all.
type Block struct{}

// Name returns "block".
func (Block) Name() string { return "block" }

// Stretch returns 128.
func (Block) Stretch(int) int { return blockCols }

// RowWise returns false.
func (Block) RowWise() bool { return false }

// Select decides one block.
func (Block) Select(m *codec.Mask, _, c0 int, scores tensor.Mat, kept int64) {
	keepHighest(m, 0, c0, scores, share(kept, c0, c0+scores.Cols, m.Cols))
}
