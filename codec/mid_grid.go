package codec

import (
	"encoding/binary"

	"pith/tensor"
)

// midGrid rounds to the scales and mids of term.
type midGrid struct {
	term  *midTerm
	codes []uint8 // (rows, cols), made by the first Round
}

func (g *midGrid) Step() int { return 1 }

func (g *midGrid) Round(w tensor.Mat, c int) {
	g.unpacked()
	g.round(w, c, 0)
}

func (g *midGrid) unpacked() {
	if n := g.term.integers; g.codes == nil {
		g.codes = make([]uint8, n.rows*n.cols)
	}
}

// pair returns what group k of row r stores.
func (g *midGrid) pair(r, k int) midPair {
	n := g.term.integers
	i := 2 * (r*n.groups(n.cols) + k)
	return midPair{binary.LittleEndian.Uint16(n.scales[i:]), binary.LittleEndian.Uint16(g.term.mids[i:])}
}

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *midGrid) round(w tensor.Mat, c, r0 int) {
	n := g.term.integers
	f, k := midFitter{1 << (n.bits - 1)}, c/n.groupCols(n.cols)
	for r := range w.Rows {
		scale, mid, inverse := g.pair(r0+r, k).numbers()
		v := &w.Data[r*w.Stride+c]
		q := f.code(*v, mid, inverse)
		g.codes[(r0+r)*n.cols+c] = uint8(q + f.half)
		*v = float32(scale*float32(q)) + mid
	}
}

// Bands cuts the rows evenly: every one has its own scales.
func (g *midGrid) Bands() []Band {
	g.unpacked()
	return rowBands(g.term.integers.rows, 1, g.round)
}

func (g *midGrid) RoundAll(w tensor.Mat) {
	n := g.term.integers
	g.codes = nil
	f, group, rowBytes := midFitter{1 << (n.bits - 1)}, n.groupCols(n.cols), packedBytes(n.cols, n.bits)
	codes := make([]uint8, n.cols)
	for r := range n.rows {
		for k := range n.groups(n.cols) {
			_, mid, inverse := g.pair(r, k).numbers()
			for c := k * group; c < min(n.cols, (k+1)*group); c++ {
				codes[c] = uint8(f.code(w.Row(r)[c], mid, inverse) + f.half)
			}
		}
		packCodes(n.codes[r*rowBytes:(r+1)*rowBytes], codes, n.bits)
	}
}

func (g *midGrid) Pack() Term {
	n := g.term.integers
	if g.codes != nil {
		rowBytes := packedBytes(n.cols, n.bits)
		for r := range n.rows {
			packCodes(n.codes[r*rowBytes:(r+1)*rowBytes], g.codes[r*n.cols:(r+1)*n.cols], n.bits)
		}
		g.codes = nil
	}
	return g.term
}
