package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"pith/kernels"
	"pith/tensor"
)

// bitmapTerm has a word of mask for each 64 columns, and the values of a row one after another.
type bitmapTerm struct {
	sparseMatrix
	masked kernels.Masked       // mask, starts and data; what multiplies integers
	floats kernels.MaskedFloats // the same of floats
	stored []byte               // the coded mask, if it is
}

// openBitmap opens the parts before the values: a mask and where rows start, a mask alone, or a coded mask.
func openBitmap(m sparseMatrix, parts []Part) (Term, error) {
	t := &bitmapTerm{sparseMatrix: m}
	mask := parts[0].Data
	if m.coded {
		words, err := m.decodeMask(mask, m.rows, m.cols)
		if err != nil {
			return nil, err
		}
		t.stored, mask = mask, wordBytes(words)
	} else if err := m.checkBitmap(mask); err != nil {
		return nil, err
	}
	t.begin(mask)
	if len(parts) == 1 {
		return t, nil
	}
	for r := range m.rows {
		if got := binary.LittleEndian.Uint32(parts[1].Data[4*r:]); got != t.masked.Starts[r] {
			return nil, fmt.Errorf("row %d starts at byte %d, its mask says %d: the file is damaged", r, got, t.masked.Starts[r])
		}
	}
	return t, nil
}

// begin takes the mask over and finds where rows start.
func (t *bitmapTerm) begin(mask []byte) {
	t.masked = kernels.Masked{Cols: t.cols, Mask: mask, Codes: t.data, Scales: t.scales, Starts: make([]uint32, t.rows+1)}
	if i, ok := t.isInt(); ok {
		t.masked.Bits, t.masked.Group = i.bits, i.groupCols(t.cols)
	} else {
		t.floats = kernels.MaskedFloats{Kind: floatKind(t.values.(scalarCodec).dt), Cols: t.cols, Mask: mask, Starts: t.masked.Starts, Data: t.data}
	}
	rowBytes := 8 * maskWords(t.cols)
	for r := range t.rows {
		row := mask[r*rowBytes : (r+1)*rowBytes]
		n := 0
		for i := 0; i < len(row); i += 8 {
			n += bits.OnesCount64(binary.LittleEndian.Uint64(row[i:]))
		}
		t.masked.Starts[r+1] = t.masked.Starts[r] + uint32(packedBytes(n, t.width()))
	}
}

// checkBitmap wants of mask the number of elements that the pattern stores, and none beyond the columns.
func (c sparseMatrix) checkBitmap(mask []byte) error {
	rowBytes, total := 8*maskWords(c.cols), int64(0)
	words := make([]uint64, maskWords(c.cols))
	for r := range c.rows {
		readWords(words, mask[r*rowBytes:])
		if tail := c.cols & 63; tail != 0 && words[len(words)-1]>>tail != 0 {
			return fmt.Errorf("mask of row %d has columns beyond the last: the file is damaged", r)
		}
		if c.kind == groupPattern && !c.fullGroups(words) {
			return fmt.Errorf("mask of row %d is not of pattern %v: the file is damaged", r, c.sparsePattern)
		}
		for _, w := range words {
			total += int64(bits.OnesCount64(w))
		}
	}
	if want := c.Kept(c.rows, c.cols); total != want {
		return fmt.Errorf("mask keeps %d elements, want %d: the file is damaged", total, want)
	}
	return nil
}

// fullGroups reports whether each group of a row stores as many elements as it can.
func (c sparseMatrix) fullGroups(words []uint64) bool {
	if c.cols%64 == 0 && 64%c.m == 0 {
		for _, w := range words {
			if groupCounts(w, c.m) != groupCounts(^uint64(0), c.m)/uint64(c.m)*uint64(c.n) {
				return false
			}
		}
		return true
	}
	for c0 := 0; c0 < c.cols; c0 += c.m {
		if n := min(c.m, c.cols-c0); bits.OnesCount64(window(words, c0, n)) != c.groupKept(n) {
			return false
		}
	}
	return true
}

// groupCounts returns the number of ones in each m bits of w, m a power of two, in the lowest of these bits; m of 2 and more hold it.
func groupCounts(w uint64, m int) uint64 {
	for i, each := range []uint64{0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f, 0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0x00000000ffffffff} {
		if 1<<i >= m {
			break
		}
		w = w&each + w>>(1<<i)&each
	}
	return w
}

