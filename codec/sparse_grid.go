package codec

import (
	"fmt"
	"math/bits"

	"pith/tensor"
)

// Fit fits the dense codec's scales to the kept elements: the others are zeros to it, which change no scale, as zero is stored exactly
// by all of them. Which are kept, o.Mask says, or chooseMask.
func (c sparseCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := checkFit(c, w, importance); err != nil {
		return nil, err
	}
	mask := o.Mask
	if mask == nil {
		mask = c.chooseMask(w, importance)
	} else {
		if mask.Rows != w.Rows || mask.Cols != w.Cols || len(mask.Bits) != w.Rows*maskWords(w.Cols) {
			panic("codec: mask of another shape than its matrix")
		}
		if err := c.checkMask(mask); err != nil {
			return nil, err
		}
		mask = mask.Clone()
	}
	o.Mask = nil
	inner, err := c.values.Fit(masked(w, mask), importance, o)
	if err != nil {
		return nil, err
	}
	g := &sparseGrid{sparseCodec: c, inner: inner, mask: mask, cols: w.Cols}
	if refitter, ok := inner.(GroupRefitter); ok {
		return &sparseIntGrid{g, refitter}, nil
	}
	return g, nil
}

// masked returns a copy of w whose pruned elements are zero.
func masked(w tensor.Mat, m *Mask) tensor.Mat {
	out := tensor.NewMat(w.Rows, w.Cols)
	for r := range w.Rows {
		copy(out.Row(r), w.Row(r))
	}
	m.Apply(out)
	return out
}

// checkMask says why m cannot be stored. Groups may keep fewer elements than they could.
func (c sparseCodec) checkMask(m *Mask) error {
	for r := range m.Rows {
		row := m.Row(r)
		if tail := m.Cols & 63; tail != 0 && row[len(row)-1]>>tail != 0 {
			return fmt.Errorf("mask of row %d keeps columns beyond the last: clear the bits past column %d", r, m.Cols-1)
		}
	}
	if c.kind != groupPattern {
		if got, want := m.Count(), c.Kept(m.Rows, m.Cols); got != want {
			return fmt.Errorf("mask keeps %d elements, %s stores %d of (%d, %d): prune to that number, or use another sparsity", got, c.Name(), want, m.Rows, m.Cols)
		}
		return nil
	}
	for r := range m.Rows {
		for c0 := 0; c0 < m.Cols; c0 += c.m {
			n := min(c.m, m.Cols-c0)
			if got, most := bits.OnesCount64(window(m.Row(r), c0, n)), c.groupKept(n); got > most {
				return fmt.Errorf("mask keeps %d of columns %d…%d of row %d, %s stores %d: use a mask of that pattern", got, c0, c0+n-1, r, c.Name(), most)
			}
		}
	}
	return nil
}

// window returns n ≤ 64 bits of words from bit at on.
func window(words []uint64, at, n int) uint64 {
	v := words[at>>6] >> (at & 63)
	if (at&63)+n > 64 {
		v |= words[at>>6+1] << (64 - at&63)
	}
	return v & (^uint64(0) >> (64 - n))
}

// sparseGrid rounds kept elements by the dense codec's grid.
type sparseGrid struct {
	sparseCodec
	inner Grid
	mask  *Mask
	cols  int
}

func (g *sparseGrid) Step() int { return 1 }

func (g *sparseGrid) Keep(c0, c1 int, m *Mask) {
	if m.Rows != g.mask.Rows || m.Cols != g.cols || c0 < 0 || c0 > c1 || c1 > g.cols {
		panic("codec: Keep of a mask of another shape, or of columns outside")
	}
	for r := range m.Rows {
		from, to := m.Row(r), g.mask.Row(r)
		for at := c0; at < c1; {
			end := min(c1, at|63+1)
			bits := ^uint64(0) >> (64 - (end - at)) << (at & 63)
			to[at>>6] = to[at>>6]&^bits | from[at>>6]&bits
			at = end
		}
	}
}

func (g *sparseGrid) Round(w tensor.Mat, c int) { g.round(g.inner.Round, w, c, 0) }

// round rounds column c of w, whose first row is row r0 of the grid, by inner.
func (g *sparseGrid) round(inner func(tensor.Mat, int), w tensor.Mat, c, r0 int) {
	zero := func() {
		for r := range w.Rows {
			if !g.mask.Kept(r0+r, c) {
				w.Data[r*w.Stride+c] = 0
			}
		}
	}
	zero()
	inner(w, c)
	zero() // of which a negative scale makes -0
}

// Bands are the dense grid's.
func (g *sparseGrid) Bands() []Band {
	banded, ok := g.inner.(Banded)
	if !ok {
		panic("codec: a sparse codec's values have no bands")
	}
	var bands []Band
	for _, b := range banded.Bands() {
		bands = append(bands, sparseBand{b, g})
	}
	return bands
}

// sparseBand is a band of a sparseGrid.
type sparseBand struct {
	Band
	grid *sparseGrid
}

func (b sparseBand) Round(w tensor.Mat, c int) {
	r0, _ := b.Rows()
	b.grid.round(b.Band.Round, w, c, r0)
}

func (g *sparseGrid) RoundAll(w tensor.Mat) { RoundAll(g.inner, masked(w, g.mask), 1) }

func (g *sparseGrid) Pack() Term {
	t, err := g.sparsify(g.inner.Pack(), g.mask, false) // columns that were rounded are zero where they are pruned
	if err != nil {
		panic("codec: Pack of a mask that the layout cannot store")
	}
	return t
}

// sparseIntGrid is a sparseGrid of integers with scales.
type sparseIntGrid struct {
	*sparseGrid
	refitter GroupRefitter
}

func (g *sparseIntGrid) GroupCols() int { return g.refitter.GroupCols() }

func (g *sparseIntGrid) RefitGroup(row, group int, factor float32) float32 {
	return g.refitter.RefitGroup(row, group, factor)
}
