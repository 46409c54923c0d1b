package codec

import (
	"encoding/binary"
	"fmt"

	"pith/tensor"
)

// qoqCodec is QoQ's progressive 4-bit weight (Lin et al. 2024, QServe, arXiv 2405.04532, section 4.1): a row is int8 with one scale, and
// its integers are stored 4 bits a group, with an integer step and zero:
//
//	W[r, c] = scale[r] · w8,    w8 = step[r, g]·(code[r, c] - zero[r, g]),    g = c/group
//
// |w8| ≤ 127: the first level uses -119 … 119 only, so that rounding by half a step of at most 16 stays an int8. Products can run on
// integers up to the row's scale. scale is F16, step and zero are bytes, zero 0 … 15. 4 + 16/group + 16/cols bits per weight.
type qoqCodec struct{ group int }

// qoqRange is the protective range of the first level, and qoqLimit int8's.
const (
	qoqRange = 119
	qoqLimit = 127
)

func (c qoqCodec) Name() string { return fmt.Sprintf("qoq4-g%d", c.group) }

// Check accepts every shape.
func (c qoqCodec) Check(rows, cols int) error { return checkShape(rows, cols) }

func (c qoqCodec) groups(cols int) int { return (cols + c.group - 1) / c.group }

func (c qoqCodec) Size(rows, cols int) int64 {
	return int64(rows) * int64(packedBytes(cols, 4)+2*c.groups(cols)+2)
}

func (c qoqCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if err := checkParts(parts, partSpec{"codes", tensor.U8}, partSpec{"steps", tensor.U8}, partSpec{"zeros", tensor.U8}, partSpec{"scales", tensor.F16}); err != nil {
		return nil, err
	}
	groups := int64(c.groups(cols))
	for i, size := range []int64{int64(packedBytes(cols, 4)), groups, groups, 2} {
		if err := checkLength(parts[i], int64(rows)*size); err != nil {
			return nil, err
		}
	}
	t := &qoqTerm{qoqCodec: c, rows: rows, cols: cols, codes: parts[0].Data, steps: parts[1].Data, zeros: parts[2].Data, scales: parts[3].Data}
	for i, z := range t.zeros {
		if z > 15 {
			return nil, fmt.Errorf("part %q: zero %d of row %d is %d, more than 15: the file is damaged", "zeros", i%int(groups), i/int(groups), z)
		}
	}
	if err := checkScales("scales", t.scales, 1); err != nil {
		return nil, err
	}
	return t.ready(), nil
}

// qoqTerm is a fitted matrix, parts row-major.
type qoqTerm struct {
	qoqCodec
	rows, cols                  int
	codes, steps, zeros, scales []byte

	integers *intTerm // w8, whose scales are the steps as F16
}

// ready makes the second level's term, which shares the codes.
func (t *qoqTerm) ready() *qoqTerm {
	scales, zeros := make([]byte, 2*len(t.steps)), make([]byte, len(t.zeros))
	for i, s := range t.steps {
		binary.LittleEndian.PutUint16(scales[2*i:], tensor.Float32ToF16(float32(s)))
		zeros[i] = t.zeros[i] - 8 // code - 2^3 - zero
	}
	t.integers = &intTerm{intCodec: intCodec{4, t.group, true}, rows: t.rows, cols: t.cols, codes: t.codes, scales: scales, zeros: zeros}
	return t
}

func (t *qoqTerm) Codec() string    { return t.Name() }
func (t *qoqTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *qoqTerm) Bytes() int64 {
	return int64(len(t.codes) + len(t.steps) + len(t.zeros) + len(t.scales))
}

func (t *qoqTerm) Parts() []Part {
	groups := t.groups(t.cols)
	return []Part{
		{Name: "codes", DType: tensor.U8, Shape: []int{t.rows, packedBytes(t.cols, 4)}, Data: t.codes},
		{Name: "steps", DType: tensor.U8, Shape: []int{t.rows, groups}, Data: t.steps},
		{Name: "zeros", DType: tensor.U8, Shape: []int{t.rows, groups}, Data: t.zeros},
		{Name: "scales", DType: tensor.F16, Shape: []int{t.rows, 1}, Data: t.scales},
	}
}

func (t *qoqTerm) scale(r int) float32 {
	return tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.scales[2*r:]))
}

func (t *qoqTerm) readRow(dst []float32, r int) {
	t.integers.readRow(dst, r)
	scale := t.scale(r)
	for i := range dst[:t.cols] {
		dst[i] *= scale
	}
}

func (t *qoqTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

// MulAdd multiplies few tokens by the integers, packed, and then by the rows' scales; activations are rounded as intTerm's.
func (t *qoqTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if t.integers.kernel() == nil || in.X.Rows > fewTokens || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	buf := getScratch(in.X.Rows * r1)
	defer putScratch(buf)
	clear(*buf)
	sums := tensor.Of(in.X.Rows, r1, *buf)
	t.integers.MulAdd(sums, in, r0, r1)
	for r := r0; r < r1; r++ {
		scale := t.scale(r)
		for i := range sums.Rows {
			y.Row(i)[r] += float32(scale * sums.Row(i)[r])
		}
	}
}
