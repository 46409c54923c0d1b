package lowrank

import (
	"math"

	"pith/internal/par"
	"pith/kernels"
)

// turns is how many steps of conjugate gradients fitU makes for magnitudes of rank 2 and more.
const turns = 2

// fitU lowers every row's loss by its u: first by the best multiple of it, for which all is known, then, if the rank is above 1, by steps of
// conjugate gradients, for which V·diag(H)·Vᵀ stands for the matrix of the least squares: were a row's signs drawn at random, it would be that on
// average. G moves along. It returns Σ u·s ⊙ G over the rows of each chunk, u that of the first rank.
func (r *refiner) fitU() (downs []float32) {
	k, n := r.block.u.Cols, r.n
	if k > 1 {
		r.precondition()
	}
	downs = make([]float32, (r.w.Rows+r.chunk-1)/r.chunk*n)
	r.rows(func(c *refineChunk) {
		for i := c.lo; i < c.hi; i++ {
			c.rescale(i)
		}
		if k > 1 {
			c.turn()
		}
		down := downs[c.lo/c.chunk*n:][:n]
		for i := c.lo; i < c.hi; i++ {
			u, signs := c.block.u.Row(i)[0], c.signs(i)
			for j, g := range c.of(c.g, i) {
				down[j] += float32(u * float32(float32(signs[j])*g))
			}
		}
	})
	return downs
}

// rescale multiplies u of row i by what makes the row lose least: with d what the block gives, d·H is W·H - G.
func (c *refineChunk) rescale(i int) {
	m, signs, wh, g := c.magnitude(i, 0, c.n), c.signs(i), c.of(c.wh, i), c.of(c.g, i)
	var down, curve float64
	for j, v := range m {
		d := float64(float32(signs[j]) * v)
		down += float64(d * float64(g[j]))
		curve += float64(d * float64(wh[j]-g[j]))
	}
	if !(curve > 0) {
		return
	}
	more := float32(down / curve)
	u := c.block.u.Row(i)
	for t := range u {
		u[t] += float32(more * u[t])
	}
	for j, x := range wh {
		g[j] -= float32(more * (x - g[j]))
	}
}

// precondition factors V·diag(H)·Vᵀ.
func (r *refiner) precondition() {
	v := r.block.v
	k := v.Rows
	r.inverse = make([]float64, k*k)
	par.For(r.p.Workers, k, func(a int) {
		for b := range a + 1 {
			for j, x := range v.Row(a) {
				r.inverse[a*k+b] += float64(float64(x*v.Row(b)[j]) * float64(r.h[j*r.n+j]))
			}
		}
	})
	if !factorSmall(r.inverse, k) { // v that is zero, or twice the same
		clear(r.inverse)
		for t := range k {
			r.inverse[t*k+t] = 1
		}
	}
}

// turn makes the steps of conjugate gradients in the rows' u.
func (c *refineChunk) turn() {
	k, n, rows := c.block.u.Cols, c.n, c.hi-c.lo
	d, dh := make([]float32, rows*n), make([]float32, rows*n)
	along, before := make([]float64, rows*k), make([]float64, rows)
	for step := range turns {
		for i := c.lo; i < c.hi; i++ {
			c.direction(i, step > 0, along[(i-c.lo)*k:(i-c.lo+1)*k], &before[i-c.lo], d[(i-c.lo)*n:(i-c.lo+1)*n])
		}
		c.times(dh, d)
		for i := c.lo; i < c.hi; i++ {
			at := i - c.lo
			var curve float64
			for j, x := range d[at*n : (at+1)*n] {
				curve += float64(float64(x) * float64(dh[at*n+j]))
			}
			if !(curve > 0) || !(before[at] > 0) {
				continue
			}
			far := before[at] / curve
			for t, x := range along[at*k : (at+1)*k] {
				c.block.u.Row(i)[t] += float32(far * x)
			}
			kernels.Axpy(c.of(c.g, i), -float32(far), dh[at*n:(at+1)*n])
		}
	}
}

// direction sets along to row i's next direction in u and d to that in the row itself. before is the last gradient times what the preconditioner makes
// of it, then this one's.
func (c *refineChunk) direction(i int, going bool, along []float64, before *float64, d []float32) {
	k, signs := len(along), c.signs(i)
	for j, g := range c.of(c.g, i) {
		d[j] = float32(signs[j]) * g
	}
	down, best := make([]float64, k), make([]float64, k)
	for t := range k {
		down[t] = float64(kernels.Dot(d, c.block.v.Row(t)))
	}
	copy(best, down)
	solveFactored(c.inverse, best, k)
	var now float64
	for t, x := range best {
		now += float64(x * down[t])
	}
	ratio := 0.0
	if going && *before > 0 {
		ratio = now / *before
	}
	*before = now
	clear(d)
	for t, x := range best {
		along[t] = x + float64(ratio*along[t])
		kernels.Axpy(d, float32(along[t]), c.block.v.Row(t))
	}
	for j, s := range signs {
		d[j] *= float32(s)
	}
}

