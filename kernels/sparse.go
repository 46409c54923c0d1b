package kernels

import (
	"encoding/binary"
	"math/bits"
)

// Masks are words of 64 columns, little endian: bit c%64 of word c/64 says whether column c is stored. Stored elements of a row follow
// one another.

// CountBits returns how many bits of words are set; their length is a multiple of 8.
func CountBits(words []byte) (n int) {
	for ; len(words) >= 8; words = words[8:] {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(words))
	}
	return n
}

// ExpandFloats sets each dst[c] to the next number of src if mask stores column c, and to 0 if not. src holds as many as mask stores
// of len(dst) columns.
func ExpandFloats(dst, src []float32, mask []byte) {
	checkExpansion(len(dst), len(src), mask)
	expandFloats(chosen, dst, src, mask)
}

// ExpandBytes is ExpandFloats for bytes, which are fill where mask stores nothing.
func ExpandBytes(dst, src, mask []byte, fill byte) {
	checkExpansion(len(dst), len(src), mask)
	expandBytes(chosen, dst, src, mask, fill)
}

// checkExpansion panics if an expansion of stored elements to cols columns would read outside of its slices.
func checkExpansion(cols, stored int, mask []byte) {
	words := (cols + 63) / 64
	if len(mask) < 8*words || CountBits(mask[:8*words]) > stored {
		panic("kernels: expansion of fewer elements than the mask stores")
	}
}

func expandFloatsPlain(dst, src []float32, mask []byte) {
	for len(dst) > 0 {
		word, n := binary.LittleEndian.Uint64(mask), min(64, len(dst))
		for i := range dst[:n] {
			dst[i] = 0
			if word>>i&1 != 0 {
				dst[i], src = src[0], src[1:]
			}
		}
		dst, mask = dst[n:], mask[8:]
	}
}

func expandBytesPlain(dst, src, mask []byte, fill byte) {
	for len(dst) > 0 {
		word, n := binary.LittleEndian.Uint64(mask), min(64, len(dst))
		for i := range dst[:n] {
			dst[i] = fill
			if word>>i&1 != 0 {
				dst[i], src = src[0], src[1:]
			}
		}
		dst, mask = dst[n:], mask[8:]
	}
}

// UnpackBits sets dst to codes of width bits, 2 … 7, which follow one another in src from its first byte's lowest bits.
func UnpackBits(dst, src []byte, width int) {
	if width < 2 || width > 7 || len(src) < (len(dst)*width+7)/8 {
		panic("kernels: fewer codes than asked for, or of a width there is not")
	}
	unpackBits(chosen, dst, src, width)
}

func unpackBitsPlain(dst, src []byte, width int) {
	for ; len(dst) >= 8 && len(src) >= 8; dst, src = dst[8:], src[width:] {
		binary.LittleEndian.PutUint64(dst, spreadCodes(binary.LittleEndian.Uint64(src), uint(width)))
	}
	for len(dst) > 0 {
		var bits, codes [8]byte
		copy(bits[:], src[:min(width, len(src))])
		binary.LittleEndian.PutUint64(codes[:], spreadCodes(binary.LittleEndian.Uint64(bits[:]), uint(width)))
		n := copy(dst, codes[:])
		dst, src = dst[n:], src[min(width, len(src)):]
	}
}

// Masked is rows of integers of which a mask says where they are: the others are zero. Each is a code stored plus 2^(Bits-1), times its
// group's binary16 scale; groups are of Group columns, a multiple of 32, or all. A row's codes are Bits bits each, the first in the lowest
// bits, and begin at a whole byte.
type Masked struct {
	Bits, Cols, Group int
	Mask              []byte   // of each row, ⌈Cols/64⌉ words; no bits beyond Cols
	Starts            []uint32 // where each row's codes begin in Codes, and the end of the last: as many bytes as its mask says
	Codes             []byte
	Scales            []byte // of each row, one a group
}

// MatVec adds rows r0 … r0+len(y) of m times x to y. It agrees with the float32 product of the decoded rows and x's int8 form as
// MatVecInt8 does, and is MatVecInt8's, bit for bit, where codes are of 8 bits and all are stored. Every level gives the same bytes.
func (m *Masked) MatVec(y []float32, r0 int, x Q8) { m.matVec(chosen, y, r0, x) }

