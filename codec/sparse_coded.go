package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"

	"pith/internal/par"
)

// A coded mask is cut into sections of whole rows, about codedSection elements each. It begins with 8 bytes a section: how many elements
// it keeps and how many bytes its code has (both U32). The codes follow one another, then zeros.
//
// A section's code is an arithmetic code of its elements in order. With k of n elements left to be kept the next one is kept with
// probability k/n; where all or none are left, nothing is coded. So every mask of k of n elements gets the probability 1/C(n,k): the
// code is an enumeration of these masks. With groups, k and n are those left in the group. Since Π C(nᵢ,kᵢ) ≤ C(Σnᵢ,Σkᵢ) the codes
// together never take more than what codedBytes says, which depends on the shape and the pattern only.
const codedSection = 1 << 18

// sectionRows returns how many rows a section has.
func sectionRows(cols int) int { return max(1, codedSection/max(1, cols)) }

// codedBytes is the size of a coded mask: headers, what an arithmetic code may take more than the logarithm, and the logarithm.
func (c sparseCodec) codedBytes(rows, cols int) int64 {
	sections := int64((rows + sectionRows(cols) - 1) / sectionRows(cols))
	return sections*(8+codedSlack) + (c.maskBits(rows, cols)>>logFraction+8)/8
}

// codedSlack is how many bytes a section's code may have beyond its mask's information: its end is rounded to a byte, and one more tells
// where in the last interval it lies. (Ranges have at least 56 bits, so that rounding them loses less than 2⁻¹⁸ bits a section.)
const codedSlack = 2

// maskBits returns a bound of log2 of the number of masks, in units of 2^-logFraction: of n:m patterns nearly it, of others n·H(k/n).
func (c sparseCodec) maskBits(rows, cols int) int64 {
	if c.kind == groupPattern {
		ways := func(cols int) int64 {
			n := binomial(cols, c.groupKept(cols))
			if n == 1 {
				return 0
			}
			return log2(n) + 1
		}
		return int64(rows) * (int64(cols/c.m)*ways(c.m) + ways(cols%c.m))
	}
	n, k := uint64(rows)*uint64(cols), uint64(c.Kept(rows, cols))
	if k == 0 || k == n {
		return 0
	}
	return int64(n)*(log2(n)+1) - int64(k)*log2(k) - int64(n-k)*log2(n-k)
}

// binomial returns C(n, k) for n ≤ 64, which is below 2⁶³.
func binomial(n, k int) uint64 {
	row := make([]uint64, k+1)
	row[0] = 1
	for i := range n {
		for j := min(i+1, k); j > 0; j-- {
			row[j] += row[j-1]
		}
	}
	return row[k]
}

// logFraction is the number of bits after the point of log2's results.
const logFraction = 24

// log2 returns ⌊log2(x)·2²⁴⌋, or one less, for x > 0, by integers only, so that it is the same everywhere: a square doubles the logarithm.
func log2(x uint64) int64 {
	whole := bits.Len64(x) - 1
	y := x << (63 - whole) // in [2⁶³, 2⁶⁴): 1 … 2
	out := int64(whole)
	for range logFraction {
		hi, lo := bits.Mul64(y, y) // 1 … 4 in units of 2⁻¹²⁶
		out <<= 1
		if hi>>63 != 0 {
			out |= 1
			y = hi
		} else {
			y = hi<<1 | lo>>63
		}
	}
	return out
}

// arithmetic is the state of a coder: an interval of numbers whose first bytes are known. width is at least 2⁵⁶ between elements.
type arithmetic struct {
	low, width uint64
	bytes      []byte
}

// split returns how much of the interval, its lower part, a kept element takes.
func (a *arithmetic) split(k, n int) uint64 { return a.width / uint64(n) * uint64(k) }

// encode narrows the interval to an element's.
func (a *arithmetic) encode(kept bool, k, n int) {
	s := a.split(k, n)
	if kept {
		a.width = s
	} else {
		low := a.low + s
		if low < a.low {
			a.carry()
		}
		a.low, a.width = low, a.width-s
	}
	for a.width < 1<<56 {
		a.bytes = append(a.bytes, byte(a.low>>56))
		a.low, a.width = a.low<<8, a.width<<8
	}
}

// carry adds one to the bytes so far.
func (a *arithmetic) carry() {
	for i := len(a.bytes) - 1; i >= 0; i-- {
		if a.bytes[i]++; a.bytes[i] != 0 {
			return
		}
	}
}

// finish writes a byte after which any bytes stay in the interval.
func (a *arithmetic) finish() []byte {
	low := a.low + 1<<56 - 1
	if low < a.low {
		a.carry()
	}
	return append(a.bytes, byte(low>>56))
}