// factorSmall overwrites the lower triangle of a with its Cholesky factor; false if a is not positive definite.
func factorSmall(a []float64, k int) bool {
	for i := range k {
		for j := range i + 1 {
			s := a[i*k+j]
			for t := range j {
				s -= float64(a[i*k+t] * a[j*k+t])
			}
			if i > j {
				a[i*k+j] = s / a[j*k+j]
			} else if s > 1e-12*a[i*k+i] {
				a[i*k+i] = math.Sqrt(s)
			} else {
				return false
			}
		}
	}
	return true
}

// solveFactored overwrites b with (L·Lᵀ)⁻¹·b.
func solveFactored(l, b []float64, k int) {
	for i := range k {
		for t := range i {
			b[i] -= float64(l[i*k+t] * b[t])
		}
		b[i] /= l[i*k+i]
	}
	for i := k - 1; i >= 0; i-- {
		for t := i + 1; t < k; t++ {
			b[i] -= float64(l[t*k+i] * b[t])
		}
		b[i] /= l[i*k+i]
	}
}

// gradientSteps is how many steps of conjugate gradients fitV makes.
const gradientSteps = 8

// fitV moves the first row of v, which holds most of the magnitude, towards the least squares solution in the form. What to add to it solves
// (H ⊙ Σ u²·s·sᵀ)·d = Σ u·s ⊙ (H·e), where s is a row's signs and e what the block leaves of the row; downs is the right side, in pieces.
func (r *refiner) fitV(downs []float32) {
	m, n := r.w.Rows, r.n
	down := make([]float64, n)
	for at := 0; at < len(downs); at += n {
		for j, x := range downs[at : at+n] {
			down[j] += float64(x)
		}
	}
	columns := make([]float32, n*m) // u·s, by columns
	par.Ranges(r.p.Workers, m, 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			u, signs := r.block.u.Row(i)[0], r.block.signs[i*n:(i+1)*n]
			for j, s := range signs {
				columns[j*m+i] = float32(s) * u
			}
		}
	})
	a := make([]float32, n*n)
	const grain = 96
	par.Ranges(r.p.Workers, n, grain, func(lo, hi int) {
		if r.p.Err() != nil {
			return
		}
		kernels.GemmNT(a[lo*n:], n, columns[lo*m:], m, columns, m, hi-lo, hi, m)
		for j := lo; j < hi; j++ {
			for c := range a[j*n : j*n+j+1] {
				a[j*n+c] *= r.h[j*n+c]
			}
		}
	})
	par.Ranges(r.p.Workers, n, grain, func(lo, hi int) { // above the diagonal what is below it
		for from := lo; from < n; from += 64 {
			for c := lo; c < hi; c++ {
				for j := max(from, c+1); j < min(n, from+64); j++ {
					a[c*n+j] = a[j*n+c]
				}
			}
		}
	})
	v := r.block.v.Row(0)
	for j, d := range conjugateGradients(a, down, gradientSteps, r.p.Workers) {
		v[j] = float32(float64(v[j]) + d)
	}
}

// conjugateGradients returns an approximate solution of a·x = b, from zero.
func conjugateGradients(a []float32, b []float64, steps, workers int) []float64 {
	n := len(b)
	x, r, d := make([]float64, n), append([]float64(nil), b...), append([]float64(nil), b...)
	along, ad := make([]float32, n), make([]float32, n)
	rr := kernels.Dot64(r, r)
	start := rr
	for range steps {
		if rr <= 1e-20*start {
			break
		}
		size := math.Sqrt(kernels.Dot64(d, d)) // d of length 1 is within float32
		for i, v := range d {
			along[i] = float32(v / size)
		}
		par.Ranges(workers, n, 256, func(lo, hi int) { kernels.Dots(ad[lo:hi], a[lo*n:], n, along) })
		var curve float64
		for i, v := range ad {
			curve += float64(d[i] * float64(v))
		}
		if curve *= size; !(curve > 0) {
			break
		}
		alpha := rr / curve
		kernels.AddScaled64(x, alpha, d)
		for i, v := range ad {
			r[i] -= float64(alpha * float64(size*float64(v)))
		}
		next := kernels.Dot64(r, r)
		for i := range n {
			d[i] = r[i] + float64(next/rr*d[i])
		}
		rr = next
	}
	return x
}
