package linalg

import (
	"cmp"
	"math"
	"slices"

	"pith/internal/par"
	"pith/kernels"
)

// svdLeaf is the size of bidiagonal matrices that QR steps diagonalize: with a column more it is kernels.RotateColumns.
const svdLeaf = kernels.RotateColumns - 1

// parted is an upper bidiagonal matrix on its way from singular values and vectors of pieces to those of the whole (Gu and Eisenstat, "A divide-and-
// conquer algorithm for the bidiagonal SVD", 1995; LAPACK's dbdsdc). A piece of n rows has n columns, or one more, which couples it to the row
// below it: then row n of its right vectors is the direction that it maps to zero.
type parted struct {
	crew
	d, e        []float64
	left, right Matrix // vectors as rows, within the piece that they belong to
	order       []int  // of each piece: its rows, by ascending d, counted from its first
}

// negligible is what counts as nothing in a matrix whose elements are 1 at most. It stands for zeros that something is divided by; its square is
// far from the least number.
const negligible = 0x1p-300

// bandPiece is some rows of a bidiagonal matrix.
type bandPiece struct {
	piece
	wide bool // has a column more
}

// conquer returns the singular values, none below zero and in no order, and left and right vectors as rows.
func (b *bidiagonal) conquer(c crew) (s []float64, left, right Matrix, err error) {
	n := b.n
	v := &parted{c, b.diagonal, b.off, NewMatrix(n), NewMatrix(n), make([]int, n)}
	if n == 0 {
		return v.d, v.left, v.right, nil
	}
	var levels [][]bandPiece
	for level := []bandPiece{{piece{0, n, 0}, false}}; len(level) > 0; {
		var next []bandPiece
		for i, p := range level {
			if p.n <= svdLeaf {
				continue
			}
			half := p.n / 2 // the row that joins the two parts
			level[i].cut = half
			next = append(next, bandPiece{piece{p.at, half, 0}, true}, bandPiece{piece{p.at + half + 1, p.n - half - 1, 0}, p.wide})
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
			if p := level[j]; c.stopped() {
				failed[j] = c.ctx.Err()
			} else if p.cut == 0 {
				failed[j] = v.leaf(p)
			} else {
				failed[j] = v.merge(p, inner)
			}
		})
		for _, err := range failed {
			if err != nil {
				return nil, left, right, err
			}
		}
	}
	return v.d, v.left, v.right, nil
}

// sort settles the order of a piece.
func (v *parted) sort(p bandPiece) {
	order, d := v.order[p.at:p.at+p.n], v.d[p.at:p.at+p.n]
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d[i], d[j]) })
}

// leaf diagonalizes a small piece. Its last column, if it has one more than rows, is turned into the others first.
func (v *parted) leaf(p bandPiece) error {
	const ld = kernels.RotateColumns
	n := p.n
	left, right := padded{ld, make([]float64, ld*ld)}, padded{ld, make([]float64, ld*ld)}
	for i := range ld {
		left.row(i)[i], right.row(i)[i] = 1, 1
	}
	d, e := v.d[p.at:p.at+n], make([]float64, n)
	columns := n
	copy(e, v.e[p.at:p.at+n-1])
	if p.wide {
		columns++
		beside := v.e[p.at+n-1]
		for i := n - 1; i >= 0; i-- {
			c, s, r := rotation(d[i], beside)
			d[i] = r
			if i > 0 {
				beside = -float64(s * e[i-1])
				e[i-1] = float64(c * e[i-1])
			}
			turnRows(right.row(i), right.row(n), c, s)
		}
	}
	q := &chase{d: d, e: e, left: left, right: right}
	if err := q.run(); err != nil {
		return err
	}
	for i := range columns {
		if i < n && d[i] < 0 {
			d[i] = -d[i]
			for j, x := range right.row(i) {
				right.row(i)[j] = -x
			}
		}
		if i < n {
			copy(v.left.Row(p.at + i)[p.at:p.at+n], left.row(i))
		}
		copy(v.right.Row(p.at + i)[p.at:p.at+columns], right.row(i))
	}
	v.sort(p)
	return nil
}

// seam is two pieces that become one, with the row between them: in the basis of their vectors the row z upon the diagonal d, whose element
// in that row is zero.
type seam struct {
	left, right vectors
	middle      int
	d, z        []float64
	sides       []side
	kept        []int // rows that take part, ascending by d; the middle is the first
	gone        []int // rows that are singular vectors already
}

