//go:build !noasm

package kernels

import "golang.org/x/sys/cpu"

// expands reports whether a level and the CPU have instructions that expand bytes: not every CPU of level avx512 has VBMI2.
func expands(l level) bool {
	x := &cpu.X86
	return l >= avx512 && x.HasAVX512VBMI && x.HasAVX512VBMI2
}

// maskedKernel reports whether a level and the CPU have a kernel for Masked.
func maskedKernel(l level) bool { return expands(l) }

func expandFloats(l level, dst, src []float32, mask []byte) {
	words := len(dst) / 64
	if l < avx512 || words == 0 || len(src) == 0 {
		expandFloatsPlain(dst, src, mask)
		return
	}
	expandFloatsx512(&dst[0], &src[0], &mask[0], words)
	if rest := dst[words*64:]; len(rest) > 0 {
		expandFloatsPlain(rest, src[CountBits(mask[:8*words]):], mask[8*words:])
	}
}

func expandBytes(l level, dst, src, mask []byte, fill byte) {
	words := len(dst) / 64
	if !expands(l) || words == 0 || len(src) == 0 {
		expandBytesPlain(dst, src, mask, fill)
		return
	}
	expandBytesx512(&dst[0], &src[0], &mask[0], words, uint64(fill))
	if rest := dst[words*64:]; len(rest) > 0 {
		expandBytesPlain(rest, src[CountBits(mask[:8*words]):], mask[8*words:], fill)
	}
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
	if !maskedKernel(l) || spread == nil || len(y) == 0 || m.Cols == 0 {
		return 0
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
