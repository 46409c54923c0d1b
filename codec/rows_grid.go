package codec

import (
	"slices"

	"pith/tensor"
)

// Fit stores the rows of largest norm by the first codec, the lower one among equals: a codec knows no more of rows. Method frequent chooses
// by how often they are read. Masks are not looked at.
func (c Rows) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := checkFit(c, w, importance); err != nil {
		return nil, err
	}
	o.Mask = nil
	norms := make([]float64, w.Rows)
	for r := range norms {
		for _, v := range w.Row(r) {
			norms[r] += float64(float64(v) * float64(v))
		}
	}
	g := &rowsGrid{codec: c, chosen: c.Choose(norms), cols: w.Cols}
	kinds := [2]Codec{c.a, c.b}
	for k, rows := range [2][]int{g.chosen, Others(g.chosen, w.Rows)} {
		var err error
		g.index[k], g.buf[k] = rows, GatherRows(w, rows)
		if g.grids[k], err = kinds[k].Fit(g.buf[k], importance, o); err != nil {
			return nil, largestError(w, c.Name(), err)
		}
	}
	return g, nil
}

// Choose returns the Marked rows of largest value, the lower one among equals, in rising order.
func (c Rows) Choose(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case values[i] > values[j]:
			return -1
		case values[i] < values[j]:
			return 1
		}
		return 0
	})
	chosen := order[:c.Marked(len(values))]
	slices.Sort(chosen)
	return chosen
}

// Others returns those of n rows that are not in chosen, which rises.
func Others(chosen []int, n int) []int {
	rest := make([]int, 0, n-len(chosen))
	for r := range n {
		if len(chosen) > 0 && chosen[0] == r {
			chosen = chosen[1:]
			continue
		}
		rest = append(rest, r)
	}
	return rest
}

// GatherRows returns a matrix of some rows of w, which it copies.
func GatherRows(w tensor.Mat, rows []int) tensor.Mat {
	m := tensor.NewMat(len(rows), w.Cols)
	for i, r := range rows {
		copy(m.Row(i), w.Row(r))
	}
	return m
}

// rowsGrid rounds the columns of both kinds of rows; index 0 is a's.
type rowsGrid struct {
	codec  Rows
	chosen []int
	cols   int
	grids  [2]Grid
	index  [2][]int
	buf    [2]tensor.Mat // what Round has of each kind
}

// Step is the least that both grids divide, all columns at most.
func (g *rowsGrid) Step() int {
	a, b := g.grids[0].Step(), g.grids[1].Step()
	if step := a / gcd(a, b) * b; step < g.cols {
		return step
	}
	return max(g.cols, 1)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (g *rowsGrid) Round(w tensor.Mat, c int) {
	end := min(c+g.Step(), g.cols)
	for k, grid := range g.grids {
		for i, r := range g.index[k] {
			copy(g.buf[k].Row(i)[c:end], w.Row(r)[c:end])
		}
		for at := c; at < end; at += grid.Step() {
			grid.Round(g.buf[k], at)
		}
		for i, r := range g.index[k] {
			copy(w.Row(r)[c:end], g.buf[k].Row(i)[c:end])
		}
	}
}

// RoundAll rounds both kinds of rows in their grids' fastest ways.
func (g *rowsGrid) RoundAll(w tensor.Mat) {
	for k, grid := range g.grids {
		RoundAll(grid, GatherRows(w, g.index[k]), 1)
	}
}

func (g *rowsGrid) Pack() Term {
	return g.codec.Join(g.chosen, g.grids[0].Pack(), g.grids[1].Pack())
}
