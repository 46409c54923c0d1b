package codec

import (
	"encoding/binary"

	"pith/kernels"
	"pith/tensor"
)

// intGrid rounds to the scales of term.
type intGrid struct {
	term   *intTerm
	params []kernels.Rounding
	codes  []uint8 // (rows, cols), made by the first Round
}

func (g *intGrid) Step() int { return 1 }

func (g *intGrid) Round(w tensor.Mat, c int) {
	g.unpacked()
	g.round(w, c, 0)
}

// unpacked makes codes if there are none yet.
func (g *intGrid) unpacked() {
	if t := g.term; g.codes == nil {
		g.codes = make([]uint8, t.rows*t.cols)
	}
}

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *intGrid) round(w tensor.Mat, c, r0 int) {
	t := g.term
	groups, k := t.groups(t.cols), c/t.groupCols(t.cols)
	for r := range w.Rows {
		i := (r0+r)*groups + k
		p := g.params[i]
		v := &w.Data[r*w.Stride+c]
		q := p.Code(*v)
		g.codes[(r0+r)*t.cols+c] = uint8(q)
		scale := tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.scales[2*i:]))
		*v = scale * float32(q+p.Base-kernels.RoundMagicBits)
	}
}

// Bands cuts the rows evenly: every one has its own scales.
func (g *intGrid) Bands() []Band {
	g.unpacked()
	return rowBands(g.term.rows, 1, g.round)
}

func (g *intGrid) GroupCols() int { return g.term.groupCols(g.term.cols) }

func (g *intGrid) RefitGroup(row, group int, factor float32) float32 {
	t := g.term
	i := row*t.groups(t.cols) + group
	stored := t.scales[2*i : 2*i+2]
	ratio := refitScale(stored, factor)
	g.params[i].Inverse = inverseOf(binary.LittleEndian.Uint16(stored))
	return ratio
}

func (g *intGrid) RoundAll(w tensor.Mat) {
	t := g.term
	g.codes = nil
	rowBytes := packedBytes(t.cols, t.bits)
	groups, group := t.groups(t.cols), t.groupCols(t.cols)
	buf := make([]uint8, t.cols)
	for r := range t.rows {
		row, dst := w.Row(r), t.codes[r*rowBytes:(r+1)*rowBytes]
		params := g.params[r*groups : (r+1)*groups]
		if t.bits == 4 && group%32 == 0 && t.cols%32 == 0 {
			for k, p := range params {
				kernels.RoundNibbles(dst[k*group/2:], row[k*group:min(t.cols, (k+1)*group)], p)
			}
			continue
		}
		codes := buf
		if t.bits == 8 {
			codes = dst
		}
		for k, p := range params {
			if t.bits == 8 { // the byte that packCodes makes of a code
				p.Base += 128
			}
			lo, hi := k*group, min(t.cols, (k+1)*group)
			kernels.RoundCodes(codes[lo:hi], row[lo:hi], p)
		}
		if t.bits != 8 {
			packCodes(dst, codes, t.bits)
		}
	}
}

func (g *intGrid) Pack() Term {
	t := g.term
	if g.codes != nil {
		rowBytes := packedBytes(t.cols, t.bits)
		for r := range t.rows {
			packCodes(t.codes[r*rowBytes:(r+1)*rowBytes], g.codes[r*t.cols:(r+1)*t.cols], t.bits)
		}
		g.codes = nil
	}
	return t
}
