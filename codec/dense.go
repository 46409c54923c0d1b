package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"pith/kernels"
	"pith/tensor"
)

// dense is a matrix stored element by element as one of the scalar dtypes, row-major. Its codec's name is the dtype's in lower case.
type dense struct {
	dt         tensor.DType
	rows, cols int
	data       []byte
}

// Dense makes a term of a tensor as a checkpoint stores it: row-major elements of any real scalar dtype, or blocks of a GGML
// type. name is only used in errors. data is kept, not copied.
func Dense(name string, dt tensor.DType, rows, cols int, data []byte) (Term, error) {
	if rows < 0 || cols < 0 {
		return nil, fmt.Errorf("%s: negative shape (%d, %d)", name, rows, cols)
	}
	if !dt.Scalar() {
		return openBlocks(name, dt, rows, cols, data)
	}
	if !dt.Decodable() {
		return nil, fmt.Errorf("%s: elements of dtype %v are not real numbers; Pith can only copy this tensor", name, dt)
	}
	want, err := denseBytes(dt, rows, cols)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) != want {
		return nil, fmt.Errorf("%s: %d bytes, want %d for (%d, %d) %v: the file is damaged", name, len(data), want, rows, cols, dt)
	}
	return &dense{dt, rows, cols, data}, nil
}

// denseBytes returns the exact size of rows × cols elements, refusing products that overflow and halves of bytes.
func denseBytes(dt tensor.DType, rows, cols int) (int64, error) {
	block, size := dt.Block()
	if cols > 0 && rows > math.MaxInt64/8/cols {
		return 0, fmt.Errorf("shape (%d, %d) is too large", rows, cols)
	}
	n := int64(rows) * int64(cols)
	if n%int64(block) != 0 {
		return 0, fmt.Errorf("shape (%d, %d) is not a whole number of bytes of %v", rows, cols, dt)
	}
	return n / int64(block) * int64(size), nil
}

func (d *dense) Codec() string    { return strings.ToLower(d.dt.String()) }
func (d *dense) Dims() (int, int) { return d.rows, d.cols }
func (d *dense) Bytes() int64     { return int64(len(d.data)) }
func (d *dense) Parts() []Part {
	return []Part{{Name: "values", DType: d.dt, Shape: []int{d.rows, d.cols}, Data: d.data}}
}

func (d *dense) AddTo(dst tensor.Mat, r0 int) { addDecoded(d, dst, r0) }

func (d *dense) readRow(dst []float32, r int) {
	tensor.Decode(dst[:d.cols], d.dt, d.data, r*d.cols)
}

// MulAdd multiplies F32 where it lies.
func (d *dense) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	w, ok := d.floats()
	if !ok || r0 == r1 || in.X.Rows == 0 {
		mulAddDecoded(d, y, in, r0, r1)
		return
	}
	checkProduct(d, y, in, r0, r1)
	if in.X.Rows > fewTokens {
		kernels.GemmNT(y.Data[r0:], y.Stride, in.X.Data, in.X.Stride, w[r0*d.cols:], d.cols, in.X.Rows, r1-r0, d.cols)
		return
	}
	for r := r0; r < r1; r++ {
		row := w[r*d.cols : (r+1)*d.cols]
		for i := range in.X.Rows {
			y.Data[i*y.Stride+r] += kernels.Dot(in.X.Row(i), row)
		}
	}
}

// floats returns the elements as they lie in memory, if that is how this machine has float32.
func (d *dense) floats() (w []float32, ok bool) {
	if d.dt != tensor.F32 || len(d.data) == 0 || binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, false
	}
	first := unsafe.Pointer(&d.data[0])
	if uintptr(first)%unsafe.Alignof(float32(0)) != 0 {
		return nil, false
	}
	return unsafe.Slice((*float32)(first), len(d.data)/4), true
}

// scalarCodec stores every element as F32, F16 or BF16, rounded to nearest even.
type scalarCodec struct{ dt tensor.DType }

func (c scalarCodec) Name() string { return strings.ToLower(c.dt.String()) }

func (c scalarCodec) Check(rows, cols int) error {
	_, err := denseBytes(c.dt, rows, cols)
	return err
}

func (c scalarCodec) Size(rows, cols int) int64 {
	_, size := c.dt.Block()
	return int64(rows) * int64(cols) * int64(size)
}

// Fit refuses values that are not finite, or that overflow the dtype when rounded.
func (c scalarCodec) Fit(w tensor.Mat, _ []float32, _ FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	if err := CheckFinite(w); err != nil {
		return nil, err
	}
	if limit := scalarLimit(c.dt); limit > 0 {
		for r := range w.Rows {
			if pos, neg, _ := kernels.Extremes(w.Row(r)); max(pos, neg) < limit {
				continue
			}
			for i, v := range w.Row(r) {
				if v >= limit || v <= -limit {
					return nil, fmt.Errorf("value %g at row %d, column %d is too large for %s; use bf16 or f32", v, r, i, c.Name())
				}
			}
		}
	}
	return &scalarGrid{c.dt, w.Rows, w.Cols, make([]byte, c.Size(w.Rows, w.Cols))}, nil
}

// scalarLimit returns the smallest magnitude that rounds to an infinity, or 0 if none worth checking does.
func scalarLimit(dt tensor.DType) float32 {
	switch dt {
	case tensor.F16:
		return 65520
	case tensor.BF16:
		return math.Float32frombits(0x7f7f8000)
	}
	return 0
}

func (c scalarCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkParts(parts, partSpec{"values", c.dt}); err != nil {
		return nil, err
	}
	return Dense(c.Name(), c.dt, rows, cols, parts[0].Data)
}

type scalarGrid struct {
	dt         tensor.DType
	rows, cols int
	data       []byte
}

func (g *scalarGrid) Step() int { return 1 }

func (g *scalarGrid) Round(w tensor.Mat, c int) { g.round(w, c, 0) }

func (g *scalarGrid) Bands() []Band { return rowBands(g.rows, 1, g.round) }

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *scalarGrid) round(w tensor.Mat, c, r0 int) {
	_, size := g.dt.Block()
	for r := range w.Rows {
		cell := g.data[((r0+r)*g.cols+c)*size:][:size]
		v := w.Data[r*w.Stride+c:][:1]
		tensor.Encode(cell, g.dt, v)
		tensor.Decode(v, g.dt, cell, 0)
	}
}

func (g *scalarGrid) RoundAll(w tensor.Mat) {
	_, size := g.dt.Block()
	for r := range g.rows {
		tensor.Encode(g.data[r*g.cols*size:(r+1)*g.cols*size], g.dt, w.Row(r))
	}
}

func (g *scalarGrid) Pack() Term { return &dense{g.dt, g.rows, g.cols, g.data} }
