package codec

import (
	"encoding/binary"
	"fmt"

	"pith/kernels"
	"pith/tensor"
)

// midCodec is intCodec's asymmetric form with a real offset in place of an integer zero: HQQ's and AWQ's layout of weights.
//
//	W[r, c] = scale[r, g]·(code[r, c] - 2^(bits-1)) + mid[r, g],    g = c/group
//
// scale and mid are F16; the product is exact in float32, the sum rounds once. bits + 32/group bits per weight. docs/formats/int.md.
type midCodec struct{ intCodec }

// midSuffix ends the names of these codecs.
const midSuffix = "-mid"

func (c midCodec) Name() string { return c.intCodec.Name() + midSuffix }

func (c midCodec) Size(rows, cols int) int64 {
	return c.intCodec.Size(rows, cols) + 2*int64(rows)*int64(c.groups(cols))
}

// HalfQuadratic: mids can be fitted so.
func (c midCodec) HalfQuadratic() bool { return true }

func (c midCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts stored, want 3: the file is damaged", len(parts))
	}
	if err := checkParts(parts[2:], partSpec{"mids", tensor.F16}); err != nil {
		return nil, err
	}
	inner, err := c.intCodec.Open(rows, cols, parts[:2])
	if err != nil {
		return nil, err
	}
	if err := checkLength(parts[2], 2*int64(rows)*int64(c.groups(cols))); err != nil {
		return nil, err
	}
	if err := checkScales("mids", parts[2].Data, c.groups(cols)); err != nil {
		return nil, err
	}
	return &midTerm{inner.(*intTerm), parts[2].Data}, nil
}

// midTerm is a symmetric intTerm and the mids (F16, little endian) of its groups.
type midTerm struct {
	integers *intTerm
	mids     []byte
}

func (t *midTerm) Codec() string    { return t.integers.Codec() + midSuffix }
func (t *midTerm) Dims() (int, int) { return t.integers.Dims() }
func (t *midTerm) Bytes() int64     { return t.integers.Bytes() + int64(len(t.mids)) }

func (t *midTerm) Parts() []Part {
	groups := t.integers.groups(t.integers.cols)
	return append(t.integers.Parts(), Part{Name: "mids", DType: tensor.F16, Shape: []int{t.integers.rows, groups}, Data: t.mids})
}

func (t *midTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

func (t *midTerm) readRow(dst []float32, r int) {
	n := t.integers
	n.readRow(dst, r)
	group, groups := n.groupCols(n.cols), n.groups(n.cols)
	for g := range groups {
		mid := tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.mids[2*(r*groups+g):]))
		part := dst[g*group : min(n.cols, (g+1)*group)]
		for i := range part {
			part[i] += mid
		}
	}
}

// MulAdd adds, for few tokens, mid·Σx of each group to the product of packed integers; activations are rounded as intTerm's.
func (t *midTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	n := t.integers
	if n.kernel() == nil || in.X.Rows > fewTokens || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	n.MulAdd(y, in, r0, r1)
	groups := n.groups(n.cols)
	buf := getScratch(2 * groups)
	defer putScratch(buf)
	sums, mids := (*buf)[:groups], (*buf)[groups:]
	for i, x := range in.Q8() {
		n.groupSums(sums, x)
		out := y.Row(i)
		for r := r0; r < r1; r++ {
			kernels.F16ToF32(mids, t.mids[2*r*groups:2*(r+1)*groups])
			var s float32
			for g, m := range mids {
				s += float32(m * sums[g])
			}
			out[r] += s
		}
	}
}
