package quantizers

import (
	"pith/codec"
	"pith/kernels"
)

// refitPasses is how often the factors of a row's groups are visited in turn.
const refitPasses = 3

// refit multiplies the scales of the rows by the factors for which tr(E·H·Eᵀ) is least; codes stay as they are.
// With Ŵ_g what group g of a row w contributes, w ≈ Σ α_g·Ŵ_g is least squares in the norm of H; a row of one group has
// α = (w·H·Ŵᵀ)/(Ŵ·H·Ŵᵀ). Groups are visited in turn, each factor rounded to what is stored, and what would raise the loss is undone.
func (b *bandSolver) refit(grid codec.Grid) {
	cols, set := scaleGroups(grid, b.f.n)
	if set == nil || b.rows == 0 || b.p.Err() != nil {
		return
	}
	n := b.f.n
	groups := (n + cols - 1) / cols
	w := b.f.byPosition(b.w)
	wl := b.f.timesL(w, b.rows)
	parts := make([][]float32, groups) // Ŵ_g·L, (rows, n)
	member := make([][]int, groups)    // positions
	for j := range n {
		g := b.f.column(j) / cols
		member[g] = append(member[g], j)
	}
	for g := range parts {
		if b.p.Err() != nil {
			return
		}
		parts[g] = b.groupTimesL(member[g])
	}
	s := newGroupFit(groups)
	for r := range b.rows {
		if b.p.Err() != nil {
			return
		}
		for g := range groups {
			s.moments(b, g, r, w, wl, parts, member)
		}
		s.descend(func(g int, factor float32) float32 { return set(b.first+r, g, factor) })
		row := b.q.Row(r)
		for g, a := range s.factors {
			if a == 1 {
				continue
			}
			for c := g * cols; c < min(n, (g+1)*cols); c++ {
				row[c] *= float32(a)
			}
		}
	}
	b.remeasure()
}

// scaleGroups returns how many columns of a row share a scale and what multiplies it; nil if grid has no such scales.
func scaleGroups(grid codec.Grid, n int) (cols int, set func(row, group int, factor float32) float32) {
	switch g := grid.(type) {
	case codec.GroupRefitter:
		return max(1, g.GroupCols()), g.RefitGroup
	case codec.Refitter:
		return n, func(row, _ int, factor float32) float32 { return g.Refit(row, factor) }
	}
	return n, nil
}

// groupTimesL returns Ŵ_g·L, (rows, n), of the columns at positions member.
func (b *bandSolver) groupTimesL(member []int) []float32 {
	n, k := b.f.n, len(member)
	x, l := make([]float32, b.rows*k), make([]float32, k*n)
	for i, j := range member {
		copy(l[i*n:(i+1)*n], b.f.l[j*n:(j+1)*n])
		for r := range b.rows {
			x[r*k+i] = b.q.Row(r)[b.f.column(j)]
		}
	}
	out := make([]float32, b.rows*n)
	kernels.GemmNN(out, n, x, k, l, n, b.rows, n, k)
	return out
}

// remeasure computes e and z of what q holds.
func (b *bandSolver) remeasure() {
	n := b.f.n
	for r := range b.rows {
		w, q := b.w.Row(r), b.q.Row(r)
		for j := range n {
			c := b.f.column(j)
			b.e[r*n+j] = w[c] - q[c]
		}
	}
	b.z = b.f.timesL(b.e, b.rows)
}

// groupFit is the least-squares problem of one row: the loss is a constant - 2·Σ α_g·rhs_g + Σ α_g·α_h·sums_gh.
type groupFit struct {
	n       int
	sums    []float64 // (n, n)
	rhs     []float64
	factors []float64
}

func newGroupFit(n int) *groupFit {
	return &groupFit{n: n, sums: make([]float64, n*n), rhs: make([]float64, n), factors: make([]float64, n)}
}

// moments sets row g of the problem of row r.
func (s *groupFit) moments(b *bandSolver, g, r int, w, wl []float32, parts [][]float32, member [][]int) {
	n, d := b.f.n, b.f.d
	at := r * n
	mine := parts[g][at : at+n]
	var rhs float64
	for j, v := range mine {
		rhs += float64(d[j] * float64(float64(v)*float64(wl[at+j])))
	}
	for h := range g + 1 {
		var sum float64
		for j, v := range parts[h][at : at+n] {
			sum += float64(d[j] * float64(float64(v)*float64(mine[j])))
		}
		s.sums[g*s.n+h], s.sums[h*s.n+g] = sum, sum
	}
	q := b.q.Row(r)
	for _, j := range member[g] { // what damping added is not of the loss
		v := float64(q[b.f.column(j)])
		rhs -= float64(b.f.added[j] * float64(v*float64(w[at+j])))
		s.sums[g*s.n+g] -= float64(b.f.added[j] * float64(v*v))
	}
	s.rhs[g] = rhs
}

// descend finds the factors, and has set store them.
func (s *groupFit) descend(set func(g int, factor float32) float32) {
	for g := range s.factors {
		s.factors[g] = 1
	}
	for range refitPasses {
		changed := false
		for g, a := range s.factors {
			own, slope := s.sums[g*s.n+g], s.rhs[g]
			for h, v := range s.factors {
				slope -= float64(s.sums[g*s.n+h] * v)
			}
			factor := float32((a + slope/own) / a)
			if !(own > 0) || !(factor > 0.5 && factor < 2) {
				continue
			}
			stored := set(g, factor)
			if stored == 1 {
				continue
			}
			step := float64(a*float64(stored)) - a
			if float64(step*(float64(step*own)-2*slope)) < 0 {
				s.factors[g] = a + step
				changed = true
				continue
			}
			set(g, 1/stored)
		}
		if !changed {
			return
		}
	}
}
