package codec

import "pith/tensor"

// Weight is a named weight as the runtime sees it: W ≈ Σ Terms. A vector (norm, bias) has Rows 1.
type Weight struct {
	Name       string
	Rows, Cols int
	Shape      []int // as the checkpoint states it; nil means (Rows, Cols)
	Terms      []Term
	Common     []any // what it has in common with other weights, which is loaded again when none of them is left
	Transposed bool  // the terms are of the transpose of what the checkpoint stores: gpt2's linears, stored (in, out)
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
	if len(w.Terms) == 1 {
		Read(w.Terms[0], dst, r0)
		return
	}
	for r := range dst.Rows {
		clear(dst.Row(r))
	}
	for _, t := range w.Terms {
		t.AddTo(dst, r0)
	}
}

// Read overwrites dst with rows r0 … r0+dst.Rows of t, what AddTo would add to zeros (up to the sign of zeros).
func Read(t Term, dst tensor.Mat, r0 int) {
	rows, cols := t.Dims()
	direct, ok := t.(rowReader)
	if !ok || r0 < 0 || r0+dst.Rows > rows || dst.Cols != cols {
		for r := range dst.Rows {
			clear(dst.Row(r))
		}
		t.AddTo(dst, r0) // which panics where the window is outside
		return
	}
	for r := range dst.Rows {
		direct.readRow(dst.Row(r), r0+r)
	}
}

// MulAdd adds x·Wᵀ to y for output features [r0, r1): y[:, r0:r1] += x·(rows r0…r1)ᵀ.
func (w *Weight) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	for i := 0; i < len(w.Terms); i++ {
		if n := signRun(w.Terms[i:]); n > 1 {
			mulAddSigns(w.Terms[i:i+n], y, in, r0, r1)
			i += n - 1
			continue
		}
		w.Terms[i].MulAdd(y, in, r0, r1)
	}
}
