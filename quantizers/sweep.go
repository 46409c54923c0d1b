package quantizers

import (
	"pith/codec"
	"pith/kernels"
	"pith/linalg"
)

// sweep rounds every block again, from the last to the first, all others staying as they are:
//
//	target_B = W_B + Σ_{C≠B} (W_C - Ŵ_C)·H_CB·H_BB⁻¹
//
// which is coordinate descent on the loss with damping. A new choice is kept where it lowers that loss, exactly computed: row by row
// for grids of single columns, for all rows of the band together for blocks.
func (b *bandSolver) sweep() {
	if b.p.Err() != nil {
		return
	}
	n := b.f.n
	s := &sweeper{bandSolver: b, h: b.f.damped(), grad: make([]float32, b.rows*n), delta: make([]float32, b.rows*n)}
	kernels.GemmNN(s.grad, n, b.e, n, s.h, n, b.rows, n, n)
	s.visit(0, n)
	b.z = b.f.timesL(b.e, b.rows)
}

// sweeper is a band during a sweep. Matrices are (rows, n) by position.
type sweeper struct {
	*bandSolver
	h     []float32 // the damped H, (n, n)
	grad  []float32 // e·H
	delta []float32 // what the sweep added to e
}

// visit sweeps positions lo … hi; grad is that of all changes outside.
func (s *sweeper) visit(lo, hi int) {
	if hi-lo <= s.leaf() {
		for at := lo + (hi-lo-1)/s.step*s.step; at >= lo && s.p.Err() == nil; at -= s.step {
			s.block(at, min(at+s.step, hi), lo, hi)
		}
		return
	}
	mid, n := split(lo, hi, s.leaf()), s.f.n
	s.visit(mid, hi)
	if s.p.Err() != nil {
		return
	}
	kernels.GemmNN(s.grad[lo:], n, s.delta[mid:], n, s.h[mid*n+lo:], n, s.rows, mid-lo, hi-mid)
	s.visit(lo, mid)
	kernels.GemmNN(s.grad[mid:], n, s.delta[lo:], n, s.h[lo*n+mid:], n, s.rows, hi-mid, mid-lo)
}

// block rounds the block at … end again and brings grad of positions lo … hi up to date.
func (s *sweeper) block(at, end, lo, hi int) {
	n := s.f.n
	old := make([]float32, 0, s.rows*(end-at))
	for r := range s.rows {
		for j := at; j < end; j++ {
			old = append(old, s.q.Row(r)[s.f.column(j)])
		}
	}
	s.sweepTargets(at, end)
	s.round(at)
	for _, band := range s.bands {
		s.keepBetter(band, at, end, old)
	}
	for r := range s.rows {
		w, q := s.w.Row(r), s.q.Row(r)
		for j := at; j < end; j++ {
			c := s.f.column(j)
			d := float32(old[r*(end-at)+j-at] - q[c]) // e's change
			if d == 0 {
				continue
			}
			s.e[r*n+j] = w[c] - q[c]
			s.delta[r*n+j] += d
			g, h := s.grad[r*n+lo:r*n+hi], s.h[j*n+lo:j*n+hi]
			for k, v := range h {
				g[k] += float32(d * v)
			}
		}
	}
}

// sweepTargets sets q of the block to Ŵ_B + grad_B·H_BB⁻¹.
func (s *sweeper) sweepTargets(at, end int) {
	n, k := s.f.n, end-at
	l := linalg.NewMatrix(k)
	for i := range k {
		for j := range k {
			l.Row(i)[j] = float64(s.h[(at+i)*n+at+j])
		}
	}
	if linalg.Cholesky(l, 1) != nil {
		return // targets stay what they stand for: nothing changes
	}
	x := make([]float64, k)
	for r := range s.rows {
		for i := range x {
			x[i] = float64(s.grad[r*n+at+i])
		}
		linalg.Solve(l, x)
		q := s.q.Row(r)
		for i, v := range x {
			q[s.f.column(at+i)] += float32(v)
		}
	}
}

// keepBetter puts old back, values and codes, where the new values of a band's block do not lower the loss.
func (s *sweeper) keepBetter(band codec.Band, at, end int, old []float32) {
	k, c := end-at, s.f.column(at)
	r0, r1 := s.window(band)
	var all float64
	worse := false
	for r := r0; r < r1; r++ {
		change := s.change(r, at, old[r*k:(r+1)*k])
		all += change
		if s.step == 1 && change > 0 {
			s.q.Row(r)[c] = old[r]
			worse = true
		}
	}
	switch {
	case s.step == 1 && worse:
		band.Round(s.q.Slice(r0, r1), c) // values of the grid stay what they are
	case s.step > 1 && !(all < 0):
		for r := r0; r < r1; r++ {
			copy(s.q.Row(r)[at:end], old[r*k:])
		}
		if back, ok := band.(codec.Reverter); ok {
			back.Revert(at)
			return
		}
		band.Round(s.q.Slice(r0, r1), at)
	}
}

// change returns by how much the damped loss of row r changes if old becomes what q holds at positions at ….
func (s *sweeper) change(r, at int, old []float32) (sum float64) {
	n, q := s.f.n, s.q.Row(r)
	for i, v := range old {
		d := float64(v - q[s.f.column(at+i)])
		if d == 0 {
			continue
		}
		sum += 2 * float64(d*float64(s.grad[r*n+at+i]))
		for k, u := range old {
			other := float64(u - q[s.f.column(at+k)])
			sum += float64(float64(d*other) * float64(s.h[(at+i)*n+at+k]))
		}
	}
	return sum
}

// damped returns the damped H by position in float32, (n, n), made once.
func (f *feedback) damped() []float32 {
	f.once.Do(func() {
		n := f.n
		f.h = make([]float32, n*n)
		for i := range n {
			a := f.column(i)
			for j := range i + 1 {
				c := f.column(j)
				v := float32(f.stats.GramRow(max(a, c))[min(a, c)] / float64(f.stats.Tokens))
				f.h[i*n+j], f.h[j*n+i] = v, v
			}
			f.h[i*n+i] = float32(f.stats.GramRow(a)[a]/float64(f.stats.Tokens) + f.added[i])
		}
	})
	return f.h
}
