package linalg

import (
	"cmp"
	"math"
	"slices"

	"pith/internal/par"
	"pith/kernels"
)

// leaf is the size of tridiagonal matrices that are diagonalized by QL steps.
const leaf = 32

// divided is a tridiagonal matrix on its way from eigenvalues and eigenvectors of pieces to those of the whole: Cuppen's method ("A divide and
// conquer method for the symmetric tridiagonal eigenproblem", 1981) with the deflation of Dongarra and Sorensen (1987) and the vectors of Gu and
// Eisenstat ("A stable and efficient algorithm for the rank-one modification of the symmetric eigenproblem", 1994), as LAPACK's dstedc.
type divided struct {
	crew
	d, off []float64
	z      Matrix // row i is the vector of d[i], within the piece that i belongs to
	order  []int  // of each piece: its rows, by ascending d, counted from its first
}

// piece is a part of the matrix, and where it is cut again (0: a leaf).
type piece struct{ at, n, cut int }

// conquer returns the eigenvalues, in no order, and the rows of vectors of a tridiagonal matrix whose largest element is about 1.
func (t *tridiagonal) conquer(c crew) ([]float64, Matrix, error) {
	n := len(t.diagonal)
	v := &divided{c, slices.Clone(t.diagonal), t.off, NewMatrix(n), make([]int, n)}
	var levels [][]piece
	for level := []piece{{0, n, 0}}; len(level) > 0; {
		var next []piece
		for i, p := range level {
			if p.n <= leaf {
				continue
			}
			level[i].cut = p.n / 2
			m := p.at + p.n/2
			beside := math.Abs(v.off[m-1])
			v.d[m-1] -= beside
			v.d[m] -= beside
			next = append(next, piece{p.at, p.n / 2, 0}, piece{m, p.n - p.n/2, 0})
		}
		levels = append(levels, level)
		level = next
	}
	for i := len(levels) - 1; i >= 0; i-- {
		level := levels[i]
		inner := c
		if len(level) >= 2*c.workers {
			inner.workers = 1
		}
		failed := make([]error, len(level))
		par.For(c.workers/inner.workers, len(level), func(j int) {
			if c.stopped() {
				return
			}
			if level[j].cut == 0 {
				failed[j] = v.leaf(level[j])
			} else {
				failed[j] = v.merge(level[j], inner)
			}
		})
		for _, err := range failed {
			if err != nil {
				return nil, Matrix{}, err
			}
		}
	}
	return v.d, v.z, nil
}

// leaf diagonalizes a small piece.
func (v *divided) leaf(p piece) error {
	t := tridiagonal{diagonal: v.d[p.at : p.at+p.n], off: make([]float64, p.n)}
	copy(t.off, v.off[p.at:p.at+p.n-1])
	ld := (p.n + kernels.RotateColumns - 1) / kernels.RotateColumns * kernels.RotateColumns
	z := padded{ld, make([]float64, p.n*ld)}
	for i := range p.n {
		z.data[i*ld+i] = 1
	}
	if err := t.diagonalize(z); err != nil {
		return err
	}
	for i := range p.n {
		copy(v.z.Row(p.at + i)[p.at:p.at+p.n], z.row(i))
	}
	v.sort(p)
	return nil
}

// sort settles the order of a piece.
func (v *divided) sort(p piece) {
	order, d := v.order[p.at:p.at+p.n], v.d[p.at:p.at+p.n]
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d[i], d[j]) })
}

// joint is two pieces that become one: diag(d) + rho·z·zᵀ in the basis of their vectors.
type joint struct {
	vectors
	rho   float64
	d, z  []float64
	sides []side
	kept  []int // rows that take part, ascending by d
	gone  []int // rows that are eigenvectors already
}

// merge makes one piece of its two parts.
func (v *divided) merge(p piece, c crew) error {
	j := &joint{vectors: vectors{v.z, p.at, p.cut, p.n}, d: v.d[p.at : p.at+p.n], z: make([]float64, p.n), sides: make([]side, p.n)}
	m := p.at + p.cut
	for i := range p.n {
		if i < p.cut {
			j.z[i] = v.z.Row(p.at + i)[m-1] / math.Sqrt2
		} else {
			j.z[i] = math.Copysign(1, v.off[m-1]) * v.z.Row(p.at + i)[m] / math.Sqrt2
			j.sides[i] = second
			v.order[p.at+i] += p.cut
		}
	}
	j.rho = 2 * math.Abs(v.off[m-1])
	j.deflate(v.order[p.at : p.at+p.n])
	if len(j.kept) > 0 {
		if err := j.solve(c); err != nil {
			return err
		}
	}
	v.sort(p)
	return nil
}

// deflate sorts rows into those that take part and those whose weight in z is nothing, turning pairs of nearly equal d so that one of
// each pair has none.
func (j *joint) deflate(pieces []int) {
	var largest float64
	for i, v := range j.z {
		largest = max(largest, math.Abs(v), math.Abs(j.d[i]))
	}
	tolerance := 8 * 2 * epsilon * largest
	order := slices.Clone(pieces)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(j.d[a], j.d[b]) })
	last := -1
	for _, i := range order {
		if j.rho*math.Abs(j.z[i]) <= tolerance {
			j.gone = append(j.gone, i)
			continue
		}
		if last >= 0 && !j.same(last, i, tolerance) {
			j.kept = append(j.kept, last)
		}
		last = i
	}
	if last >= 0 {
		j.kept = append(j.kept, last)
	}
}

// same rotates rows a and b so that a has no weight, if d of the two differ by nothing then. Row a is gone in that case.
func (j *joint) same(a, b int, tolerance float64) bool {
	tau := hypot(j.z[a], j.z[b])
	c, s := j.z[b]/tau, -j.z[a]/tau
	if math.Abs((j.d[b]-j.d[a])*c*s) > tolerance {
		return false
	}
	j.z[a], j.z[b] = 0, tau
	if j.sides[a] != j.sides[b] {
		j.sides[a], j.sides[b] = both, both
	}
	j.turn(a, b, c, s)
	cc, ss := float64(c*c), float64(s*s)
	j.d[a], j.d[b] = float64(j.d[a]*cc)+float64(j.d[b]*ss), float64(j.d[a]*ss)+float64(j.d[b]*cc)
	j.gone = append(j.gone, a)
	return true
}

// solve finds eigenvalues and vectors of the rows that take part. They become the first rows of the piece, those that are gone follow.
func (j *joint) solve(c crew) error {
	k := len(j.kept)
	s := secular{d: make([]float64, k), z: make([]float64, k), rho: j.rho}
	for i, r := range j.kept {
		s.d[i], s.z[i] = j.d[r], j.z[r]
		s.norm += float64(j.z[r] * j.z[r])
	}
	values, u, err := s.roots(c)
	if err != nil {
		return err
	}
	weights := s.weights(u, c)
	places := arrange(j.kept, j.sides)
	par.Ranges(c.workers, k, grain, func(lo, hi int) {
		x := make([]float64, k)
		for i := lo; i < hi; i++ {
			row := u.Row(i)
			for q, v := range row {
				x[places.places[q]] = weights[q] / v
			}
			normalizeTo(row, x)
		}
	})
	for _, r := range j.gone {
		values = append(values, j.d[r])
	}
	copy(j.d, values)
	j.combine(u, places, j.gone, c)
	return nil
}
