package pruning

import (
	"fmt"

	"pith/approx"
	"pith/tensor"
)

// menuRows and menuWeights bound the sample from which Menu predicts a loss.
const (
	menuRows    = 64
	menuWeights = 1 << 18
)

// Menu returns one entry: the exact size, and the loss of rows spread evenly over the matrix (the same ones every time), pruned as if they
// were all of it: of their outputs where the method knows the Gram matrix, else of their weights. Shapes that the codec cannot store, and codecs that
// store every element, have none.
func (m Prune) Menu(p approx.Problem) ([]approx.Entry, error) {
	if m.Check(p.W.Rows, p.W.Cols) != nil {
		return nil, nil
	}
	sample := p
	sample.W = sampleRows(p.W)
	_, report, err := m.Solve(sample)
	if err != nil {
		return nil, fmt.Errorf("predict a loss: %w", err)
	}
	loss := report.Relative()
	if report.ProxyNorm > 0 {
		loss = report.Proxy / report.ProxyNorm
	}
	return []approx.Entry{{Method: m.Name(), Codec: m.Codec.Name(), Bytes: m.Codec.Size(p.W.Rows, p.W.Cols), Loss: loss}}, nil
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
