package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"pith/kernels"
)

// packStream writes codes of width bits one after another, the first in the lowest bits: a row of values. Codes of 8 bits are bytes.
func packStream(dst []byte, codes []uint8, width int) {
	if width == 8 {
		copy(dst, codes)
		return
	}
	dst = dst[:packedBytes(len(codes), width)]
	for len(codes) >= 8 {
		putLittle(dst[:width], gather(binary.LittleEndian.Uint64(codes), width))
		dst, codes = dst[width:], codes[8:]
	}
	var last [8]uint8
	copy(last[:], codes)
	putLittle(dst, gather(binary.LittleEndian.Uint64(last[:]), width))
}

// unpackStream is the inverse of packStream; src holds the row and no more.
func unpackStream(dst []uint8, src []byte, width int) {
	if width == 8 {
		copy(dst, src)
		return
	}
	kernels.UnpackBits(dst, src, width)
}

// byteBuffers recycles the buffers rows of codes are unpacked to.
var byteBuffers = sync.Pool{New: func() any { return new([]uint8) }}

func getBytes(n int) *[]uint8 {
	buf := byteBuffers.Get().(*[]uint8)
	if cap(*buf) < n {
		*buf = make([]uint8, n)
	}
	*buf = (*buf)[:n]
	return buf
}

func putBytes(buf *[]uint8) { byteBuffers.Put(buf) }

// denseRows reads rows of a dense term of a sparse codec's values: a code a column of integers, the bytes of elements of others.
type denseRows struct {
	unit int    // bytes that row gives a column
	zero []byte // of a column whose value is zero, but for its sign
	row  func(r int) []byte
}

// rowsOf returns the rows of t, a term of c.values.
func (c sparseCodec) rowsOf(t Term) (denseRows, error) {
	switch t := t.(type) {
	case *intTerm:
		if t.intCodec != c.values {
			break
		}
		codes, rowBytes := make([]uint8, t.cols), packedBytes(t.cols, t.bits)
		return denseRows{1, []byte{1 << (t.bits - 1)}, func(r int) []byte {
			unpackCodes(codes, t.codes[r*rowBytes:(r+1)*rowBytes], t.bits)
			return codes
		}}, nil
	case *dense:
		if c.values != (scalarCodec{t.dt}) {
			break
		}
		size := c.width() / 8
		return denseRows{size, make([]byte, size), func(r int) []byte { return t.data[r*t.cols*size : (r+1)*t.cols*size] }}, nil
	}
	return denseRows{}, fmt.Errorf("%s stores values of %s, not a term of %s", c.Name(), c.values.Name(), t.Codec())
}

// isZero reports whether the value at is zero, of either sign.
func (d denseRows) isZero(at []byte) bool {
	for i, b := range at {
		if d.unit > 1 && i == d.unit-1 {
			b &= 0x7f
		}
		if b != d.zero[i] {
			return false
		}
	}
	return true
}

// keep appends the values of a row that mask keeps; one that it does not, and that is not zero, is an error if strict.
func (d denseRows) keep(dst []byte, r int, mask []uint64, cols int, strict bool) ([]byte, error) {
	row := d.row(r)
	for i, word := range mask {
		if strict {
			for c := i << 6; c < min(cols, i<<6+64); c++ {
				if word>>(c&63)&1 == 0 && !d.isZero(row[c*d.unit:(c+1)*d.unit]) {
					return nil, fmt.Errorf("element at row %d, column %d is not zero, but the mask prunes it", r, c)
				}
			}
		}
		for ; word != 0; word &= word - 1 {
			c := i<<6 + bits.TrailingZeros64(word)
			switch d.unit {
			case 1:
				dst = append(dst, row[c])
			case 2:
				dst = append(dst, row[2*c], row[2*c+1])
			default:
				dst = append(dst, row[c*d.unit:(c+1)*d.unit]...)
			}
		}
	}
	return dst, nil
}

// fill keeps elements of m, of the lowest columns first, in groups that keep fewer than they store; those have the value zero.
func (c sparseCodec) fill(m *Mask) *Mask {
	m = m.Clone()
	if c.kind != groupPattern {
		return m
	}
	for r := range m.Rows {
		for c0 := 0; c0 < m.Cols; c0 += c.m {
			n := min(c.m, m.Cols-c0)
			kept := window(m.Row(r), c0, n)
			for missing := c.groupKept(n) - bits.OnesCount64(kept); missing > 0; missing-- {
				free := bits.TrailingZeros64(^kept)
				kept |= 1 << free
				m.Set(r, c0+free, true)
			}
		}
	}
	return m
}

// sparsify makes a term of the elements of dense, a term of c.values, that mask keeps. The others must be zero if strict is set.
func (c sparseCodec) sparsify(dense Term, mask *Mask, strict bool) (Term, error) {
	if err := c.checkMask(mask); err != nil {
		return nil, err
	}
	rows, err := c.rowsOf(dense)
	if err != nil {
		return nil, err
	}
	mask = c.fill(mask)
	m := sparseMatrix{sparseCodec: c, rows: mask.Rows, cols: mask.Cols}
	if t, ok := dense.(*intTerm); ok {
		m.scales = t.scales
	}
	m.data = make([]byte, c.valueBytes(m.rows, m.cols))
	var stored []byte
	at := 0
	counts := make([]int, m.rows)
	pairs := m.newPairs(mask)
	for r := range m.rows {
		if stored, err = rows.keep(stored[:0], r, mask.Row(r), m.cols, strict); err != nil {
			return nil, err
		}
		counts[r] = len(stored) / rows.unit
		switch {
		case pairs != nil:
			pairs.pack(r, stored)
		case rows.unit == 1:
			packStream(m.data[at:], stored, c.width())
		default:
			copy(m.data[at:], stored)
		}
		at += packedBytes(counts[r], c.width())
	}
	switch {
	case pairs != nil:
		return pairs.term(m, mask), nil
	case c.kind == csrPattern:
		return packCSR(m, mask), nil
	}
	t := &bitmapTerm{sparseMatrix: m}
	if c.coded {
		t.stored = c.encodeMask(mask)
	}
	t.begin(wordBytes(mask.Bits))
	return t, nil
}
