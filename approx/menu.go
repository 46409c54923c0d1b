package approx

import (
	"fmt"

	"pith/codec"
	"pith/tensor"
)

// Bounds of samples.
const (
	MenuRows      = 64 // rows that stand for all of a weight where each is solved on its own
	sampleWeights = 1 << 18
)

// SampleRows returns no more than most rows and 2^18 weights, but no less than one row, in the middle of equal ranges: the same ones every time.
func SampleRows(w tensor.Mat, most int) tensor.Mat {
	n := SampledRows(w, most)
	if n == w.Rows {
		return w
	}
	out := tensor.NewMat(n, w.Cols)
	for i := range n {
		copy(out.Row(i), w.Row(SampledRow(i, n, w.Rows)))
	}
	return out
}

// SampledRows is how many rows SampleRows returns.
func SampledRows(w tensor.Mat, most int) int {
	if w.Cols == 0 {
		return w.Rows
	}
	return min(w.Rows, most, max(1, sampleWeights/w.Cols))
}

// SampledRow is which of all rows is the i-th of n.
func SampledRow(i, n, all int) int { return (2*i + 1) * all / (2 * n) }

// Predict returns what m offers for p with codec c: the exact size, and what it loses of sample, rows of p solved as if they were all of it.
func Predict(m Method, c codec.Codec, p, sample Problem) ([]Entry, error) {
	_, report, err := m.Solve(sample)
	if err != nil {
		return nil, fmt.Errorf("predict a loss: %w", err)
	}
	loss := report.Relative()
	if report.ProxyNorm > 0 {
		loss = report.Proxy / report.ProxyNorm
	}
	return []Entry{{Method: m.Name(), Codec: c.Name(), Bytes: c.Size(p.W.Rows, p.W.Cols), Loss: loss}}, nil
}
