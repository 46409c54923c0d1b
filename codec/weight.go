package codec

import "pith/tensor"

// Weight is a named weight as the runtime sees it: W ≈ Σ Terms. A vector (norm, bias) has Rows 1.
type Weight struct {
	Name       string
	Rows, Cols int
	Shape      []int // as the checkpoint states it; nil means (Rows, Cols)
	Terms      []Term
	Transposed bool // the terms are of the transpose of what the checkpoint stores: gpt2's linears, stored (in, out)
}

// Bytes returns the exact stored size of all terms.
func (w *Weight) Bytes() int64 {
	var n int64
	for _, t := range w.Terms {
		n += t.Bytes()
	}
	return n
}

// ReadRows overwrites dst with rows r0 … r0+dst.Rows in float32.
func (w *Weight) ReadRows(dst tensor.Mat, r0 int) {
	for r := range dst.Rows {
		clear(dst.Row(r))
	}
	for _, t := range w.Terms {
		t.AddTo(dst, r0)
	}
}

// MulAdd adds x·Wᵀ to y for output features [r0, r1): y[:, r0:r1] += x·(rows r0…r1)ᵀ.
func (w *Weight) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	for _, t := range w.Terms {
		t.MulAdd(y, in, r0, r1)
	}
}
