package pruning

import (
	"fmt"
	"math"

	"pith/internal/par"
	"pith/kernels"
	"pith/linalg"
)

// Conjugate gradients stop after gradientSteps steps, or where the gradient's norm, scaled by the diagonal, has fallen to gradientEnd of what
// pruning alone leaves.
const (
	gradientSteps = 60
	gradientEnd   = 1e-6
)

// gradientRows is how many rows are multiplied by H at once.
const gradientRows = 64

// descend lowers the loss of rows by conjugate gradients (Hestenes and Stiefel 1952) in their kept elements, scaled by H's diagonal, from
// the values that they have. Every step lowers it, whenever one stops.
func descend(t *Task, f *linalg.Curvature, rows []int) {
	h := damped(t.Inputs, f)
	par.Ranges(t.Workers, len(rows), gradientRows, func(lo, hi int) {
		g := &gradients{t: t, h: h, rows: rows[lo:hi]}
		g.run()
	})
}

// damped returns H with what was added, (n, n), made once for an input.
func damped(in *Inputs, f *linalg.Curvature) linalg.Matrix {
	return in.Stats.Derive(fmt.Sprintf("pruning: damped %g", in.damping()), func() any {
		h := linalg.Unpack(in.Cols, in.Stats.Gram)
		for i := range h.Data {
			h.Data[i] /= float64(in.Stats.Tokens)
		}
		for j, v := range f.Added {
			h.Row(j)[j] += v
		}
		return h
	}).(linalg.Matrix)
}

// gradients is the descent of some rows; matrices are (rows, n), zero in columns that are pruned.
type gradients struct {
	t    *Task
	h    linalg.Matrix
	rows []int
	x    []float64 // values
	r    []float64 // E·H, half the slope that is left, E = W - X
	z    []float64 // r over the diagonal
	p    []float64 // direction
	hp   []float64 // p·H
}

func (g *gradients) run() {
	n, count := g.h.N, len(g.rows)
	g.x = rowsOf(g.t.Values, g.rows)
	e := rowsOf(g.t.W, g.rows)
	bare := make([]float64, len(e)) // the error of pruning alone
	for i := range e {
		if !g.t.Mask.Kept(g.rows[i/n], i%n) {
			bare[i] = e[i]
		}
		e[i] -= g.x[i]
	}
	g.r, g.hp = g.times(e), g.times(bare)
	g.z, g.p = make([]float64, len(e)), make([]float64, len(e))
	end, rz, live := make([]float64, count), make([]float64, count), count
	for i := range count {
		end[i] = g.scaled(i, g.hp) * gradientEnd * gradientEnd
		if rz[i] = g.scaled(i, g.r); !(rz[i] > end[i]) {
			rz[i], live = 0, live-1
			continue
		}
		copy(g.p[i*n:(i+1)*n], g.z[i*n:(i+1)*n])
	}
	for step := 0; step < gradientSteps && live > 0 && !g.t.Inputs.stopped(); step++ {
		g.hp = g.times(g.p)
		for i := range count {
			if rz[i] == 0 {
				continue
			}
			if rz[i] = g.step(i, rz[i], end[i]); rz[i] == 0 {
				live--
			}
		}
	}
	for i, r := range g.rows {
		for c, v := range g.x[i*n : (i+1)*n] {
			g.t.Values.Row(r)[c] = float32(v)
		}
	}
}

// times returns x·H in the kept columns.
func (g *gradients) times(x []float64) []float64 {
	n := g.h.N
	out := make([]float64, len(x))
	kernels.Gemm64NT(out, n, x, n, g.h.Data, n, len(g.rows), n, n)
	for i := range out {
		if !g.t.Mask.Kept(g.rows[i/n], i%n) {
			out[i] = 0
		}
	}
	return out
}

// scaled sets row i of z to that of v over the diagonal, and returns v·z.
func (g *gradients) scaled(i int, v []float64) (sum float64) {
	n := g.h.N
	for c, a := range v[i*n : (i+1)*n] {
		z := a / g.h.Row(c)[c]
		g.z[i*n+c] = z
		sum += float64(a * z)
	}
	return sum
}

// step moves row i along its direction and returns its new r·z, or 0 where it is done; it stops the row then.
func (g *gradients) step(i int, rz, end float64) float64 {
	n := g.h.N
	x, r, p, hp := g.x[i*n:(i+1)*n], g.r[i*n:(i+1)*n], g.p[i*n:(i+1)*n], g.hp[i*n:(i+1)*n]
	var curvature float64
	for c, v := range p {
		curvature += float64(v * hp[c])
	}
	length := rz / curvature
	if !(curvature > 0) || math.IsInf(length, 0) {
		clear(p)
		return 0
	}
	for c, v := range p {
		x[c] += float64(length * v)
		r[c] -= float64(length * hp[c])
	}
	next := g.scaled(i, g.r)
	if !(next > end) {
		clear(p)
		return 0
	}
	for c, v := range g.z[i*n : (i+1)*n] {
		p[c] = v + float64(next/rz*p[c])
	}
	return next
}
