package codec

import (
	"encoding/binary"
	"fmt"

	"pith/kernels"
	"pith/tensor"
)

// intCodec stores integers with one scale per group of consecutive columns of a row, the last group of a row being as short as
// need be:
//
//	W[r,c] = scale[r,g] · (code[r,c] - 2^(bits-1) - zero[r,g]),   g = c / group
//
// code is offset-binary in 0 … 2^bits-1 and packed along the row (bits.go). scale is F16. zero is an int8, stored only by the
// asymmetric form and 0 otherwise; it may lie outside the range of codes, so groups far from zero have a fine grid too. The
// product is exact in float32. bits + 16/group bits per weight, asymmetric + 8/group more. docs/formats/int.md.
type intCodec struct {
	bits  int
	group int // columns; 0: the whole row
	asym  bool
}

func (c intCodec) Name() string {
	group := "row"
	if c.group > 0 {
		group = fmt.Sprint(c.group)
	}
	name := fmt.Sprintf("int%d-g%s", c.bits, group)
	if c.asym {
		name += "-asym"
	}
	return name
}

// Check accepts every shape.
func (c intCodec) Check(rows, cols int) error { return checkShape(rows, cols) }

// groupCols returns how many columns share a scale; groups, how many groups a row has.
func (c intCodec) groupCols(cols int) int {
	if c.group == 0 {
		return max(cols, 1)
	}
	return c.group
}

func (c intCodec) groups(cols int) int { return (cols + c.groupCols(cols) - 1) / c.groupCols(cols) }

func (c intCodec) Size(rows, cols int) int64 {
	perGroup := 2
	if c.asym {
		perGroup++
	}
	return int64(rows) * int64(packedBytes(cols, c.bits)+perGroup*c.groups(cols))
}

// codesDType is I8 where a byte is a code, U8 where bytes are packed.
func (c intCodec) codesDType() tensor.DType {
	if c.bits == 8 {
		return tensor.I8
	}
	return tensor.U8
}

func (c intCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	want := []partSpec{{"codes", c.codesDType()}, {"scales", tensor.F16}}
	if c.asym {
		want = append(want, partSpec{"zeros", tensor.I8})
	}
	if err := checkParts(parts, want...); err != nil {
		return nil, err
	}
	groups := int64(c.groups(cols))
	sizes := []int64{int64(rows) * int64(packedBytes(cols, c.bits)), int64(rows) * groups * 2, int64(rows) * groups}
	for i, p := range parts {
		if err := checkLength(p, sizes[i]); err != nil {
			return nil, err
		}
	}
	t := &intTerm{intCodec: c, rows: rows, cols: cols, codes: parts[0].Data, scales: parts[1].Data}
	if c.asym {
		t.zeros = parts[2].Data
	}
	return t, checkScales("scales", t.scales, int(groups))
}

// intTerm is a fitted matrix: codes, scales (F16, little endian) and zeros row-major.
type intTerm struct {
	intCodec
	rows, cols           int
	codes, scales, zeros []byte
}

func (t *intTerm) Codec() string    { return t.Name() }
func (t *intTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *intTerm) Bytes() int64     { return int64(len(t.codes) + len(t.scales) + len(t.zeros)) }

func (t *intTerm) Parts() []Part {
	groups := t.groups(t.cols)
	parts := []Part{
		{Name: "codes", DType: t.codesDType(), Shape: []int{t.rows, packedBytes(t.cols, t.bits)}, Data: t.codes},
		{Name: "scales", DType: tensor.F16, Shape: []int{t.rows, groups}, Data: t.scales},
	}
	if t.asym {
		parts = append(parts, Part{Name: "zeros", DType: tensor.I8, Shape: []int{t.rows, groups}, Data: t.zeros})
	}
	return parts
}

// scale returns group g of row r as W = scale·(code + offset).
func (t *intTerm) scale(r, g int) (scale float32, offset int) {
	i := r*t.groups(t.cols) + g
	offset = -1 << (t.bits - 1)
	if t.asym {
		offset -= int(int8(t.zeros[i]))
	}
	return tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.scales[2*i:])), offset
}