// decoder is an arithmetic whose low is how far the code lies above the interval's start.
func decoder(code []byte) arithmetic {
	a := arithmetic{width: ^uint64(0), bytes: code}
	for range 8 {
		a.next()
	}
	return a
}

// next takes a byte of the code; beyond its end there are zeros.
func (a *arithmetic) next() {
	a.low <<= 8
	if len(a.bytes) > 0 {
		a.low |= uint64(a.bytes[0])
		a.bytes = a.bytes[1:]
	}
}

// decode reads an element. A damaged code gives some mask with the right counts.
func (a *arithmetic) decode(k, n int) (kept bool) {
	s := a.split(k, n)
	if kept = a.low < s; kept {
		a.width = s
	} else {
		a.low, a.width = a.low-s, a.width-s
	}
	for a.width < 1<<56 {
		a.width <<= 8
		a.next()
	}
	return kept
}

// sections returns how many sections a matrix has, and the rows of one.
func codedSections(rows, cols int) (n int, of func(i int) (r0, r1 int)) {
	step := sectionRows(cols)
	return (rows + step - 1) / step, func(i int) (int, int) { return i * step, min(rows, (i+1)*step) }
}

// elements calls f for each element of rows r0 … r1 that has to be coded, with how many of how many are left to be kept; f says whether it
// is. Others are given to set, if they are kept.
func (c sparseCodec) elements(r0, r1, cols, kept int, f func(r, col, k, n int) bool, set func(r, col int)) {
	k, n := kept, (r1-r0)*cols
	for r := r0; r < r1; r++ {
		for col := range cols {
			if c.kind == groupPattern && col%c.m == 0 {
				n = min(c.m, cols-col)
				k = c.groupKept(n)
			}
			is := k == n
			if k > 0 && !is {
				is = f(r, col, k, n)
			} else if is && set != nil {
				set(r, col)
			}
			if is {
				k--
			}
			n--
		}
	}
}

// encodeMask returns the code of a mask that c can store.
func (c sparseCodec) encodeMask(m *Mask) []byte {
	sections, of := codedSections(m.Rows, m.Cols)
	out := make([]byte, 8*sections, c.codedBytes(m.Rows, m.Cols))
	for i := range sections {
		r0, r1 := of(i)
		kept := int(m.Slice(r0, r1).Count())
		a := arithmetic{width: ^uint64(0)}
		c.elements(r0, r1, m.Cols, kept, func(r, col, k, n int) bool {
			is := m.Kept(r, col)
			a.encode(is, k, n)
			return is
		}, nil)
		code := a.finish()
		binary.LittleEndian.PutUint32(out[8*i:], uint32(kept))
		binary.LittleEndian.PutUint32(out[8*i+4:], uint32(len(code)))
		out = append(out, code...)
	}
	if len(out) > cap(out) || int64(len(out)) > c.codedBytes(m.Rows, m.Cols) {
		panic("codec: a mask's code is longer than its bound")
	}
	return out[:c.codedBytes(m.Rows, m.Cols)]
}

// decodeMask returns the words of a coded mask, whose length is as it should be.
func (c sparseCodec) decodeMask(data []byte, rows, cols int) ([]uint64, error) {
	m := NewMask(rows, cols)
	sections, of := codedSections(rows, cols)
	kept, codes := make([]int, sections), make([][]byte, sections)
	left, total := data[8*sections:], int64(0)
	for i := range sections {
		k, size := binary.LittleEndian.Uint32(data[8*i:]), binary.LittleEndian.Uint32(data[8*i+4:])
		r0, r1 := of(i)
		most := int64(r1-r0) * int64(cols)
		if int64(size) > int64(len(left)) || int64(k) > most || c.kind == groupPattern && int64(k) != c.Kept(r1-r0, cols) {
			return nil, fmt.Errorf("section %d of the mask has %d elements in %d bytes: the file is damaged", i, k, size)
		}
		kept[i], codes[i], left = int(k), left[:size], left[size:]
		total += int64(k)
	}
	if want := c.Kept(rows, cols); total != want {
		return nil, fmt.Errorf("mask keeps %d elements, want %d: the file is damaged", total, want)
	}
	par.For(runtime.GOMAXPROCS(0), sections, func(i int) {
		r0, r1 := of(i)
		a := decoder(codes[i])
		c.elements(r0, r1, cols, kept[i], func(r, col, k, n int) bool {
			is := a.decode(k, n)
			if is {
				m.Set(r, col, true)
			}
			return is
		}, func(r, col int) { m.Set(r, col, true) })
	})
	return m.Bits, nil
}
