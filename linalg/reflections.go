package linalg

import (
	"math"

	"pith/internal/par"
	"pith/kernels"
)

// panel is how many reflections are applied together.
const panel = 32

// reflections is a block of k ≤ panel reflections I − tau·v·vᵀ of rows of length n, first to last: their product is I − Vᵀ·T·V, the rows of V
// being the v and T upper triangular (Schreiber and Van Loan, "A storage-efficient WY representation for products of Householder
// transformations", 1989).
type reflections struct {
	k, n int
	v    []float64 // row stride ld
	ld   int
	t    []float64 // (k, k) by rows
}

// newReflections wants what is not part of a v to be zero in its row.
func newReflections(v []float64, ld, k, n int, tau []float64) reflections {
	r := reflections{k, n, v, ld, make([]float64, k*k)}
	g := make([]float64, k*k)
	if n > 0 {
		kernels.Gemm64NT(g, k, v, ld, v, ld, k, k, n)
	}
	for j := range k {
		r.t[j*k+j] = tau[j]
		for i := range j { // T[:j, j] = −tau·T[:j, :j]·(V[:j]·v)
			var s float64
			for p := i; p < j; p++ {
				s += float64(r.t[i*k+p] * g[p*k+j])
			}
			r.t[i*k+j] = -float64(tau[j] * s)
		}
	}
	return r
}

// apply overwrites rows of x, of length n and ld apart, with those rows times the product of the reflections, first to last or, if
// backwards, last to first. scratch holds 2·k numbers a row.
func (r reflections) apply(x []float64, ld, rows int, backwards bool, workers int) {
	par.Ranges(workers, rows, strip, func(lo, hi int) {
		k, m := r.k, hi-lo
		w, wt := make([]float64, m*k), make([]float64, m*k)
		kernels.Gemm64NT(w, k, x[lo*ld:], ld, r.v, r.ld, m, k, r.n)
		if backwards {
			kernels.Gemm64NT(wt, k, w, k, r.t, k, m, k, k)
		} else {
			kernels.Gemm64NN(wt, k, w, k, r.t, k, m, k, k)
		}
		kernels.Gemm64NNSub(x[lo*ld:], ld, wt, k, r.v, r.ld, m, r.n, k)
	})
}

// reflect overwrites x with the vector v of a reflection I − tau·v·vᵀ that turns x into (alpha, 0, …); tau 0: x is that already.
func reflect(x []float64) (alpha, tau float64) {
	var scale float64
	for _, v := range x[1:] {
		scale = max(scale, math.Abs(v))
	}
	if scale == 0 {
		return x[0], 0
	}
	scale = max(scale, math.Abs(x[0]))
	for i := range x {
		x[i] /= scale
	}
	norm := math.Sqrt(kernels.Dot64(x, x))
	alpha = -math.Copysign(norm, x[0])
	x[0] -= alpha
	return alpha * scale, 2 / kernels.Dot64(x, x)
}

// undoPanel is how many reflections of a reduced matrix are undone at once.
const undoPanel = 64

// undo multiplies each of n rows of z by the reflections from the last to the first: reflection k is of row k of vectors, from column
// k+shift on.
func undo(z padded, n int, vectors padded, tau []float64, shift int, c crew) {
	var blocks []reflections
	for at := 0; at+shift < n; at += undoPanel {
		b, width := min(undoPanel, n-shift-at), n-shift-at
		v := make([]float64, b*width)
		for j := range b {
			if tau[at+j] != 0 {
				copy(v[j*width+j:][:width-j], vectors.row(at + j)[at+j+shift:n])
			}
		}
		blocks = append(blocks, newReflections(v, width, b, width, tau[at:at+b]))
	}
	par.Ranges(c.workers, n, strip, func(lo, hi int) {
		for i := len(blocks) - 1; i >= 0 && !c.stopped(); i-- {
			blocks[i].apply(z.data[lo*z.ld+i*undoPanel+shift:], z.ld, hi-lo, true, 1)
		}
	})
}

// orthonormalRows overwrites a, of no more rows than columns, with rows Q that are orthonormal and returns the lower triangular L of A = L·Q:
// Householder's method, reflections applied by panels (Golub and Van Loan, Matrix Computations, section 5.2.3, of the transposed
// matrix). Rows that depend on those before get any direction that is left.
func orthonormalRows(a Dense, c crew) Dense {
	k, n := a.Rows, a.Cols
	if k > n {
		panic("linalg: more rows than can be orthonormal")
	}
	l := NewDense(k, k)
	var blocks []reflections
	for at := 0; at < k && !c.stopped(); at += panel {
		b := min(panel, k-at)
		tau := make([]float64, b)
		v := NewDense(b, n-at)
		for j := range b {
			row := a.Row(at + j)[at:]
			copy(l.Row(at + j)[at:], row[:j])
			l.Row(at + j)[at+j], tau[j] = reflect(row[j:])
			copy(v.Row(j)[j:], row[j:])
			if tau[j] == 0 {
				continue
			}
			for i := j + 1; i < b; i++ {
				x := a.Row(at + i)[at+j:]
				kernels.AddScaled64(x, -tau[j]*kernels.Dot64(v.Row(j)[j:], x), v.Row(j)[j:])
			}
		}
		r := newReflections(v.Data, v.Cols, b, v.Cols, tau)
		if rest := k - at - b; rest > 0 {
			r.apply(a.Data[(at+b)*n+at:], n, rest, false, c.workers)
			for i := range rest {
				copy(l.Row(at + b + i)[at:], a.Row(at + b + i)[at:at+b])
			}
		}
		blocks = append(blocks, r)
	}
	clear(a.Data)
	for i := range k {
		a.Row(i)[i] = 1
	}
	for i := len(blocks) - 1; i >= 0 && !c.stopped(); i-- { // rows before a block's stay as they are: they are zero where it acts
		at := i * panel
		blocks[i].apply(a.Data[at*n+at:], n, k-at, true, c.workers)
	}
	return l
}
