package linalg

import (
	"pith/internal/par"
	"pith/kernels"
)

// bidiagonal is a reduced square matrix A = Q·B·P: the diagonal of B and what lies right of it, and the reflections whose products Q and P are:
// left reflection k is of row k of left from column k on, right reflection k of row k of right from column k+1 on.
type bidiagonal struct {
	n                 int
	diagonal, off     []float64
	left, right       padded
	tauLeft, tauRight []float64
}

// bidiagonalization is the work of reduceToBidiagonal: the matrix is a − Σ v·yᵀ + x·uᵀ, with the panel's vectors as rows.
type bidiagonalization struct {
	crew
	n          int
	a          padded
	v, y, x, u padded
	bands      padded
}

// reduceToBidiagonal overwrites a with 8/3·n³ operations, half of them products of matrices, half products of the matrix and its transposed
// with a vector (Dongarra, Sorensen and Hammarling 1989; LAPACK's dlabrd).
func reduceToBidiagonal(n int, a padded, c crew) *bidiagonal {
	zeros := func(rows int) padded { return padded{n, make([]float64, rows*n)} }
	t := &bidiagonal{n, make([]float64, n), make([]float64, n), zeros(n), a, make([]float64, n), make([]float64, n)}
	r := &bidiagonalization{c, n, a, zeros(panel), zeros(panel), zeros(panel), zeros(panel), zeros(maxBands)}
	for at := 0; at < n && !c.stopped(); at += panel {
		b := min(panel, n-at)
		for _, p := range []padded{r.v, r.y, r.x, r.u} {
			clear(p.data)
		}
		for j := range b {
			r.column(t, at+j, j)
			r.rowOf(t, at+j, j)
		}
		r.update(at+b, b)
	}
	return t
}

// column reduces column k, the panel's column j, and sets its v and y.
func (r *bidiagonalization) column(t *bidiagonal, k, j int) {
	n, v, y := r.n, r.v.row(j), r.y.row(j)
	for i := k; i < n; i++ {
		v[i] = r.a.data[i*r.a.ld+k]
	}
	for p := range j {
		kernels.Rank2Sub64(v[k:], r.y.row(p)[k], r.v.row(p)[k:], r.u.row(p)[k], r.x.row(p)[k:])
	}
	t.diagonal[k], t.tauLeft[k] = reflect(v[k:])
	tau := t.tauLeft[k]
	if tau == 0 {
		clear(v[k:])
		return
	}
	copy(t.left.row(k)[k:], v[k:])
	if k+1 == n {
		return
	}
	r.timesRows(y, v, k)
	v, y = v[k:], y[k+1:]
	for p := range j {
		kernels.Rank2Sub64(y, kernels.Dot64(r.v.row(p)[k:], v), r.y.row(p)[k+1:], kernels.Dot64(r.x.row(p)[k:], v), r.u.row(p)[k+1:])
	}
	for i := range y {
		y[i] *= tau
	}
}

// rowOf reduces row k, the panel's row j, and sets its u and x.
func (r *bidiagonalization) rowOf(t *bidiagonal, k, j int) {
	n := r.n
	if k+1 >= n {
		return
	}
	row := r.a.row(k)[k+1 : n]
	for p := range j + 1 {
		kernels.Rank2Sub64(row, r.v.row(p)[k], r.y.row(p)[k+1:], r.x.row(p)[k], r.u.row(p)[k+1:])
	}
	t.off[k], t.tauRight[k] = reflect(row)
	tau := t.tauRight[k]
	if tau == 0 {
		clear(row)
		return
	}
	u, x := r.u.row(j)[k+1:], r.x.row(j)[k+1:]
	copy(u, row)
	r.timesColumns(x, u, k+1)
	kernels.AddScaled64(x, -kernels.Dot64(r.y.row(j)[k+1:], u), r.v.row(j)[k+1:])
	for p := range j {
		kernels.Rank2Sub64(x, kernels.Dot64(r.y.row(p)[k+1:], u), r.v.row(p)[k+1:], kernels.Dot64(r.u.row(p)[k+1:], u), r.x.row(p)[k+1:])
	}
	for i := range x {
		x[i] *= tau
	}
}

// timesRows sets y from column k+1 on to the product of v, from element k on, with the matrix's rows from k on: sums of bands of rows, added
// in their order.
func (r *bidiagonalization) timesRows(y, v []float64, k int) {
	n, ld := r.n, r.a.ld
	rest := n - k
	bands := min(max(rest/bandRows, 1), maxBands)
	edge := func(band int) int { return k + rest*band/bands }
	par.For(r.workers, bands, func(band int) {
		p, i, hi := r.bands.row(band)[k+1:], edge(band), edge(band+1)
		clear(p)
		for ; i+kernels.Rows64 <= hi; i += kernels.Rows64 {
			f := [kernels.Rows64]float64(v[i:])
			kernels.AddRows64(p, &f, r.a.data[i*ld+k+1:], ld)
		}
		for ; i < hi; i++ {
			kernels.AddScaled64(p, v[i], r.a.row(i)[k+1:])
		}
	})
	copy(y[k+1:], r.bands.row(0)[k+1:])
	for band := 1; band < bands; band++ {
		kernels.AddScaled64(y[k+1:], 1, r.bands.row(band)[k+1:])
	}
}

// timesColumns sets x to the product of the matrix's part from (at, at) with u.
func (r *bidiagonalization) timesColumns(x, u []float64, at int) {
	ld := r.a.ld
	par.Ranges(r.workers, len(x), bandRows, func(lo, hi int) {
		i := lo
		for ; i+kernels.Rows64 <= hi; i += kernels.Rows64 {
			s := kernels.DotRows64(u, r.a.data[(at+i)*ld+at:], ld)
			copy(x[i:], s[:])
		}
		for ; i < hi; i++ {
			x[i] = kernels.Dot64(r.a.row(at + i)[at:at+len(u)], u)
		}
	})
}

// update subtracts the panel's b products of both kinds from the rows and columns from at on.
func (r *bidiagonalization) update(at, b int) {
	rest := r.n - at
	if rest <= 0 {
		return
	}
	vx, yu := make([]float64, rest*2*b), make([]float64, 2*b*rest)
	for p := range b {
		copy(yu[p*rest:][:rest], r.y.row(p)[at:])
		copy(yu[(b+p)*rest:][:rest], r.u.row(p)[at:])
		for i := range rest {
			vx[i*2*b+p], vx[i*2*b+b+p] = r.v.row(p)[at+i], r.x.row(p)[at+i]
		}
	}
	par.Ranges(r.workers, rest, strip, func(lo, hi int) {
		kernels.Gemm64NNSub(r.a.data[(at+lo)*r.a.ld+at:], r.a.ld, vx[lo*2*b:], 2*b, yu, rest, hi-lo, rest, 2*b)
	})
}
