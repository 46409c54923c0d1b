//go:build !noasm

package kernels

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/cpu"
)

// expands reports whether a level and the CPU have instructions that expand bytes: not every CPU of level avx512 has VBMI2.
func expands(l level) bool {
	x := &cpu.X86
	return l >= avx512 && x.HasAVX512VBMI && x.HasAVX512VBMI2
}

// expandTable is, for each byte of a mask, which of the next stored elements goes to each of 8 columns, 128 to one that has none.
var expandTable = newExpandTable()

func newExpandTable() (t [256][8]byte) {
	for mask := range t {
		next := byte(0)
		for i := range 8 {
			t[mask][i] = 128
			if mask>>i&1 != 0 {
				t[mask][i] = next
				next++
			}
		}
	}
	return t
}

// wordsWithin returns how many of the first words of a mask can be expanded if 8 elements are read for each 8 columns, and how many
// elements these store.
func wordsWithin(words, stored int, mask []byte) (n, used int) {
	used = CountBits(mask[:8*words])
	for words > 0 && used+8 > stored {
		words--
		used -= CountBits(mask[8*words : 8*words+8])
	}
	return words, used
}

func expandFloats(l level, dst, src []float32, mask []byte) {
	words, used := len(dst)/64, 0
	switch {
	case l == generic || words == 0 || len(src) == 0:
		words = 0
	case l == avx512:
		used = CountBits(mask[:8*words])
		expandFloatsx512(&dst[0], &src[0], &mask[0], words)
	default:
		if words, used = wordsWithin(words, len(src), mask); words > 0 {
			expandFloatsx256(&dst[0], &src[0], &mask[0], words, &expandTable)
		}
	}
	expandFloatsPlain(dst[words*64:], src[used:], mask[8*words:])
}

func expandBytes(l level, dst, src, mask []byte, fill byte) {
	words, used := len(dst)/64, 0
	switch {
	case l == generic || words == 0 || len(src) == 0:
		words = 0
	case expands(l):
		used = CountBits(mask[:8*words])
		expandBytesx512(&dst[0], &src[0], &mask[0], words, uint64(fill))
	default:
		if words, used = wordsWithin(words, len(src), mask); words > 0 {
			expandBytesx256(&dst[0], &src[0], &mask[0], words, uint64(fill), &expandTable)
		}
	}
	expandBytesPlain(dst[words*64:], src[used:], mask[8*words:], fill)
}

// vector multiplies rows by vector kernels; false if there is none for them.
func (m *MaskedFloats) vector(l level, y []float32, r0 int, x []float32) bool {
	words := m.Cols / 64
	if l < avx512 || m.Cols%64 != 0 || len(m.Data) == 0 {
		return false
	}
	mask, starts := &m.Mask[r0*words*8], &m.Starts[r0]
	switch {
	case m.Kind == KindF32:
		matvecMaskedF32x512(&y[0], mask, starts, &m.Data[0], &x[0], len(y), words)
	case !expands(l):
		return false
	case m.Kind == KindF16:
		matvecMaskedF16x512(&y[0], mask, starts, &m.Data[0], &x[0], len(y), words)
	default:
		matvecMaskedBF16x512(&y[0], mask, starts, &m.Data[0], &x[0], len(y), words)
	}
	return true
}

// dotColumns is DotColumns of whole blocks of x, and of tail if there is one more count.
func dotColumns(l level, values []float32, columns, counts []byte, x []float32, tail *[256]float32) float32 {
	if l < avx512 {
		return dotColumnsPlain(values, columns, counts, x, tail)
	}
	var sums [16]float32
	blocks := len(x) / 256
	if blocks > 0 {
		dotColumnsx512(&sums, &values[0], &columns[0], &counts[0], &x[0], blocks)
	}
	if 2*blocks < len(counts) {
		if n := int(binary.LittleEndian.Uint16(counts[2*blocks:])); n > 0 {
			before := 0
			for c := counts[:2*blocks]; len(c) > 0; c = c[2:] {
				before += int(binary.LittleEndian.Uint16(c))
			}
			dotColumnsx512(&sums, &values[before], &columns[before], &counts[2*blocks], &tail[0], 1)
		}
	}
	return halved(&sums)
}

