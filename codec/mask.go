package codec

import (
	"math/bits"

	"pith/tensor"
)

// Mask says which elements of a rows × cols matrix are kept: bit c%64, counted from the lowest, of word c/64 of a row is 1 for an
// element that is. Rows are whole words, whose bits past the last column are 0.
type Mask struct {
	Rows, Cols int
	Bits       []uint64 // rows · ⌈cols/64⌉ words, row-major
}

// NewMask returns a mask that keeps nothing.
func NewMask(rows, cols int) *Mask {
	return &Mask{rows, cols, make([]uint64, rows*maskWords(cols))}
}

// maskWords returns how many words a row of a mask has.
func maskWords(cols int) int { return (cols + 63) / 64 }

// Row returns the words of row r, which may be written to.
func (m *Mask) Row(r int) []uint64 {
	n := maskWords(m.Cols)
	return m.Bits[r*n : (r+1)*n : (r+1)*n]
}

// Kept reports whether element (r, c) is kept.
func (m *Mask) Kept(r, c int) bool {
	return m.Bits[r*maskWords(m.Cols)+c>>6]>>(c&63)&1 != 0
}

// Set keeps element (r, c), or prunes it.
func (m *Mask) Set(r, c int, keep bool) {
	word, bit := &m.Bits[r*maskWords(m.Cols)+c>>6], uint64(1)<<(c&63)
	if keep {
		*word |= bit
	} else {
		*word &^= bit
	}
}

// Count returns how many elements are kept.
func (m *Mask) Count() (n int64) {
	for _, w := range m.Bits {
		n += int64(bits.OnesCount64(w))
	}
	return n
}

// RowCount returns how many elements of row r are kept.
func (m *Mask) RowCount(r int) (n int) {
	for _, w := range m.Row(r) {
		n += bits.OnesCount64(w)
	}
	return n
}

// Slice returns rows r0 … r1-1, which share their words with m.
func (m *Mask) Slice(r0, r1 int) *Mask {
	n := maskWords(m.Cols)
	return &Mask{r1 - r0, m.Cols, m.Bits[r0*n : r1*n : r1*n]}
}

// Clone returns a copy of m.
func (m *Mask) Clone() *Mask {
	return &Mask{m.Rows, m.Cols, append([]uint64(nil), m.Bits...)}
}

// Apply sets what m does not keep of w, a matrix of the same shape, to zero.
func (m *Mask) Apply(w tensor.Mat) {
	if m.Rows != w.Rows || m.Cols != w.Cols {
		panic("codec: mask of another shape than its matrix")
	}
	for r := range w.Rows {
		row := w.Row(r)
		for i, word := range m.Row(r) {
			for pruned := ^word; pruned != 0; pruned &= pruned - 1 {
				c := i<<6 + bits.TrailingZeros64(pruned)
				if c >= len(row) {
					break
				}
				row[c] = 0
			}
		}
	}
}

// Sparse is a Codec that stores some of the elements only; the others are exactly zero. Which ones, FitOptions.Mask or MaskedGrid.Keep
// say; without them Fit keeps those of the largest |w|·√importance.
type Sparse interface {
	Codec
	// Dense returns the codec of the values: kept elements round to what they would there, with the same scales.
	Dense() Codec
	// Kept returns how many elements of a rows × cols matrix are stored.
	Kept(rows, cols int) int64
	// Group returns n, m if exactly n of each m consecutive columns of a row are stored (of a last group of k < m, ⌈n·k/m⌉), and 0, 0 if
	// any mask with Kept elements can be.
	Group() (n, m int)
}

// MaskedGrid is the grid of a Sparse codec.
type MaskedGrid interface {
	Grid
	// Keep sets which elements of columns [c0, c1) are stored to what m, a mask of the whole matrix, says of them; it comes before those
	// columns are rounded. A mask that the layout cannot store panics, at the latest in Pack.
	Keep(c0, c1 int, m *Mask)
}
