package quantizers

import (
	"math"
	"slices"

	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/linalg"
)

// solveTables replaces tables by the least squares of the damped loss for the codes there are. With S the matrix of one column for each
// number of a row's tables, which has the row's scale where the number's code is, Ŵ = t·Sᵀ, and the change δ of t for which the loss is
// least satisfies
//
//	(Σ S·H·Sᵀ)·δ = Σ S·H·(w - ŵ)
//
// summed over the rows that share the tables. Numbers are then rounded to what is stored one after another, each to make up for
// the others' rounding; tables for which that would raise the loss stay.
func (a *alternation) solveTables() {
	if a.p.Err() != nil {
		return
	}
	own := a.ownTables()
	sums := make([][]tableSystem, a.p.W.Rows) // of each band, at its first row
	losses := make([]float64, a.p.W.Rows)
	a.each(func(b *bandSolver) {
		b.setErrors()
		n := a.f.n
		grad := make([]float32, b.rows*n)
		kernels.GemmNN(grad, n, b.e, n, a.f.damped(), n, b.rows, n, n)
		for r := range b.rows {
			for j, v := range grad[r*n : (r+1)*n] {
				losses[b.first+r] += float64(float64(v) * float64(b.e[r*n+j]))
			}
		}
		for _, band := range b.bands {
			r0, r1 := band.Rows()
			list := a.normal(r0, r1, grad[(r0-b.first)*n:])
			if !own {
				sums[r0] = a.joined(list)
				continue
			}
			for _, s := range list {
				a.replace(s)
			}
		}
	})
	var total float64
	for _, v := range losses {
		total += v
	}
	a.losses = append(a.losses, total)
	if a.p.Err() != nil {
		return
	}
	if !own {
		shared := a.joined(slices.Concat(sums...))
		par.For(a.p.Workers, len(shared), func(i int) { a.replace(shared[i]) })
	}
	a.each(a.decode)
}

// ownTables reports whether no two rows share a table.
func (a *alternation) ownTables() bool {
	seen := map[int]bool{}
	for r := range a.p.W.Rows {
		i := a.tables.TableOf(r, 0)
		if seen[i] {
			return false
		}
		seen[i] = true
	}
	return true
}

// tableSystem is the normal equations of the tables of one row, or of rows that share one.
type tableSystem struct {
	row    int       // one of the rows
	n      int       // numbers of all its tables
	matrix []float64 // (n, n)
	rhs    []float64
}

// rowTables returns how many tables a row has.
func (a *alternation) rowTables() int {
	each := a.tables.RangeCols()
	return (a.f.n + each - 1) / each
}

// numbers returns, by position, which number of its row's tables each weight is.
func (a *alternation) numbers(row int) []int32 {
	_, entries := a.tables.Tables()
	each, codes := a.tables.RangeCols(), a.tables.Codes(row)
	out := make([]int32, a.f.n)
	for j := range out {
		c := a.f.column(j)
		out[j] = int32(c/each*entries + int(codes[c]))
	}
	return out
}

// slopes returns S·g of a row.
func (a *alternation) slopes(row int, numbers []int32, g []float32) []float64 {
	_, entries := a.tables.Tables()
	out := make([]float64, entries*a.rowTables())
	scale := float64(a.tables.RowScale(row))
	for j, k := range numbers {
		out[k] += float64(scale * float64(g[j]))
	}
	return out
}

// normalCols is how many positions normal sums at a time: the sums of a row then stay in cache.
const normalCols = 256

// normal returns the systems of rows r0 … r1, of which grad holds (w - ŵ)·H. S·H is summed row by row of H, each to the sums of the number that its
// position has: additions only. Of a pair of different blocks of positions one is summed, and the transpose added in the end.
func (a *alternation) normal(r0, r1 int, grad []float32) []tableSystem {
	n, h := a.f.n, a.f.damped()
	_, entries := a.tables.Tables()
	k := entries * a.rowTables()
	list, numbers := make([]tableSystem, r1-r0), make([][]int32, r1-r0)
	for r := range list {
		numbers[r] = a.numbers(r0 + r)
		list[r] = tableSystem{row: r0 + r, n: k, matrix: make([]float64, k*k), rhs: a.slopes(r0+r, numbers[r], grad[r*n:(r+1)*n])}
	}
	sums := make([]float32, len(list)*k*normalCols)
	for i0 := 0; i0 < n && a.p.Err() == nil; i0 += normalCols {
		width := min(normalCols, n-i0)
		clear(sums)
		for j := i0; j < n; j++ {
			part, half := h[j*n+i0:j*n+i0+width], float32(1)
			if j < i0+width {
				half = 0.5 // these pairs come twice
			}
			for r, at := range numbers {
				to := (r*k + int(at[j])) * normalCols
				kernels.Axpy(sums[to:to+width], half, part)
			}
		}
		for r, at := range numbers {
			matrix := list[r].matrix
			for l := range k {
				for i, v := range sums[(r*k+l)*normalCols:][:width] {
					matrix[int(at[i0+i])*k+l] += float64(v)
				}
			}
		}
	}
	for r := range list {
		list[r].symmetric(float64(a.tables.RowScale(r0 + r)))
	}
	return list
}

