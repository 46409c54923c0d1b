package linalg

import (
	"math"

	"pith/internal/par"
	"pith/kernels"
)

// tridiagonal is a reduced matrix: its diagonal, what lies beside it (off[i] couples i and i+1), and the reflections that led there:
// reflection k is I − tau[k]·v·vᵀ, v being row k of reflectors from column k+1 on.
type tridiagonal struct {
	diagonal, off []float64
	reflectors    padded
	tau           []float64
}

// padded is a matrix whose rows are ld apart.
type padded struct {
	ld   int
	data []float64
}

func (a padded) row(i int) []float64 { return a.data[i*a.ld : (i+1)*a.ld] }

// reduction is the work of reduceToTridiagonal. Of the matrix only the lower triangle is kept up to date; the reflectors go to the upper.
type reduction struct {
	crew
	n     int
	a     padded
	v, w  padded    // the panel's vectors: the matrix is a − Σ v·wᵀ + w·vᵀ
	x     []float64 // one column
	bands padded    // parts of a product
}

// reduceToTridiagonal overwrites the lower triangle of a with 4/3·n³ operations, half of them products of matrices (Dongarra, Sorensen and
// Hammarling, "Block reduction of matrices to condensed forms for eigenvalue computations", 1989; LAPACK's dlatrd), half products of the
// matrix with a vector, for which its lower triangle is read once.
func reduceToTridiagonal(n int, a padded, c crew) *tridiagonal {
	t := &tridiagonal{make([]float64, n), make([]float64, n), a, make([]float64, n)}
	r := &reduction{crew: c, n: n, a: a, x: make([]float64, n)}
	r.v, r.w = padded{n, make([]float64, panel*n)}, padded{n, make([]float64, panel*n)}
	r.bands = padded{n, make([]float64, maxBands*n)}
	for at := 0; at < n && !c.stopped(); at += panel {
		b := min(panel, n-at)
		clear(r.v.data)
		clear(r.w.data)
		for j := range b {
			r.column(t, at, j)
		}
		for j := range b {
			copy(a.row(at + j)[at+j+1:n], r.v.row(j)[at+j+1:])
		}
		r.update(at+b, b)
	}
	return t
}

// column reduces column at+j, and sets v and w of row j.
func (r *reduction) column(t *tridiagonal, at, j int) {
	n, k, x := r.n, at+j, r.x
	for i := k; i < n; i++ {
		x[i] = r.a.data[i*r.a.ld+k]
	}
	for p := range j {
		v, w := r.v.row(p), r.w.row(p)
		kernels.Rank2Sub64(x[k:], w[k], v[k:], v[k], w[k:])
	}
	if t.diagonal[k] = x[k]; k+1 == n {
		return
	}
	v, w := r.v.row(j), r.w.row(j)
	copy(v[k+1:], x[k+1:])
	t.off[k], t.tau[k] = reflect(v[k+1:])
	tau := t.tau[k]
	if tau == 0 {
		clear(v[k+1:])
		return
	}
	r.timesVector(w, v, k+1)
	v, w = v[k+1:], w[k+1:]
	for p := range j {
		vp, wp := r.v.row(p)[k+1:], r.w.row(p)[k+1:]
		kernels.Rank2Sub64(w, kernels.Dot64(wp, v), vp, kernels.Dot64(vp, v), wp)
	}
	for i := range w {
		w[i] *= tau
	}
	kernels.AddScaled64(w, -tau/2*kernels.Dot64(w, v), v)
}

// update subtracts the panel's b products from the rows and columns from at on.
func (r *reduction) update(at, b int) {
	rest := r.n - at
	if rest <= 0 {
		return
	}
	vw, wv := make([]float64, rest*2*b), make([]float64, rest*2*b)
	for i := range rest {
		for p := range b {
			v, w := r.v.data[p*r.n+at+i], r.w.data[p*r.n+at+i]
			vw[i*2*b+p], vw[i*2*b+b+p] = v, w
			wv[i*2*b+p], wv[i*2*b+b+p] = w, v
		}
	}
	par.Ranges(r.workers, rest, strip, func(lo, hi int) {
		kernels.Gemm64NTSub(r.a.data[(at+lo)*r.a.ld+at:], r.a.ld, vw[lo*2*b:], 2*b, wv, 2*b, hi-lo, hi, 2*b)
	})
}

const (
	maxBands = 8   // parts of a product that may be computed at once
	bandRows = 128 // rows that one of them has, about, at least
)

// timesVector sets out, from index at on, to the product of the matrix's part from (at, at) with v, which is zero before at. The rows are cut
// into bands of about as many elements, each of which makes a sum of its own, whoever computes it; the sums are added in order.
func (r *reduction) timesVector(out, v []float64, at int) {
	rest := r.n - at
	bands := min(max(rest/bandRows, 1), maxBands)
	edge := func(band int) int {
		if band == bands {
			return r.n
		}
		return at + int(float64(rest)*math.Sqrt(float64(band)/float64(bands)))&^(kernels.Rows64-1)
	}
	first := at &^ 7 // where a cache line may begin
	par.For(r.workers, bands, func(band int) {
		r.bandTimesVector(r.bands.row(band), v, first, edge(band), edge(band+1))
	})
	copy(out[at:], r.bands.row(0)[at:edge(1)])
	clear(out[edge(1):])
	for band := 1; band < bands; band++ {
		kernels.AddScaled64(out[at:edge(band+1)], 1, r.bands.row(band)[at:])
	}
}

// bandTimesVector sets p[first:hi] to what rows lo … hi-1 of the lower triangle add to the product, each element on both sides.
func (r *reduction) bandTimesVector(p, v []float64, first, lo, hi int) {
	clear(p[first:hi])
	ld := r.a.ld
	i := lo
	for ; i+kernels.Rows64 <= hi; i += kernels.Rows64 {
		f := [kernels.Rows64]float64(v[i:])
		dots := kernels.DotsAddRows64(v[first:i], p[first:i], &f, r.a.data[i*ld+first:], ld)
		for q, s := range dots {
			r.corner(p, v, i, i+q)
			p[i+q] += s
		}
	}
	for ; i < hi; i++ {
		row := r.a.row(i)
		p[i] += kernels.Dot64(row[first:i], v[first:i])
		kernels.AddScaled64(p[first:i], v[i], row[first:i])
		r.corner(p, v, i, i)
	}
}

// corner adds the elements of row i from column at to the diagonal.
func (r *reduction) corner(p, v []float64, at, i int) {
	row := r.a.row(i)
	for j := at; j < i; j++ {
		p[i] = math.FMA(row[j], v[j], p[i])
		p[j] = math.FMA(row[j], v[i], p[j])
	}
	p[i] = math.FMA(row[i], v[i], p[i])
}

// back applies the reflections to each row of z: eigenvectors of the tridiagonal matrix become those of the whole one.
func (t *tridiagonal) back(z Matrix, c crew) {
	undo(padded{z.N, z.Data}, z.N, t.reflectors, t.tau, 1, c)
}
