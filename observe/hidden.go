package observe

import (
	"fmt"
	"os"

	"pith/tensor"
)

// hidden keeps the hidden states of all tokens between layers: in memory, or in a file that has no name and so dies with the process.
type hidden struct {
	cols int
	mem  tensor.Mat
	file *os.File
	name string // of the file, if it still has one
	buf  []byte
	x    tensor.Mat // what was read last
}

// newHidden makes room for the states of rows tokens, in memory if that takes no more than bound bytes.
func newHidden(rows, cols int, bound int64, dir string) (*hidden, error) {
	size := hiddenBytes(rows, cols)
	if size <= bound {
		return &hidden{cols: cols, mem: tensor.NewMat(rows, cols)}, nil
	}
	f, err := os.CreateTemp(dir, "pith-hidden-*")
	if err != nil {
		return nil, fmt.Errorf("hidden states: %w", err)
	}
	h := &hidden{cols: cols, file: f}
	if os.Remove(f.Name()) != nil {
		h.name = f.Name() // an open file cannot be removed here
	}
	if err := f.Truncate(size); err != nil {
		h.close()
		return nil, fmt.Errorf("hidden states: a file of %d MiB: %w; free space, or allow more memory for them", size>>20, err)
	}
	return h, nil
}

func hiddenBytes(rows, cols int) int64 { return 4 * int64(rows) * int64(cols) }

// room returns a place for rows lo … hi whose content is of no interest; put must follow.
func (h *hidden) room(lo, hi int) tensor.Mat {
	if h.file == nil {
		return h.mem.Slice(lo, hi)
	}
	h.grow((hi - lo) * h.cols)
	return tensor.Of(hi-lo, h.cols, h.x.Data[:(hi-lo)*h.cols])
}

// batch returns rows lo … hi. What it returns may be changed; put makes that count, and without put it may or may not.
func (h *hidden) batch(lo, hi int) (tensor.Mat, error) {
	if h.file == nil {
		return h.mem.Slice(lo, hi), nil
	}
	x := h.room(lo, hi)
	if _, err := h.file.ReadAt(h.buf[:4*len(x.Data)], hiddenBytes(lo, h.cols)); err != nil {
		return tensor.Mat{}, fmt.Errorf("hidden states: %w", err)
	}
	tensor.Decode(x.Data, tensor.F32, h.buf, 0)
	return x, nil
}

// copy returns rows lo … hi in memory that is only the caller's until the next call.
func (h *hidden) copy(lo, hi int) (tensor.Mat, error) {
	if h.file != nil {
		return h.batch(lo, hi)
	}
	n := (hi - lo) * h.cols
	h.grow(n)
	x := tensor.Of(hi-lo, h.cols, h.x.Data[:n])
	copy(x.Data, h.mem.Slice(lo, hi).Data)
	return x, nil
}

func (h *hidden) grow(n int) {
	if len(h.x.Data) < n {
		h.x = tensor.NewMat(1, n)
		if h.file != nil {
			h.buf = make([]byte, 4*n)
		}
	}
}

// put stores rows from lo on: x is what batch returned, or another matrix.
func (h *hidden) put(lo int, x tensor.Mat) error {
	if h.file == nil {
		copy(h.mem.Slice(lo, lo+x.Rows).Data, x.Data[:x.Rows*x.Cols])
		return nil
	}
	n := x.Rows * x.Cols
	h.grow(n)
	tensor.Encode(h.buf[:4*n], tensor.F32, x.Data[:n])
	if _, err := h.file.WriteAt(h.buf[:4*n], hiddenBytes(lo, h.cols)); err != nil {
		return fmt.Errorf("hidden states: %w; free space, or allow more memory for them", err)
	}
	return nil
}

func (h *hidden) close() {
	if h.file == nil {
		return
	}
	h.file.Close()
	if h.name != "" {
		os.Remove(h.name)
	}
}
