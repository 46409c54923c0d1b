package linalg

import (
	"math"

	"pith/internal/par"
	"pith/kernels"
)

// side is which columns of a vector are not zero.
type side uint8

const (
	first side = iota
	both
	second
)

// vectors is a square piece of a matrix of vectors by rows, from the diagonal element at on: its first columns are those before cut, its last
// ones those from there to width.
type vectors struct {
	z              Matrix
	at, cut, width int
}

func (v vectors) row(i int) []float64 { return v.z.Row(v.at + i)[v.at : v.at+v.width] }

// turn rotates rows a and b: a ← c·a + s·b, b ← c·b − s·a.
func (v vectors) turn(a, b int, c, s float64) { turnRows(v.row(a), v.row(b), c, s) }

func turnRows(x, y []float64, c, s float64) {
	for i, v := range x {
		x[i] = float64(c*v) + float64(s*y[i])
		y[i] = float64(c*y[i]) - float64(s*v)
	}
}

// arrangement is the order of rows in a product: those of first columns only, those of both, those of last columns only.
type arrangement struct {
	rows   []int // which they are
	places []int // where each goes
	sizes  [second + 1]int
}

func arrange(rows []int, sides []side) arrangement {
	a := arrangement{rows: rows, places: make([]int, len(rows))}
	for _, r := range rows {
		a.sizes[sides[r]]++
	}
	next := [...]int{0, a.sizes[first], a.sizes[first] + a.sizes[both]}
	for i, r := range rows {
		a.places[i] = next[sides[r]]
		next[sides[r]]++
	}
	return a
}

// combine sets the first rows to u times the arranged ones, whose columns u's are in the order of their places, and moves the rows that are gone
// behind them.
func (v vectors) combine(u Dense, a arrangement, gone []int, c crew) {
	left, right := NewDense(a.sizes[first]+a.sizes[both], v.cut), NewDense(a.sizes[both]+a.sizes[second], v.width-v.cut)
	skip := a.sizes[first] // places that have no last columns
	for i, r := range a.rows {
		at := a.places[i]
		if at < left.Rows {
			copy(left.Row(at), v.row(r)[:v.cut])
		}
		if at >= skip {
			copy(right.Row(at-skip), v.row(r)[v.cut:])
		}
	}
	moved := NewDense(len(gone), v.width)
	for i, r := range gone {
		copy(moved.Row(i), v.row(r))
	}
	for i := range moved.Rows {
		copy(v.row(u.Rows+i), moved.Row(i))
	}
	par.Ranges(c.workers, u.Rows, strip, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			clear(v.row(i))
		}
		at := (v.at+lo)*v.z.N + v.at
		if left.Rows > 0 {
			kernels.Gemm64NN(v.z.Data[at:], v.z.N, u.Data[lo*u.Cols:], u.Cols, left.Data, left.Cols, hi-lo, left.Cols, left.Rows)
		}
		if right.Rows > 0 && right.Cols > 0 {
			kernels.Gemm64NN(v.z.Data[at+v.cut:], v.z.N, u.Data[lo*u.Cols+skip:], u.Cols, right.Data, right.Cols, hi-lo, right.Cols, right.Rows)
		}
	})
}

// normalizeTo sets to to x/‖x‖.
func normalizeTo(to, x []float64) {
	f := 1 / math.Sqrt(kernels.Dot64(x, x))
	for i, v := range x {
		to[i] = v * f
	}
}
