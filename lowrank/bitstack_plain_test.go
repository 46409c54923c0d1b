package lowrank

import (
	"pith/approx"
	"pith/internal/par"
	"pith/kernels"
	"pith/linalg"
	"pith/tensor"
)

// plainRows is how many rows are refined at a time.
const plainRows = 32

// plainRefiner is what refiner does in float64, each quantity computed anew from its definition.
type plainRefiner struct {
	n     int
	h, l  linalg.Matrix
	damp  float64
	p     approx.Problem
	w     tensor.Mat
	block *signBlock
}

// plainRefine returns the block refined, with tr(E·H·Eᵀ) of what it leaves, H as observed.
func plainRefine(b BitStack, p approx.Problem, block *signBlock) (*signBlock, float64) {
	h, _ := p.Stats.MeanGram(p.W.Cols)
	n := p.W.Cols
	r := &plainRefiner{n: n, h: h, p: p, w: p.W, block: block}
	for i := range n {
		r.damp += bitStackDamping * h.Row(i)[i] / float64(n)
	}
	for i := range n {
		h.Row(i)[i] += r.damp
		for j := range i {
			h.Data[j*n+i] = h.Row(i)[j]
		}
	}
	r.l = h.Clone()
	if err := linalg.Cholesky(r.l, 1); err != nil {
		panic(err)
	}
	r.rows(func(c *plainChunk) { c.feedback(); c.residual(); c.sweep() })
	for i := range b.Refits {
		r.fitU()
		r.fitV()
		if i == b.Refits-1 {
			block.round() // what follows sees what is stored
			r.fitU()
			block.round()
		}
		r.rows(func(c *plainChunk) { c.residual(); c.sweep() })
	}
	loss, _ := r.losses()
	return block, loss
}

// rows calls f for chunks of rows, on several workers.
func (r *plainRefiner) rows(f func(c *plainChunk)) {
	par.Ranges(r.p.Workers, r.w.Rows, plainRows, func(lo, hi int) {
		if r.p.Err() == nil {
			f(&plainChunk{plainRefiner: r, lo: lo, hi: hi})
		}
	})
}

// plainChunk is rows lo … hi: e, what the block leaves of them, and g = e·H.
type plainChunk struct {
	*plainRefiner
	lo, hi int
	e, g   []float64
	m      []float32
}

func (c *plainChunk) signs(i int) []int8 { return c.block.signs[i*c.n : (i+1)*c.n] }

// magnitude returns row i of the magnitudes.
func (c *plainChunk) magnitude(i int) []float32 {
	if c.m == nil {
		c.m = make([]float32, c.n)
	}
	c.block.magnitude(c.m, i)
	return c.m
}

// feedback chooses signs from the last column to the first: of each, the one nearest to what would make the columns after it lose least. With
// H = L·Lᵀ a row loses Σ_j ((e·L)_j)², and (e·L)_j depends on e_j and those after it.
func (c *plainChunk) feedback() {
	n := c.n
	ahead := make([]float64, n)
	for i := c.lo; i < c.hi; i++ {
		m, signs, w := c.magnitude(i), c.signs(i), c.w.Row(i)
		clear(ahead)
		for j := n - 1; j >= 0; j-- {
			row := c.l.Row(j)
			target := float64(w[j]) + ahead[j]/row[j]
			signs[j] = nearerSign(float32(target), m[j])
			e := float64(w[j]) - float64(signs[j])*float64(m[j])
			kernels.AddScaled64(ahead[:j], e, row[:j])
		}
	}
}

// residual computes e and g.
func (c *plainChunk) residual() {
	n, rows := c.n, c.hi-c.lo
	if c.e == nil {
		c.e, c.g = make([]float64, rows*n), make([]float64, rows*n)
	}
	for i := c.lo; i < c.hi; i++ {
		m, signs, e := c.magnitude(i), c.signs(i), c.e[(i-c.lo)*n:]
		for j, x := range c.w.Row(i) {
			e[j] = float64(x) - float64(signs[j])*float64(m[j])
		}
	}
	clear(c.g)
	kernels.Gemm64NT(c.g, n, c.e, n, c.h.Data, n, rows, n, n)
}

// sweep turns every sign over that lowers its row's loss.
func (c *plainChunk) sweep() {
	n := c.n
	for i := c.lo; i < c.hi; i++ {
		m, signs := c.magnitude(i), c.signs(i)
		e, g := c.e[(i-c.lo)*n:(i-c.lo+1)*n], c.g[(i-c.lo)*n:(i-c.lo+1)*n]
		for j := range n {
			step := 2 * float64(signs[j]) * float64(m[j]) // what turning over adds to e
			if row := c.h.Row(j); step*(2*g[j]+step*row[j]) < 0 {
				signs[j] = -signs[j]
				e[j] += step
				kernels.AddScaled64(g, step, row)
			}
		}
	}
}