func scaleColumns(l level, dst []float32, codes, columns, counts []byte, scales []float32, group, bias int) {
	if l < avx512 {
		scaleColumnsPlain(dst, codes, columns, counts, scales, group, bias)
		return
	}
	scaleColumnsx512(&dst[0], &codes[0], &columns[0], &counts[0], &scales[0], 256/group*4, bits.TrailingZeros(uint(group)), bias, len(counts)/2)
}

// maskedPlan is how 64 codes of fewer than 8 bits are brought to a byte each: which bytes each quadword of 8 needs, 64 bytes, and for
// codes that begin at bit 0 … 7 of the first byte, the shifts to each, 64 bytes a bit.
type maskedPlan [64 + 8*64]byte

// maskedPlans are those of each width.
var maskedPlans = newMaskedPlans()

func newMaskedPlans() (plans [8]maskedPlan) {
	for bits := range plans { // 0 is none
		for i := range 64 {
			plans[bits][i] = byte(i/8*bits + i%8)
			for start := range 8 {
				plans[bits][64+64*start+i] = byte(start + i%8*bits)
			}
		}
	}
	return plans
}

// maskedSlack is how far beyond the end of a row the kernels may read: three words of another row's codes, and what a vector takes.
const maskedSlack = 3*64 + 2*64

// vector multiplies rows by vector kernels, and returns how many: all, or none if there is no kernel.
func (m *Masked) vector(l level, y []float32, r0 int, x Q8) int {
	group := min(m.Group, m.Cols)
	spread := spreadOf(group, m.Cols)
	if l == generic || spread == nil || len(y) == 0 || m.Cols == 0 {
		return 0
	}
	if !expands(l) {
		return m.expanded(l, y, r0, x)
	}
	words, groups, steps := (m.Cols+63)/64, (m.Cols+group-1)/group, (m.Cols+stepColumns-1)/stepColumns
	scaleSpan := (steps-1)*spread.step + spread.load
	arranged := getPadded(2 * steps * stepColumns)
	defer paddedPool.Put(arranged)
	bias := 1 << (m.Bits - 1)
	maskedArrangex512(&(*arranged)[0], &x.Codes[0], steps, uint32(bias)*0x01010101)
	run := func(y []float32, mask []byte, starts []uint32, codes, scales []byte) {
		if m.Bits == 8 {
			matvecMaskedBytesx512(&y[0], &mask[0], words*8, &starts[0], &codes[0], bias, len(y), steps, &(*arranged)[0], &x.Scales[0], &scales[0], groups*2, spread.step, &spread.table)
			return
		}
		matvecMaskedBitsx512(&y[0], &mask[0], words*8, &starts[0], &codes[0], bias, len(y), steps, m.Bits, &maskedPlans[m.Bits][0], &(*arranged)[0], &x.Scales[0], &scales[0], groups*2, spread.step, &spread.table)
	}
	mask, scales := m.Mask[r0*words*8:], m.Scales[r0*groups*2:]
	direct := min(rowsWithin(len(mask), words*8, steps*32, len(y)), rowsWithin(len(scales), groups*2, scaleSpan, len(y)))
	for direct > 0 && int(m.Starts[r0+direct])+maskedSlack > len(m.Codes) {
		direct--
	}
	if direct > 0 {
		run(y[:direct], mask, m.Starts[r0:], m.Codes, scales)
	}
	if direct == len(y) {
		return direct
	}
	codeSpan := (m.Cols*m.Bits+7)/8 + maskedSlack
	padded := getPadded(codeSpan + 32*steps + scaleSpan)
	defer paddedPool.Put(padded)
	w, c, s := (*padded)[:32*steps], (*padded)[32*steps:32*steps+codeSpan], (*padded)[32*steps+codeSpan:]
	clear(w)
	for r := direct; r < len(y); r++ {
		copy(w, mask[r*words*8:(r+1)*words*8])
		copy(c, m.Codes[m.Starts[r0+r]:m.Starts[r0+r+1]])
		copy(s, scales[r*groups*2:(r+1)*groups*2])
		run(y[r:r+1], w, zeroStart[:], c, s)
	}
	return len(y)
}