func (m *Masked) matVec(l level, y []float32, r0 int, x Q8) {
	words, groups, r1 := (m.Cols+63)/64, 0, r0+len(y)
	if m.Group > 0 {
		groups = (m.Cols + m.Group - 1) / m.Group
	}
	if m.Bits < 1 || m.Bits > 8 || r0 < 0 || groups == 0 || m.Group < m.Cols && m.Group%Q8Block != 0 {
		panic("kernels: masked mat-vec of codes or groups that there are not")
	}
	if r1 >= len(m.Starts) || len(m.Mask) < r1*words*8 || len(m.Scales) < r1*groups*2 || int(m.Starts[r1]) > len(m.Codes) || !x.holds(m.Cols) {
		panic("kernels: mat-vec slice shorter than its shape")
	}
	done := m.vector(l, y, r0, x)
	for r := r0 + done; r < r1; r++ {
		y[r-r0] += m.row(r, &x)
	}
}

// maskedOrder is MatVecInt8's order of sums.
func (m *Masked) maskedOrder() sumOrder { return sumOrder{sub: Q8Block, bias: 1 << (m.Bits - 1)} }

// row is the definition: one row's product, block after block.
func (m *Masked) row(r int, x *Q8) float32 {
	var sum rowSum
	order := m.maskedOrder()
	words, groups := (m.Cols+63)/64, (m.Cols+m.Group-1)/m.Group
	mask, scales, codes := m.Mask[r*words*8:], m.Scales[r*groups*2:], m.Codes[m.Starts[r]:m.Starts[r+1]]
	at := 0 // bits
	for b := 0; b*Q8Block < m.Cols; b++ {
		var block [Q8Block]uint8
		word := binary.LittleEndian.Uint32(mask[4*b:])
		for i := range block {
			block[i] = uint8(order.bias)
			if word>>i&1 == 0 {
				continue
			}
			v := uint16(codes[at>>3])
			if at&7+m.Bits > 8 {
				v |= uint16(codes[at>>3+1]) << 8
			}
			block[i] = uint8(v >> (at & 7) & (1<<m.Bits - 1))
			at += m.Bits
		}
		scale := [1]float32{F16ToFloat32(binary.LittleEndian.Uint16(scales[b*Q8Block/m.Group*2:]))}
		sum.block(&order, b, &block, scale[:], nil, x)
	}
	return sum.sum()
}

// DotColumns returns Σ values[i]·x[column i] for a row whose stored columns are, of each 256, as many as counts (16 bits each, little
// endian) says, ascending, their lowest bytes in columns. Element i of those of 256 columns is added to partial sum i%16; products and
// sums are rounded apart, so every level and machine gives the same bytes. The upper half of the sums is then added to the lower until
// one is left.
func DotColumns(values []float32, columns, counts []byte, x []float32) float32 {
	return dotColumnsAt(chosen, values, columns, counts, x)
}

func dotColumnsAt(l level, values []float32, columns, counts []byte, x []float32) float32 {
	total := 0
	for c := counts; len(c) >= 2; c = c[2:] {
		total += int(binary.LittleEndian.Uint16(c))
	}
	if len(columns) < total || len(values) < total || len(counts) < (len(x)+255)/256*2 {
		panic("kernels: fewer columns or values than their counts")
	}
	if total == 0 {
		return 0
	}
	var tail [256]float32 // the last columns, where they are not 256
	whole := len(x) / 256 * 256
	copy(tail[:], x[whole:])
	return dotColumns(l, values, columns, counts[:(len(x)+255)/256*2], x[:whole], &tail)
}

// dotColumnsPlain is the definition: blocks of 256 columns of x, and of tail if there is one more count.
func dotColumnsPlain(values []float32, columns, counts []byte, x []float32, tail *[256]float32) float32 {
	var sums [16]float32
	for len(counts) > 0 {
		n, block := int(binary.LittleEndian.Uint16(counts)), tail
		if len(x) > 0 {
			block, x = (*[256]float32)(x), x[256:]
		}
		for i, v := range values[:n] {
			sums[i&15] += float32(v * block[columns[i]])
		}
		values, columns, counts = values[n:], columns[n:], counts[2:]
	}
	return halved(&sums)
}

// halved adds the upper half of sums to the lower until one is left.
func halved(sums *[16]float32) float32 {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			sums[i] += sums[i+half]
		}
	}
	return sums[0]
}