func (t *intTerm) readRow(dst []float32, r int) {
	var codes [256]uint8
	rowBytes := packedBytes(t.cols, t.bits)
	row := t.codes[r*rowBytes : (r+1)*rowBytes]
	group := t.groupCols(t.cols)
	if t.bits == 8 {
		for c := 0; c < t.cols; c += group {
			end := min(t.cols, c+group)
			scale, offset := t.scale(r, c/group)
			kernels.ScaleInt8(dst[c:end], row[c:end], scale, offset+128, 0)
		}
		return
	}
	if t.bits == 4 && t.cols%32 == 0 {
		for g := 0; g*group < t.cols; g++ {
			scale, offset := t.scale(r, g)
			kernels.ScaleNibbles(dst[g*group:min(t.cols, (g+1)*group)], row[g*group/2:], scale, offset, 0)
		}
		return
	}
	for c0 := 0; c0 < t.cols; c0 += len(codes) { // 256 columns are whole bytes and whole blocks of every width
		n := min(len(codes), t.cols-c0)
		unpackCodes(codes[:n], row[c0*t.bits/8:], t.bits)
		for c := c0; c < c0+n; {
			end := min(c0+n, (c/group+1)*group)
			scale, offset := t.scale(r, c/group)
			out := dst[c:end]
			kernels.ScaleCodes(out, codes[c-c0:end-c0], scale, offset, 0)
			c = end
		}
	}
}

func (t *intTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

// MulAdd rounds the activations of few tokens to int8 (kernels.Q8) where a kernel multiplies by the packed codes: each output is
// then off by at most Σ |w|·max|x|/254, max|x| that of the 32 activations around.
func (t *intTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	kernel := t.kernel()
	if kernel == nil || in.X.Rows > fewTokens || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	rowBytes, groups := packedBytes(t.cols, t.bits), t.groups(t.cols)
	codes, scales := t.codes[r0*rowBytes:r1*rowBytes], t.scales[r0*groups*2:r1*groups*2]
	for i, x := range in.Q8() {
		out := y.Row(i)[r0:r1]
		kernel(out, codes, scales, r1-r0, t.cols, t.groupCols(t.cols), x)
		if t.asym {
			t.subtractZeros(out, x, r0)
		}
	}
}

// kernel returns the product of packed codes with int8 activations, or nil if there is none for t.
func (t *intTerm) kernel() func(y []float32, codes, scales []byte, rows, cols, group int, x kernels.Q8) {
	if t.cols == 0 || t.cols%32 != 0 && t.bits == 4 {
		return nil
	}
	switch t.bits {
	case 2:
		return kernels.MatVecInt2
	case 3:
		return kernels.MatVecInt3
	case 4:
		return kernels.MatVecInt4
	case 5:
		return kernels.MatVecInt5
	case 6:
		return kernels.MatVecInt6
	case 8:
		return kernels.MatVecInt8
	}
	return nil
}

// zeroChunk is about how many scales subtractZeros converts at once.
const zeroChunk = 2048

// subtractZeros adds what the kernels leave out: -scale·zero·Σx of each group, for rows r0 … r0+len(y).
func (t *intTerm) subtractZeros(y []float32, x kernels.Q8, r0 int) {
	groups := t.groups(t.cols)
	rows := max(1, min(len(y), zeroChunk/groups))
	buf := getScratch((1 + 2*rows) * groups)
	defer putScratch(buf)
	sums, scales, zeros := (*buf)[:groups], (*buf)[groups:groups+rows*groups], (*buf)[groups+rows*groups:]
	t.groupSums(sums, x)
	for len(y) > 0 {
		n := min(rows, len(y))
		at, count := r0*groups, n*groups
		kernels.F16ToF32(scales[:count], t.scales[2*at:2*(at+count)])
		kernels.ScaleInt8(zeros[:count], t.zeros[at:at+count], 1, 0, 0)
		for r := range n {
			f, z := scales[r*groups:(r+1)*groups], zeros[r*groups:(r+1)*groups]
			y[r] -= zeroSum(f, z, sums)
		}
		y, r0 = y[n:], r0+n
	}
}

// groupSums sets sums to Σx of each group.
func (t *intTerm) groupSums(sums []float32, x kernels.Q8) {
	clear(sums)
	blocks := (t.cols + kernels.Q8Block - 1) / kernels.Q8Block
	inGroup := (t.groupCols(t.cols) + kernels.Q8Block - 1) / kernels.Q8Block
	for g := range sums {
		for b := g * inGroup; b < min(blocks, (g+1)*inGroup); b++ {
			sums[g] += float32(x.Scales[b] * float32(x.Sums[b]))
		}
	}
}

// zeroSum returns Σ scale·zero·sum.
func zeroSum(scales, zeros, sums []float32) (s float32) {
	zeros, sums = zeros[:len(scales)], sums[:len(scales)]
	for g, f := range scales {
		s += float32(float32(f*zeros[g]) * sums[g])
	}
	return s
}
