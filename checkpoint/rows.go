package checkpoint

import (
	"fmt"
	"sync"

	"pith/codec"
	"pith/tensor"
)

// Rows reads the rows of one weight. It is safe for concurrent use.
type Rows struct {
	info   Info
	readAt func(buf []byte, off int64) error // plain tensors: bytes of the file
	weight *codec.Weight                     // terms in memory
	whole  func() (tensor.Mat, error)        // transposes
	bufs   sync.Pool                         // *[]byte
}

// Dims returns the weight's (rows, cols).
func (r *Rows) Dims() (rows, cols int) { return r.info.Rows, r.info.Cols }

// Read overwrites dst with rows r0 … r0+dst.Rows in float32. dst.Cols must be the weight's.
func (r *Rows) Read(dst tensor.Mat, r0 int) error {
	if dst.Cols != r.info.Cols || r0 < 0 || r0+dst.Rows > r.info.Rows {
		panic("checkpoint: window outside the weight")
	}
	if r.weight != nil {
		r.weight.ReadRows(dst, r0)
		return nil
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	if r.whole != nil {
		m, err := r.whole()
		if err != nil {
			return err
		}
		for i := range dst.Rows {
			copy(dst.Row(i), m.Row(r0+i))
		}
		return nil
	}
	// Elements of F4 and F6 share bytes, so read from the block that holds the first one.
	block, size := r.info.DType.Block()
	first, end := r0*dst.Cols, (r0+dst.Rows)*dst.Cols
	from := int64(first/block) * int64(size)
	need := int((end+block-1)/block*size) - int(from)
	buf, _ := r.bufs.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer r.bufs.Put(buf)
	if cap(*buf) < need {
		*buf = make([]byte, need)
	}
	b := (*buf)[:need]
	if err := r.readAt(b, from); err != nil {
		return fmt.Errorf("%s: %w", r.info.Name, err)
	}
	skip := first % block
	for i := range dst.Rows {
		tensor.Decode(dst.Row(i), r.info.DType, b, skip+i*dst.Cols)
	}
	return nil
}

// rowsOf wraps a weight that is in memory.
func rowsOf(info Info, w *codec.Weight) *Rows { return &Rows{info: info, weight: w} }

// Transpose returns a reader of the transpose of r, which is loaded whole: (rows, cols) float32, on first use.
func (r *Rows) Transpose() *Rows {
	info := r.info
	info.Rows, info.Cols = r.info.Cols, r.info.Rows
	info.Transposed = !r.info.Transposed
	return &Rows{info: info, whole: sync.OnceValues(func() (tensor.Mat, error) {
		m := tensor.NewMat(info.Rows, info.Cols)
		row := tensor.NewMat(1, r.info.Cols)
		for i := range r.info.Rows {
			if err := r.Read(row, i); err != nil {
				return tensor.Mat{}, err
			}
			for j, v := range row.Data {
				m.Data[j*m.Stride+i] = v
			}
		}
		return m, nil
	})}
}
