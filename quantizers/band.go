package quantizers

import (
	"pith/codec"
	"pith/kernels"
	"pith/tensor"
)

// leafCols is how many columns, rounded up to whole blocks, are fed back element by element; wider ranges are halved and the halves
// joined by a product of matrices.
const leafCols = 16

// bandSolver rounds one band of rows. Matrices by position have row stride n.
type bandSolver struct {
	f    *feedback
	band codec.Band
	rows int
	step int
	w    tensor.Mat // (rows, n) the weight, by column
	q    tensor.Mat // (rows, n) targets, then Ŵ, by column
	e    []float32  // by position: first what is fed back, Σ_{C>B} e_C·L_CB; then e = w - ŵ
	z    []float32  // by position: e·L
}

func newBandSolver(f *feedback, band codec.Band, w tensor.Mat) *bandSolver {
	size := w.Rows * f.n
	return &bandSolver{f: f, band: band, rows: w.Rows, step: band.Step(), w: w,
		q: tensor.NewMat(w.Rows, f.n), e: make([]float32, size), z: make([]float32, size)}
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
	kernels.GemmNN(b.e[lo:], n, b.e[mid:], n, b.f.l[mid*n+lo:], n, b.rows, mid-lo, hi-mid)
	b.ldlq(lo, mid)
}

// ldlqLeaf rounds the blocks of positions lo … hi, the last one first.
func (b *bandSolver) ldlqLeaf(lo, hi int) {
	last := lo + (hi-lo-1)/b.step*b.step
	for at := last; at >= lo; at -= b.step {
		end := min(at+b.step, hi)
		b.targets(at, end, hi)
		b.band.Round(b.q, b.f.column(at))
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

// proxy returns tr(E·H·Eᵀ).
func (b *bandSolver) proxy() (sum float64) {
	n := b.f.n
	for r := range b.rows {
		sum += b.f.loss(b.z[r*n:(r+1)*n], b.e[r*n:(r+1)*n])
	}
	return sum
}