// expanded multiplies rows that were expanded to int8 first, whose dense product has the same sums.
func (m *Masked) expanded(l level, y []float32, r0 int, x Q8) int {
	words, groups, bias := (m.Cols+63)/64, (m.Cols+m.Group-1)/m.Group, byte(1)<<(m.Bits-1)
	buf := getPadded(2 * m.Cols)
	defer paddedPool.Put(buf)
	row, stored := (*buf)[:m.Cols], (*buf)[m.Cols:]
	for i := range y {
		mask, codes := m.Mask[(r0+i)*words*8:(r0+i+1)*words*8], m.Codes[m.Starts[r0+i]:m.Starts[r0+i+1]]
		if m.Bits == 8 {
			copy(stored, codes)
		} else {
			unpackBits(l, stored[:CountBits(mask)], codes, m.Bits)
		}
		expandBytes(l, row, stored, mask, bias)
		lessBias(row, bias)
		matVecGroups(l, &formatInt8, y[i:i+1], row, m.Scales[(r0+i)*groups*2:], 1, m.Cols, m.Group, x)
	}
	return len(y)
}

// lessBias takes bias, a power of two, from codes below twice that, 8 at a time: sums with 128 need no borrows.
func lessBias(codes []byte, bias byte) {
	const high = 0x8080808080808080
	less := uint64(bias) * 0x0101010101010101
	for ; len(codes) >= 8; codes = codes[8:] {
		c := binary.LittleEndian.Uint64(codes)
		if bias < 128 {
			c = (c | high) - less
		}
		binary.LittleEndian.PutUint64(codes, c^high)
	}
	for i := range codes {
		codes[i] -= bias
	}
}

func unpackBits(l level, dst, src []byte, width int) {
	if !expands(l) || len(dst) == 0 {
		unpackBitsPlain(dst, src, width)
		return
	}
	unpackBitsx512(&dst[0], &src[0], len(dst), (len(dst)*width+7)/8, width, &maskedPlans[width][0])
}

// zeroStart is where a copied row starts.
var zeroStart [1]uint32

// vectorPairs multiplies rows by vector kernels, and returns how many: all, or none if there is no kernel.
func vectorPairs(l level, y []float32, codes, indices, scales []byte, rows, cols, group int, x Q8) int {
	spread := spreadOf(group, cols)
	if l == generic || spread == nil {
		return 0
	}
	units, groups := (cols+pairsColumns-1)/pairsColumns, (cols+group-1)/group
	steps := (cols + stepColumns - 1) / stepColumns
	codeSpan, indexSpan, scaleSpan := steps*4*PairsCodes, steps*4*PairsIndices, (steps-1)*spread.step+spread.load
	arranged := getPadded(steps * stepColumns)
	defer paddedPool.Put(arranged)
	order := *arranged
	pairsArrange(&order[0], &x.Codes[0], steps)
	run := func(y []float32, codes, indices, scales []byte, rows int) {
		if l == avx512 {
			matvecPairsx512(&y[0], &codes[0], &indices[0], units*PairsCodes, units*PairsIndices, rows, steps, &order[0], &x.Scales[0], &scales[0], groups*2, spread.step, &spread.table)
			return
		}
		matvecPairsx256(&y[0], &codes[0], &indices[0], units*PairsCodes, units*PairsIndices, rows, steps, &order[0], &x.Scales[0], &scales[0], groups*2, spread.step, &spread.table)
	}
	direct := min(rowsWithin(len(codes), units*PairsCodes, codeSpan, rows), rowsWithin(len(indices), units*PairsIndices, indexSpan, rows),
		rowsWithin(len(scales), groups*2, scaleSpan, rows))
	if direct > 0 {
		run(y, codes, indices, scales, direct)
	}
	if direct == rows {
		return rows
	}
	padded := getPadded(codeSpan + indexSpan + scaleSpan)
	defer paddedPool.Put(padded)
	c, i, s := (*padded)[:codeSpan], (*padded)[codeSpan:codeSpan+indexSpan], (*padded)[codeSpan+indexSpan:]
	for r := direct; r < rows; r++ {
		copy(c, codes[r*units*PairsCodes:(r+1)*units*PairsCodes])
		copy(i, indices[r*units*PairsIndices:(r+1)*units*PairsIndices])
		copy(s, scales[r*groups*2:(r+1)*groups*2])
		run(y[r:], c, i, s, 1)
	}
	return rows
}
