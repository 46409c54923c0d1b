package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"pith/kernels"
	"pith/tensor"
)

// A unit of 64 columns, 16 groups of four of which two are stored, takes 16 bytes of codes and 8 of indices. With slot s = 2·group + i
// for the i-th of the two, the codes of slots j and j+16 are the nibbles of byte j, the lower first; and the two bits of the indices of
// slots j, j+8, j+16 and j+24, columns within their groups, are those of byte j, the lowest first. A row is whole units.
const (
	pairsCodes   = kernels.PairsCodes
	pairsIndices = kernels.PairsIndices
)

// pairsTerm is int4 values, two of each four columns: 2 bits of code, 1 of index and 16/group of scale a weight, 3.125 with groups of 128
// (Frantar and Alistarh 2024, Sparse-Marlin, stores as much in an order for tensor cores).
type pairsTerm struct {
	sparseMatrix
	indices []byte
	stored  []byte // the coded mask, if it is
}

func openPairs(m sparseMatrix, indices []byte) (Term, error) {
	t := &pairsTerm{sparseMatrix: m, indices: indices}
	if m.coded {
		words, err := m.decodeMask(indices, m.rows, m.cols)
		if err != nil {
			return nil, err
		}
		t.stored = indices
		t.indices = packIndices(&Mask{m.rows, m.cols, words})
		return t, nil
	}
	for i := 0; i < len(indices); i += pairsIndices {
		if !ascending(binary.LittleEndian.Uint64(indices[i:])) {
			return nil, fmt.Errorf("indices of row %d do not ascend: the file is damaged", i/pairsIndices/maskWords(m.cols))
		}
	}
	if last := m.cols % 4; last != 0 {
		mask := make([]uint64, maskWords(m.cols))
		for r := range m.rows {
			t.maskRow(mask, r)
			if bits.OnesCount64(window(mask, m.cols-last, last)) != m.groupKept(last) {
				return nil, fmt.Errorf("indices of row %d point beyond its columns: the file is damaged", r)
			}
		}
	}
	return t, nil
}

// ascending reports whether the two indices of each group of a unit ascend: slots 2g and 2g+1 are in bytes side by side.
func ascending(w uint64) bool {
	const first, bit = 0x00ff00ff00ff00ff, 0x0055005500550055
	a, b := w&first, w>>8&first
	aHigh, bHigh := a>>1&bit, b>>1&bit
	less := ^aHigh&bHigh | ^(aHigh^bHigh)&^a&b
	return less&bit == bit
}

// slotIndex returns the index of slot s of a unit.
func slotIndex(unit []byte, s int) int { return int(unit[s%8] >> (s / 8 * 2) & 3) }

// packIndices returns the indices of a mask whose groups store as many elements as they can. Slots beyond those of the last group, and of
// groups beyond the last column, have the lowest indices there are.
func packIndices(mask *Mask) []byte {
	units := maskWords(mask.Cols)
	out := make([]byte, mask.Rows*units*pairsIndices)
	for r := range mask.Rows {
		for u, word := range mask.Row(r) {
			unit := out[(r*units+u)*pairsIndices:][:pairsIndices]
			for g := range 16 {
				kept := word >> (4 * g) & 15
				inside := min(max(mask.Cols-u*64-4*g, 0), 4)
				slot := 2 * g
				for i := range 4 {
					if slot < 2*g+2 && (kept>>i&1 != 0 || i >= inside) {
						unit[slot%8] |= byte(i << (slot / 8 * 2))
						slot++
					}
				}
			}
		}
	}
	return out
}

// pairsPacker packs rows' codes.
type pairsPacker struct {
	data    []byte
	units   int
	indices []byte
	mask    *Mask
}

// newPairs returns nil if m is of another layout.
func (t *sparseMatrix) newPairs(mask *Mask) *pairsPacker {
	if !t.inPairs() {
		return nil
	}
	return &pairsPacker{t.data, maskWords(t.cols), packIndices(mask), mask}
}

// pack writes row r's codes; slots that store nothing have the code of zero.
func (p *pairsPacker) pack(r int, codes []uint8) {
	const zero = 8
	for u, word := range p.mask.Row(r) {
		var slots [32]uint8
		for g := range 16 {
			kept := word >> (4 * g) & 15
			for i := range 2 {
				slots[2*g+i] = zero
				if kept != 0 {
					slots[2*g+i], codes, kept = codes[0], codes[1:], kept&(kept-1)
				}
			}
		}
		unit := p.data[(r*p.units+u)*pairsCodes:][:pairsCodes]
		for j := range unit {
			unit[j] = slots[j] | slots[j+16]<<4
		}
	}
}

func (p *pairsPacker) term(m sparseMatrix, mask *Mask) Term {
	t := &pairsTerm{sparseMatrix: m, indices: p.indices}
	if m.coded {
		t.stored = m.encodeMask(mask)
	}
	return t
}

func (t *pairsTerm) Parts() []Part {
	if t.coded {
		return t.partsWith(t.stored)
	}
	return t.partsWith(t.indices)
}

// slots calls f for each slot of row r that has a column, in order, with its code.
func (t *pairsTerm) slots(r int, f func(col int, code uint8)) {
	units := maskWords(t.cols)
	for u := range units {
		codes, indices := t.data[(r*units+u)*pairsCodes:][:pairsCodes], t.indices[(r*units+u)*pairsIndices:][:pairsIndices]
		for s := range 32 {
			if c := u*64 + s/2*4 + slotIndex(indices, s); c < t.cols {
				f(c, codes[s%16]>>(s/16*4)&15)
			}
		}
	}
}

func (t *pairsTerm) maskRow(dst []uint64, r int) {
	clear(dst)
	t.slots(r, func(c int, _ uint8) { dst[c>>6] |= 1 << (c & 63) })
}

func (t *pairsTerm) storedCodes(dst []uint8, r int) []byte {
	n := 0
	t.slots(r, func(_ int, code uint8) {
		dst[n] = code
		n++
	})
	return dst[:n]
}

func (t *pairsTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

func (t *pairsTerm) readRow(dst []float32, r int) {
	units := maskWords(t.cols)
	buf := getBytes(64 * units)
	defer putBytes(buf)
	kernels.ExpandPairs(*buf, t.data[r*units*pairsCodes:(r+1)*units*pairsCodes], t.indices[r*units*pairsIndices:])
	t.scaleRow(dst, (*buf)[:t.cols], r)
}

// MulAdd rounds the activations of few tokens to int8 (kernels.Q8), as intTerm does, with the same bound.
func (t *pairsTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if in.X.Rows > fewTokens || t.cols == 0 || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	i, _ := t.isInt()
	units, groups := maskWords(t.cols), i.groups(t.cols)
	codes, indices := t.data[r0*units*pairsCodes:r1*units*pairsCodes], t.indices[r0*units*pairsIndices:r1*units*pairsIndices]
	scales := t.scales[r0*groups*2 : r1*groups*2]
	for k, x := range in.Q8() {
		kernels.MatVecPairs(y.Row(k)[r0:r1], codes, indices, scales, r1-r0, t.cols, i.groupCols(t.cols), x)
	}
}