// symmetric adds the transpose to the matrix, and multiplies it by the square of a row's scale.
func (s *tableSystem) symmetric(scale float64) {
	square := scale * scale
	for x := range s.n {
		for y := range x + 1 {
			v := square * (s.matrix[x*s.n+y] + s.matrix[y*s.n+x])
			s.matrix[x*s.n+y], s.matrix[y*s.n+x] = v, v
		}
	}
}

// joined adds up the systems of rows that share their tables, in the order of rows.
func (a *alternation) joined(systems []tableSystem) []tableSystem {
	var list []tableSystem
	at := map[int]int{}
	for _, s := range systems {
		table := a.tables.TableOf(s.row, 0)
		i, ok := at[table]
		if !ok {
			at[table] = len(list)
			list = append(list, s)
			continue
		}
		for k, v := range s.matrix {
			list[i].matrix[k] += v
		}
		for k, v := range s.rhs {
			list[i].rhs[k] += v
		}
	}
	return list
}

// tableRidge keeps what is not determined, numbers that no weight has above all, where it is: relative to the mean diagonal.
const tableRidge = 1e-7

// least returns the δ of least loss; false if the system has none.
func (s *tableSystem) least() ([]float64, bool) {
	l := linalg.NewMatrix(s.n)
	var mean float64
	for k := range s.n {
		mean += s.matrix[k*s.n+k] / float64(s.n)
	}
	for k := range s.n {
		copy(l.Row(k), s.matrix[k*s.n:k*s.n+k+1])
		l.Row(k)[k] += tableRidge * mean
	}
	if !(mean > 0) || linalg.Cholesky(l, 1) != nil {
		return nil, false
	}
	x := append([]float64(nil), s.rhs...)
	linalg.Solve(l, x)
	for _, v := range x {
		if v-v != 0 {
			return nil, false
		}
	}
	return x, true
}

// change returns what δ changes the loss by.
func (s *tableSystem) change(delta []float64) (sum float64) {
	for k, v := range delta {
		if v == 0 {
			continue
		}
		var row float64
		for l, u := range delta {
			row += float64(s.matrix[k*s.n+l] * u)
		}
		sum += float64(v * (row - 2*s.rhs[k]))
	}
	return sum
}

// roundPasses is how often the numbers of a table are rounded in turn.
const roundPasses = 3

// replace stores the tables of a system's least squares, if they lower the loss.
func (a *alternation) replace(s tableSystem) {
	delta, ok := s.least()
	if !ok {
		return
	}
	_, entries := a.tables.Tables()
	each := a.tables.RangeCols()
	old := make([]float32, 0, s.n)
	for c := 0; c < a.f.n; c += each {
		old = append(old, a.tables.Table(a.tables.TableOf(s.row, c))...)
	}
	fresh := make([]float32, s.n)
	for k, v := range delta {
		fresh[k] = codec.RoundTable(float32(float64(old[k]) + v))
		delta[k] = float64(fresh[k]) - float64(old[k])
	}
	for range roundPasses {
		if !s.descend(old, fresh, delta) {
			break
		}
	}
	if !(s.change(delta) < 0) || slices.ContainsFunc(fresh, func(v float32) bool { return v-v != 0 }) {
		return
	}
	for i := 0; i*entries < s.n; i++ {
		a.tables.SetTable(a.tables.TableOf(s.row, i*each), fresh[i*entries:(i+1)*entries])
	}
}

// descend rounds each number again, to where the loss is least while the others stay, and reports whether any changed.
func (s *tableSystem) descend(old, fresh []float32, delta []float64) (changed bool) {
	for k, v := range delta {
		own, slope := s.matrix[k*s.n+k], s.rhs[k]
		if !(own > 0) {
			continue
		}
		for l, u := range delta {
			slope -= float64(s.matrix[k*s.n+l] * u)
		}
		next := codec.RoundTable(float32(float64(old[k]) + v + slope/own))
		step := float64(next) - float64(fresh[k])
		if step == 0 || math.IsInf(float64(next), 0) || !(float64(step*(float64(step*own)-2*slope)) < 0) {
			continue
		}
		fresh[k], delta[k], changed = next, v+step, true
	}
	return changed
}

// decode sets q to what the codes stand for.
func (a *alternation) decode(b *bandSolver) {
	each := a.tables.RangeCols()
	for r := range b.rows {
		row := b.first + r
		q, codes, scale := b.q.Row(r), a.tables.Codes(row), a.tables.RowScale(row)
		for c := 0; c < len(q); c += each {
			table := a.tables.Table(a.tables.TableOf(row, c))
			for i := c; i < min(len(q), c+each); i++ {
				q[i] = scale * table[codes[i]]
			}
		}
	}
}