// merge makes one piece of its two parts.
func (v *parted) merge(p bandPiece, c crew) error {
	columns := p.n
	if p.wide {
		columns++
	}
	mid := p.cut
	j := &seam{left: vectors{v.left, p.at, mid + 1, p.n}, right: vectors{v.right, p.at, mid + 1, columns}, middle: mid,
		d: v.d[p.at : p.at+p.n], z: make([]float64, columns), sides: make([]side, p.n)}
	alpha, beta := j.d[mid], v.e[p.at+mid]
	for i := range columns {
		if i <= mid {
			j.z[i] = float64(alpha * j.right.row(i)[mid])
		} else {
			j.z[i] = float64(beta * j.right.row(i)[mid+1])
			if i < p.n {
				j.sides[i] = second
				v.order[p.at+i] += mid + 1
			}
		}
	}
	j.d[mid] = 0
	clear(j.left.row(mid))
	j.left.row(mid)[mid] = 1
	if p.wide { // of the two directions that the parts map to zero, one stays one of the whole
		if h := hypot(j.z[mid], j.z[p.n]); h > 0 {
			j.right.turn(mid, p.n, j.z[mid]/h, j.z[p.n]/h)
			j.z[mid] = h
			j.sides[mid] = both
		}
	}
	order := slices.Concat(v.order[p.at:p.at+mid], v.order[p.at+mid+1:p.at+p.n])
	j.deflate(order, max(math.Abs(alpha), math.Abs(beta)))
	if err := j.solve(c); err != nil {
		return err
	}
	v.sort(p)
	return nil
}

// deflate sorts rows into those that take part and those whose weight in z is nothing, turning pairs of equal d so that one of each has none.
func (j *seam) deflate(order []int, largest float64) {
	for _, v := range j.d {
		largest = max(largest, v)
	}
	tolerance := max(8*2*epsilon*largest, negligible)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(j.d[a], j.d[b]) })
	if math.Abs(j.z[j.middle]) <= tolerance {
		j.z[j.middle] = tolerance
	}
	j.kept = append(j.kept, j.middle)
	last := -1
	for _, i := range order {
		switch {
		case math.Abs(j.z[i]) <= tolerance:
			j.gone = append(j.gone, i)
			continue
		case last >= 0 && j.d[i]-j.d[last] <= tolerance:
			tau := hypot(j.z[last], j.z[i])
			c, s := j.z[i]/tau, -j.z[last]/tau
			j.z[last], j.z[i] = 0, tau
			if j.sides[last] != j.sides[i] {
				j.sides[last], j.sides[i] = both, both
			}
			j.left.turn(last, i, c, s)
			j.right.turn(last, i, c, s)
			j.gone = append(j.gone, last)
		case last >= 0:
			j.kept = append(j.kept, last)
		}
		last = i
	}
	if last >= 0 {
		j.kept = append(j.kept, last)
	}
	if len(j.kept) > 1 {
		j.d[j.kept[1]] = max(j.d[j.kept[1]], tolerance/2) // apart from the middle's zero
	}
}

// solve finds singular values and vectors of the rows that take part. They become the first rows of the piece, those that are gone follow. With
// λ = σ² a root, right vectors are z/(d²−λ) and left ones d·z/(d²−λ), −1 in the middle.
func (j *seam) solve(c crew) error {
	k := len(j.kept)
	s := secular{d: make([]float64, k), z: make([]float64, k), rho: 1, squared: true}
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
	v := NewDense(k, k)
	par.Ranges(c.workers, k, grain, func(lo, hi int) {
		x, y := make([]float64, k), make([]float64, k)
		for i := lo; i < hi; i++ {
			for q, delta := range u.Row(i) {
				at := places.places[q]
				x[at] = weights[q] / delta
				y[at] = float64(s.d[q] * x[at])
			}
			y[places.places[0]] = -1
			normalizeTo(v.Row(i), x)
			normalizeTo(u.Row(i), y)
		}
	})
	for _, r := range j.gone {
		values = append(values, j.d[r])
	}
	copy(j.d, values)
	j.left.combine(u, places, j.gone, c)
	j.right.combine(v, places, j.gone, c)
	return nil
}
