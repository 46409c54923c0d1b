package quantizers

import (
	"pith/approx"
	"pith/codec"
	"pith/kernels"
	"pith/tensor"
)

// leafCols is how many columns, rounded up to whole blocks, are fed back element by element; wider ranges are halved and the halves
// joined by a product of matrices.
const leafCols = 16

// bandSolver rounds bands of rows that follow one another and have the same step. Bands share nothing; together they read the factor
// once. Matrices by position have row stride n.
type bandSolver struct {
	f     *feedback
	p     approx.Problem // once its context has ended, nothing more is computed and what there is means nothing
	bands []codec.Band
	first int // the first band's first row
	rows  int // of all bands
	step  int
	w     tensor.Mat // (rows, n) the weight, by column
	q     tensor.Mat // (rows, n) targets, then Ŵ, by column
	e     []float32  // by position: first what is fed back, Σ_{C>B} e_C·L_CB; then e = w - ŵ
	z     []float32  // by position: e·L
}

// newBandSolver returns the solver of bands of p's weight.
func newBandSolver(f *feedback, bands []codec.Band, p approx.Problem) *bandSolver {
	first, _ := bands[0].Rows()
	_, end := bands[len(bands)-1].Rows()
	rows := end - first
	return &bandSolver{f: f, p: p, bands: bands, first: first, rows: rows, step: bands[0].Step(), w: p.W.Slice(first, end),
		q: tensor.NewMat(rows, f.n), e: make([]float32, rows*f.n), z: make([]float32, rows*f.n)}
}

// groupRows is about how many rows a solver takes: products with the factor are then fast.
const groupRows = 128

// groups cuts bands into runs for one solver each, so that workers have about equally many rows. What is rounded does not depend on it.
func groups(bands []codec.Band, rows, workers int) (list [][]codec.Band) {
	most := min(groupRows, (rows+max(workers, 1)-1)/max(workers, 1))
	for len(bands) > 0 {
		first, _ := bands[0].Rows()
		n := 1
		for n < len(bands) && bands[n].Step() == bands[0].Step() {
			if _, end := bands[n].Rows(); end-first > most {
				break
			}
			n++
		}
		list, bands = append(list, bands[:n]), bands[n:]
	}
	return list
}

// window returns the rows of b's matrices that are band's.
func (b *bandSolver) window(band codec.Band) (r0, r1 int) {
	r0, r1 = band.Rows()
	return r0 - b.first, r1 - b.first
}

// round rounds the block at a position in all bands.
func (b *bandSolver) round(at int) {
	for _, band := range b.bands {
		r0, r1 := b.window(band)
		band.Round(b.q.Slice(r0, r1), b.f.column(at))
	}
}

// split returns where positions lo … hi, more than width of them, are cut: about the middle, at a multiple of width.
func split(lo, hi, width int) int { return lo + ((hi-lo)/2+width-1)/width*width }

// leaf returns the width of a leaf.
func (b *bandSolver) leaf() int { return (leafCols + b.step - 1) / b.step * b.step }

// ldlq rounds positions lo … hi, for which e holds what is fed back from those behind hi.
func (b *bandSolver) ldlq(lo, hi int) {
	if hi-lo <= b.leaf() {
		b.ldlqLeaf(lo, hi)
		return
	}
	mid, n := split(lo, hi, b.leaf()), b.f.n
	b.ldlq(mid, hi)
	if b.p.Err() != nil {
		return
	}
	kernels.GemmNN(b.e[lo:], n, b.e[mid:], n, b.f.l[mid*n+lo:], n, b.rows, mid-lo, hi-mid)
	b.ldlq(lo, mid)
}

// ldlqLeaf rounds the blocks of positions lo … hi, the last one first.
func (b *bandSolver) ldlqLeaf(lo, hi int) {
	last := lo + (hi-lo-1)/b.step*b.step
	for at := last; at >= lo && b.p.Err() == nil; at -= b.step {
		end := min(at+b.step, hi)
		b.targets(at, end, hi)
		b.round(at)
		b.errors(at, end)
	}
}

// targets sets the targets of the block at … end: it adds to what is fed back the errors of the leaf's blocks behind it, up to hi.
// z keeps that sum y; the target is w + y·U⁻¹, U the block's part of L, since L of single columns is that of blocks times U.
func (b *bandSolver) targets(at, end, hi int) {
	n, l := b.f.n, b.f.l
	for r := range b.rows {
		e, z := b.e[r*n:(r+1)*n], b.z[r*n:(r+1)*n]
		w, q := b.w.Row(r), b.q.Row(r)
		for j := end - 1; j >= at; j-- {
			y := e[j]
			for k := end; k < hi; k++ {
				y += float32(e[k] * l[k*n+j])
			}
			z[j] = y
			for k := j + 1; k < end; k++ { // e holds the solution x of x·U = y meanwhile
				y -= float32(e[k] * l[k*n+j])
			}
			e[j] = y
			c := b.f.column(j)
			q[c] = w[c] + y
		}
	}
}

// errors sets e and z of the block at … end, which was rounded.
func (b *bandSolver) errors(at, end int) {
	n, l := b.f.n, b.f.l
	for r := range b.rows {
		e, z := b.e[r*n:(r+1)*n], b.z[r*n:(r+1)*n]
		w, q := b.w.Row(r), b.q.Row(r)
		for j := end - 1; j >= at; j-- {
			c := b.f.column(j)
			e[j] = w[c] - q[c]
			y := z[j] + e[j]
			for k := j + 1; k < end; k++ {
				y += float32(e[k] * l[k*n+j])
			}
			z[j] = y
		}
	}
}

// proxy sets losses to e·H·eᵀ of each row.
func (b *bandSolver) proxy(losses []float64) {
	n := b.f.n
	for r := range losses {
		losses[r] = b.f.loss(b.z[r*n:(r+1)*n], b.e[r*n:(r+1)*n])
	}
}