func readWords(dst []uint64, src []byte) {
	for i := range dst {
		dst[i] = binary.LittleEndian.Uint64(src[8*i:])
	}
}

func wordBytes(words []uint64) []byte {
	out := make([]byte, 8*len(words))
	for i, w := range words {
		binary.LittleEndian.PutUint64(out[8*i:], w)
	}
	return out
}

func (t *bitmapTerm) Parts() []Part {
	switch {
	case t.coded:
		return t.partsWith(t.stored)
	case t.kind == groupPattern:
		return t.partsWith(t.masked.Mask)
	}
	starts := make([]byte, 4*t.rows)
	for r := range t.rows {
		binary.LittleEndian.PutUint32(starts[4*r:], t.masked.Starts[r])
	}
	return t.partsWith(t.masked.Mask, starts)
}

// rowMask returns the mask of row r as it is stored.
func (t *bitmapTerm) rowMask(r int) []byte {
	n := 8 * maskWords(t.cols)
	return t.masked.Mask[r*n : (r+1)*n]
}

func (t *bitmapTerm) maskRow(dst []uint64, r int) { readWords(dst, t.rowMask(r)) }

// rowData returns the bytes of row r's values.
func (t *bitmapTerm) rowData(r int) []byte {
	return t.data[t.masked.Starts[r]:t.masked.Starts[r+1]]
}

func (t *bitmapTerm) storedCodes(dst []uint8, r int) []byte {
	return t.storedRow(dst, t.rowData(r), kernels.CountBits(t.rowMask(r)))
}

// storedRow returns n values: the elements in data, or their codes, which are written to dst.
func (t *sparseMatrix) storedRow(dst []uint8, data []byte, n int) []byte {
	if _, ok := t.isInt(); !ok {
		return data
	}
	unpackStream(dst[:n], data, t.width())
	return dst[:n]
}

func (t *bitmapTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

func (t *bitmapTerm) readRow(dst []float32, r int) {
	i, isInt := t.isInt()
	if !isInt {
		data := t.rowData(r)
		n := len(data) / (t.width() / 8)
		buf := getScratch(n)
		defer putScratch(buf)
		tensor.Decode(*buf, t.values.(scalarCodec).dt, data, 0)
		kernels.ExpandFloats(dst[:t.cols], *buf, t.rowMask(r))
		return
	}
	buf := getBytes(2 * t.cols)
	defer putBytes(buf)
	codes := (*buf)[:t.cols]
	stored := t.storedCodes((*buf)[t.cols:], r)
	kernels.ExpandBytes(codes, stored, t.rowMask(r), 1<<(i.bits-1))
	t.scaleRow(dst, codes, r)
}

// scaleRow sets dst to the values of a row's codes, of which there is one a column.
func (t *sparseMatrix) scaleRow(dst []float32, codes []uint8, r int) {
	i, _ := t.isInt()
	groups, group := i.groups(t.cols), i.groupCols(t.cols)
	for g := range groups {
		lo, hi := g*group, min(t.cols, (g+1)*group)
		kernels.ScaleCodes(dst[lo:hi], codes[lo:hi], t.scale(r*groups+g), -1<<(i.bits-1), 0)
	}
}

// scale returns scale i of the matrix.
func (t *sparseMatrix) scale(i int) float32 {
	return tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.scales[2*i:]))
}

// MulAdd rounds the activations of few tokens to int8 (kernels.Q8) where values are integers, as intTerm does, with the same bound.
// Other values multiply the activations as they are.
func (t *bitmapTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if in.X.Rows > fewTokens || t.cols == 0 || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	if t.masked.Bits == 0 {
		for i := range in.X.Rows {
			t.floats.MatVec(y.Row(i)[r0:r1], r0, in.X.Row(i))
		}
		return
	}
	for i, x := range in.Q8() {
		t.masked.MatVec(y.Row(i)[r0:r1], r0, x)
	}
}

// floatKind is the kernels' name of a dtype.
func floatKind(dt tensor.DType) kernels.FloatKind {
	switch dt {
	case tensor.F16:
		return kernels.KindF16
	case tensor.BF16:
		return kernels.KindBF16
	}
	return kernels.KindF32
}
