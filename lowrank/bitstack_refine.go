package lowrank

import (
	"pith/approx"
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// refiner makes a block lose less in a form. Beside W·H it keeps G = E·H of what the block leaves, E, and moves G along with what changes, so that
// most of what a refit asks for is known already. Chunks of rows are worked on apart.
type refiner struct {
	*gramForm
	p     approx.Problem
	w     tensor.Mat
	block *signBlock
	wh, g []float32 // (rows, n)
	chunk int       // rows

	inverse []float64 // fitU: L of the k × k matrix V·diag(H)·Vᵀ = L·Lᵀ
}

// chunkRows is how many rows of a matrix are refined at a time: more pay the packing of H better, fewer keep workers busy.
func chunkRows(rows int) int {
	if rows < 1024 {
		return 64
	}
	return 240
}

// refine returns the block refined, with tr(E·H·Eᵀ) of what it leaves and tr(W·H·Wᵀ), both of H as observed.
func (b BitStack) refine(p approx.Problem, f *gramForm, block *signBlock) (*signBlock, float64, float64) {
	size := p.W.Rows * f.n
	r := &refiner{gramForm: f, p: p, w: p.W, block: block, wh: make([]float32, size), g: make([]float32, size), chunk: chunkRows(p.W.Rows)}
	refits := b.Refits
	if refits == 0 {
		refits = bitStackRefits
	}
	parts := make([][2]float64, (p.W.Rows+r.chunk-1)/r.chunk)
	last := func(c *refineChunk) { parts[c.lo/r.chunk] = c.observed() }
	r.rows(func(c *refineChunk) {
		c.original()
		c.feedback()
		c.residual()
		c.sweep()
		last(c)
	})
	for i := range refits {
		if p.Err() != nil {
			break
		}
		r.fitV(r.fitU())
		if i == refits-1 {
			block.round() // what follows sees what is stored
			r.rows((*refineChunk).residual)
			r.fitU()
			block.round()
		}
		r.rows(func(c *refineChunk) { c.residual(); c.sweep(); last(c) })
	}
	var loss, norm float64
	for _, part := range parts {
		loss, norm = loss+part[0], norm+part[1]
	}
	return block, max(0, loss*f.unit), norm * f.unit
}

// rows calls f for chunks of rows, on several workers.
func (r *refiner) rows(f func(c *refineChunk)) {
	par.Ranges(r.p.Workers, r.w.Rows, r.chunk, func(lo, hi int) {
		if r.p.Err() == nil {
			f(&refineChunk{refiner: r, lo: lo, hi: hi, m: make([]float32, r.n)})
		}
	})
}

// refineChunk is rows lo … hi.
type refineChunk struct {
	*refiner
	lo, hi int
	m      []float32 // a row of magnitudes
}

func (c *refineChunk) signs(i int) []int8 { return c.block.signs[i*c.n : (i+1)*c.n] }

// of returns the chunk's row i of a matrix that has a row for each of W's.
func (c *refineChunk) of(all []float32, i int) []float32 { return all[i*c.n : (i+1)*c.n] }

// magnitude returns columns from … to of row i of the magnitudes, as the codec sums them.
func (c *refineChunk) magnitude(i, from, to int) []float32 {
	m := c.m[:to-from]
	clear(m)
	for t, a := range c.block.u.Row(i) {
		kernels.Axpy(m, a, c.block.v.Row(t)[from:to])
	}
	return m
}

// times sets columns of the chunk's rows of to, (rows, n), to x·H, x (hi - lo, n).
func (c *refineChunk) times(to, x []float32) {
	clear(to[:(c.hi-c.lo)*c.n])
	kernels.GemmNN(to, c.n, x, c.n, c.h, c.n, c.hi-c.lo, c.n, c.n)
}

// original computes W·H.
func (c *refineChunk) original() {
	x := make([]float32, (c.hi-c.lo)*c.n)
	for i := c.lo; i < c.hi; i++ {
		copy(x[(i-c.lo)*c.n:], c.w.Row(i))
	}
	c.times(c.wh[c.lo*c.n:], x)
}

// leaves sets e to what the block leaves of row i.
func (c *refineChunk) leaves(e []float32, i int) {
	m, signs := c.magnitude(i, 0, c.n), c.signs(i)
	for j, x := range c.w.Row(i) {
		e[j] = x - float32(float32(signs[j])*m[j])
	}
}

// residual computes G.
func (c *refineChunk) residual() {
	e := make([]float32, (c.hi-c.lo)*c.n)
	for i := c.lo; i < c.hi; i++ {
		c.leaves(e[(i-c.lo)*c.n:(i-c.lo+1)*c.n], i)
	}
	c.times(c.g[c.lo*c.n:], e)
}

// feedbackColumns is how many columns' errors are added to those before them at once.
const feedbackColumns = 64

// feedback chooses signs from the last column to the first: of each, the one nearest to what would make the columns after it lose least. With
// H = L·Lᵀ a row loses Σ_j ((e·L)_j)², and (e·L)_j depends on e_j and those after it.
func (c *refineChunk) feedback() {
	n, rows := c.n, c.hi-c.lo
	ahead, e := make([]float32, rows*n), make([]float32, rows*feedbackColumns)
	for to := n; to > 0; {
		from := max(0, to-feedbackColumns)
		for i := c.lo; i < c.hi; i++ {
			m, signs, w := c.magnitude(i, from, to), c.signs(i), c.w.Row(i)
			row, left := ahead[(i-c.lo)*n:], e[(i-c.lo)*feedbackColumns:]
			for j := to - 1; j >= from; j-- {
				l := c.l[j*n:]
				signs[j] = nearerSign(w[j]+row[j]/l[j], m[j-from])
				left[j-from] = w[j] - float32(float32(signs[j])*m[j-from])
				kernels.Axpy(row[from:j], left[j-from], l[from:j])
			}
		}
		kernels.GemmNN(ahead, n, e, feedbackColumns, c.l[from*n:], n, rows, from, to-from)
		to = from
	}
}

// sweep turns every sign over that lowers its row's loss, column by column, and moves G along.
func (c *refineChunk) sweep() {
	n := c.n
	m := make([]float32, (c.hi-c.lo)*n)
	for i := c.lo; i < c.hi; i++ {
		copy(m[(i-c.lo)*n:], c.magnitude(i, 0, n))
	}
	for j := range n {
		h := c.h[j*n : (j+1)*n]
		for i := c.lo; i < c.hi; i++ {
			sign, g := &c.block.signs[i*n+j], c.of(c.g, i)
			step := 2 * float32(*sign) * m[(i-c.lo)*n+j] // what turning over adds to e
			if rise := 2*g[j] + float32(step*h[j]); step < 0 && rise > 0 || step > 0 && rise < 0 {
				*sign = -*sign
				kernels.Axpy(g, step, h)
			}
		}
	}
}

// observed returns tr(E·H·Eᵀ) and tr(W·H·Wᵀ) of the rows without the damping, H over its unit.
func (c *refineChunk) observed() (sums [2]float64) {
	e := make([]float32, c.n)
	for i := c.lo; i < c.hi; i++ {
		c.leaves(e, i)
		sums[0] += inForm(e, c.of(c.g, i), c.damp)
		sums[1] += inForm(c.w.Row(i), c.of(c.wh, i), c.damp)
	}
	return sums
}

// inForm is x·(xh - damp·x).
func inForm(x, xh []float32, damp float64) (sum float64) {
	for j, v := range x {
		a := float64(v)
		sum += float64(a * (float64(xh[j]) - float64(damp*a)))
	}
	return sum
}
