package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"pith/kernels"
	"pith/tensor"
)

// csrColumns is how many columns a byte tells apart.
const csrColumns = 256

// csrBlocks returns how many counts a row has.
func csrBlocks(cols int) int { return (cols + csrColumns - 1) / csrColumns }

// csrTerm has, for each 256 columns of a row, a count of stored elements (U16), and of each of these the lowest byte of its column,
// ascending. (The distance from the element before would take as many bytes, but a number of escapes that depends on the mask, and
// columns could not be read in any order.) Values are as bitmapTerm's.
type csrTerm struct {
	sparseMatrix
	counts, columns []byte
	starts          []uint32 // of each row's elements, and the end of the last
	bytes           []uint32 // of each row's values
}

func openCSR(m sparseMatrix, counts, columns []byte) (Term, error) {
	t := &csrTerm{sparseMatrix: m, counts: counts, columns: columns}
	t.begin()
	if int(t.starts[m.rows]) != len(columns) {
		return nil, fmt.Errorf("counts say %d elements, want %d: the file is damaged", t.starts[m.rows], len(columns))
	}
	blocks := csrBlocks(m.cols)
	for r := range m.rows {
		cols := t.rowColumns(r)
		for b := range blocks {
			n, width := t.count(r*blocks+b), min(csrColumns, m.cols-b*csrColumns)
			if n > len(cols) {
				return nil, fmt.Errorf("row %d counts more elements than it has: the file is damaged", r)
			}
			for i, c := range cols[:n] {
				if int(c) >= width || i > 0 && c <= cols[i-1] {
					return nil, fmt.Errorf("columns of row %d do not ascend within the row: the file is damaged", r)
				}
			}
			cols = cols[n:]
		}
	}
	return t, nil
}

// begin finds where rows start. Counts may say anything; sums are limited, and compared with the number of columns by openCSR.
func (t *csrTerm) begin() {
	blocks := csrBlocks(t.cols)
	t.starts, t.bytes = make([]uint32, t.rows+1), make([]uint32, t.rows+1)
	for r := range t.rows {
		n := 0
		for b := range blocks {
			n += t.count(r*blocks + b)
		}
		n = min(n, len(t.columns)-int(t.starts[r]))
		t.starts[r+1] = t.starts[r] + uint32(n)
		t.bytes[r+1] = t.bytes[r] + uint32(packedBytes(n, t.width()))
	}
}

// packCSR makes a term of m, whose values are in place.
func packCSR(m sparseMatrix, mask *Mask) Term {
	blocks := csrBlocks(m.cols)
	t := &csrTerm{sparseMatrix: m, counts: make([]byte, 2*m.rows*blocks), columns: make([]byte, 0, m.Kept(m.rows, m.cols))}
	for r := range m.rows {
		for i, word := range mask.Row(r) {
			at := t.counts[2*(r*blocks+i/4):]
			binary.LittleEndian.PutUint16(at, binary.LittleEndian.Uint16(at)+uint16(bits.OnesCount64(word)))
			for ; word != 0; word &= word - 1 {
				t.columns = append(t.columns, byte(i<<6+bits.TrailingZeros64(word)))
			}
		}
	}
	t.begin()
	return t
}

func (t *csrTerm) count(i int) int { return int(binary.LittleEndian.Uint16(t.counts[2*i:])) }

func (t *csrTerm) Parts() []Part { return t.partsWith(t.counts, t.columns) }

func (t *csrTerm) rowColumns(r int) []byte { return t.columns[t.starts[r]:t.starts[r+1]] }

// each calls f for each block of row r with its first column and its elements' numbers in the row.
func (t *csrTerm) each(r int, f func(c0, from, to int)) {
	blocks, at := csrBlocks(t.cols), 0
	for b := range blocks {
		n := t.count(r*blocks + b)
		f(b*csrColumns, at, at+n)
		at += n
	}
}

func (t *csrTerm) maskRow(dst []uint64, r int) {
	clear(dst)
	columns := t.rowColumns(r)
	t.each(r, func(c0, from, to int) {
		for _, c := range columns[from:to] {
			dst[(c0+int(c))>>6] |= 1 << (c & 63)
		}
	})
}

func (t *csrTerm) storedCodes(dst []uint8, r int) []byte {
	return t.storedRow(dst, t.data[t.bytes[r]:t.bytes[r+1]], int(t.starts[r+1]-t.starts[r]))
}

// storedValues sets dst to the values of row r's elements.
func (t *csrTerm) storedValues(dst []float32, r int) {
	if len(dst) == 0 {
		return
	}
	i, isInt := t.isInt()
	if !isInt {
		tensor.Decode(dst, t.values.(scalarCodec).dt, t.data[t.bytes[r]:], 0)
		return
	}
	buf := getBytes(len(dst))
	defer putBytes(buf)
	codes := t.storedCodes(*buf, r)
	groups, group, columns := i.groups(t.cols), i.groupCols(t.cols), t.rowColumns(r)
	if groups == 1 {
		kernels.ScaleCodes(dst, codes, t.scale(r), -1<<(i.bits-1), 0)
		return
	}
	blocks := csrBlocks(t.cols)
	scales := getScratch(groups + 8)
	defer putScratch(scales)
	kernels.F16ToF32((*scales)[:groups], t.scales[2*r*groups:2*(r+1)*groups])
	kernels.ScaleColumns(dst, codes, columns, t.counts[2*r*blocks:2*(r+1)*blocks], *scales, group, 1<<(i.bits-1))
}

func (t *csrTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

func (t *csrTerm) readRow(dst []float32, r int) {
	clear(dst[:t.cols])
	buf := getScratch(int(t.starts[r+1] - t.starts[r]))
	defer putScratch(buf)
	values, columns := *buf, t.rowColumns(r)
	t.storedValues(values, r)
	t.each(r, func(c0, from, to int) {
		for k, c := range columns[from:to] {
			dst[c0+int(c)] = values[from+k]
		}
	})
}

// MulAdd multiplies the activations that stored elements of few tokens meet, in float32.
func (t *csrTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if in.X.Rows > fewTokens {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	blocks := csrBlocks(t.cols)
	buf := getScratch(t.cols)
	defer putScratch(buf)
	for r := r0; r < r1; r++ {
		values := (*buf)[:t.starts[r+1]-t.starts[r]]
		t.storedValues(values, r)
		for i := range in.X.Rows {
			y.Data[i*y.Stride+r] += kernels.DotColumns(values, t.rowColumns(r), t.counts[2*r*blocks:2*(r+1)*blocks], in.X.Row(i))
		}
	}
}
