package codec

import (
	"fmt"

	"pith/tensor"
)

// MaskOf returns which elements a term of a Sparse codec stores; ok is false for other terms.
func MaskOf(t Term) (m *Mask, ok bool) {
	s, ok := t.(sparseTerm)
	if !ok {
		return nil, false
	}
	m = NewMask(s.Dims())
	for r := range m.Rows {
		s.maskRow(m.Row(r), r)
	}
	return m, true
}

// Densify returns a term of a Sparse codec as a term of its Dense codec, with the same codes and scales; pruned elements are zeros there.
// ok is false for other terms.
func Densify(t Term) (inner Term, ok bool) {
	s, ok := t.(sparseTerm)
	if !ok {
		return nil, false
	}
	c := s.codec()
	rows, cols := t.Dims()
	mask, _ := MaskOf(t)
	codes := make([]uint8, max(cols, 1))
	if i, ok := c.isInt(); ok {
		scales := t.Parts()
		d := &intTerm{intCodec: i, rows: rows, cols: cols, scales: scales[len(scales)-1].Data, codes: make([]byte, rows*packedBytes(cols, i.bits))}
		row, rowBytes := make([]uint8, cols), packedBytes(cols, i.bits)
		for r := range rows {
			for k := range row {
				row[k] = 1 << (i.bits - 1)
			}
			place(row, s.storedCodes(codes, r), mask.Row(r), 1)
			packCodes(d.codes[r*rowBytes:(r+1)*rowBytes], row, i.bits)
		}
		return d, true
	}
	size := c.width() / 8
	d := &dense{c.values.(scalarCodec).dt, rows, cols, make([]byte, rows*cols*size)}
	for r := range rows {
		place(d.data[r*cols*size:(r+1)*cols*size], s.storedCodes(nil, r), mask.Row(r), size)
	}
	return d, true
}

// place copies values of unit bytes to the columns that mask keeps.
func place(dst, values []byte, mask []uint64, unit int) {
	for c := range len(dst) / unit {
		if mask[c>>6]>>(c&63)&1 != 0 {
			copy(dst[c*unit:], values[:unit])
			values = values[unit:]
		}
	}
}

// Sparsify returns the elements of inner, a term of c.Dense(), that mask keeps as a term of c, with the same codes and scales. Elements
// that mask does not keep must be zeros, and it must keep what c can store.
func Sparsify(inner Term, mask *Mask, c Sparse) (Term, error) {
	s, ok := c.(sparseCodec)
	if !ok {
		return nil, fmt.Errorf("%s does not store masks", c.Name())
	}
	rows, cols := inner.Dims()
	if mask.Rows != rows || mask.Cols != cols || len(mask.Bits) != rows*maskWords(cols) {
		return nil, fmt.Errorf("mask of (%d, %d) for a matrix of (%d, %d)", mask.Rows, mask.Cols, rows, cols)
	}
	if err := s.Check(rows, cols); err != nil {
		return nil, err
	}
	return s.sparsify(inner, mask, true)
}

// Resparsify stores the elements of a term of a Sparse codec by another one of the same values, which must be able to store as many.
func Resparsify(t Term, c Sparse) (Term, error) {
	mask, ok := MaskOf(t)
	if !ok {
		return nil, fmt.Errorf("a term of %s has no mask", t.Codec())
	}
	d, _ := Densify(t)
	return Sparsify(d, mask, c)
}

// NonZero returns the mask of the elements of w that are not zero.
func NonZero(w tensor.Mat) *Mask {
	m := NewMask(w.Rows, w.Cols)
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			if v != 0 {
				m.Set(r, c, true)
			}
		}
	}
	return m
}