// fitU sets every row's u to the least squares solution in the form.
func (r *plainRefiner) fitU() {
	k := r.block.u.Cols
	r.rows(func(c *plainChunk) {
		n, rows := c.n, c.hi-c.lo
		basis, turned, w := make([]float64, rows*k*n), make([]float64, rows*k*n), make([]float64, n)
		for i := c.lo; i < c.hi; i++ {
			signs := c.signs(i)
			for t := range k {
				to := basis[((i-c.lo)*k+t)*n:]
				for j, x := range c.block.v.Row(t) {
					to[j] = float64(signs[j]) * float64(x)
				}
			}
		}
		kernels.Gemm64NT(turned, n, basis, n, c.h.Data, n, rows*k, n, n)
		a, b := make([]float64, k*k), make([]float64, k)
		for i := c.lo; i < c.hi; i++ {
			for j, x := range c.w.Row(i) {
				w[j] = float64(x)
			}
			own := (i - c.lo) * k * n
			for t := range k {
				row := turned[own+t*n:][:n]
				b[t] = kernels.Dot64(row, w)
				for s := range k {
					a[t*k+s] = kernels.Dot64(row, basis[own+s*n:][:n])
				}
			}
			if factorSmall(a, k) {
				solveFactored(a, b, k)
				for t, x := range b {
					c.block.u.Row(i)[t] = float32(x)
				}
			}
		}
	})
}

// fitV moves the first row of v, which holds most of the magnitude, towards the least squares solution in the form. What to add to it solves
// (H ⊙ Σ u²·s·sᵀ)·d = Σ u·s ⊙ (H·e), where s is a row's signs and e what the block leaves of the row.
func (r *plainRefiner) fitV() {
	m, n := r.w.Rows, r.n
	rhs := make([]float64, (m+plainRows-1)/plainRows*n)
	r.rows(func(c *plainChunk) {
		c.residual()
		sum := rhs[c.lo/plainRows*n:][:n]
		for i := c.lo; i < c.hi; i++ {
			u, signs := float64(c.block.u.Row(i)[0]), c.signs(i)
			for j, g := range c.g[(i-c.lo)*n : (i-c.lo+1)*n] {
				sum[j] += u * float64(signs[j]) * g
			}
		}
	})
	down := rhs[:n]
	for at := n; at < len(rhs); at += n {
		kernels.AddScaled64(down, 1, rhs[at:at+n])
	}
	columns := make([]float32, n*m) // u·s, by columns
	for i := range m {
		u, signs := r.block.u.Row(i)[0], r.block.signs[i*n:(i+1)*n]
		for j, s := range signs {
			columns[j*m+i] = float32(s) * u
		}
	}
	a := make([]float64, n*n)
	par.Ranges(r.p.Workers, n, plainRows, func(lo, hi int) {
		block := make([]float32, (hi-lo)*n)
		kernels.GemmNT(block, n, columns[lo*m:], m, columns, m, hi-lo, n, m)
		for j := lo; j < hi; j++ {
			h := r.h.Row(j)
			for c, x := range block[(j-lo)*n : (j-lo+1)*n] {
				a[j*n+c] = float64(x) * h[c]
			}
		}
	})
	step := plainGradients(a, down, n, gradientSteps)
	v := r.block.v.Row(0)
	for j, d := range step {
		v[j] = float32(float64(v[j]) + d)
	}
}

// plainGradients returns an approximate solution of a·x = b, from zero.
func plainGradients(a, b []float64, n, steps int) []float64 {
	x, r, d, ad := make([]float64, n), append([]float64(nil), b...), append([]float64(nil), b...), make([]float64, n)
	rr := kernels.Dot64(r, r)
	start := rr
	for range steps {
		if rr <= 1e-20*start {
			break
		}
		for i := range n {
			ad[i] = kernels.Dot64(a[i*n:(i+1)*n], d)
		}
		curve := kernels.Dot64(d, ad)
		if !(curve > 0) {
			break
		}
		alpha := rr / curve
		kernels.AddScaled64(x, alpha, d)
		kernels.AddScaled64(r, -alpha, ad)
		next := kernels.Dot64(r, r)
		for i := range n {
			d[i] = r[i] + float64(next/rr*d[i])
		}
		rr = next
	}
	return x
}

// losses returns tr(E·H·Eᵀ) and tr(W·H·Wᵀ) of H as observed.
func (r *plainRefiner) losses() (loss, norm float64) {
	parts := make([][2]float64, (r.w.Rows+plainRows-1)/plainRows)
	r.rows(func(c *plainChunk) {
		part := &parts[c.lo/plainRows]
		c.residual()
		part[0] = c.observed()
		for i := c.lo; i < c.hi; i++ {
			for j, x := range c.w.Row(i) {
				c.e[(i-c.lo)*c.n+j] = float64(x)
			}
		}
		clear(c.g)
		kernels.Gemm64NT(c.g, c.n, c.e, c.n, c.h.Data, c.n, c.hi-c.lo, c.n, c.n)
		part[1] = c.observed()
	})
	for _, p := range parts {
		loss, norm = loss+p[0], norm+p[1]
	}
	return max(0, loss), norm
}

// observed returns e·H·eᵀ of all rows, without the damping.
func (c *plainChunk) observed() float64 {
	return kernels.Dot64(c.e, c.g) - c.damp*kernels.Dot64(c.e, c.e)
}
