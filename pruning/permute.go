package pruning

import (
	"slices"

	"pith/internal/par"
	"pith/tensor"
)

// permuteRows bounds the rows that Permute looks at, and permutePasses how often it visits every column.
const (
	permuteRows   = 256
	permutePasses = 20
)

// Permute returns an order of the columns in which a pattern N:M keeps more: order[p] is the column that comes to position p. Columns of
// different groups are swapped in turn, each with the one that raises the sum of kept scores most, until no swap does (after Pool and Yu 2021,
// "Channel permutations for N:M sparsity"). Of many rows it looks at 256 spread evenly.
func Permute(scores tensor.Mat, g Group, workers int) []int {
	p := newPermuter(sampled(scores), g, workers)
	for range permutePasses {
		swapped := false
		for at := range p.order {
			if other, gain := p.best(at); gain > p.least {
				p.swap(at, other)
				swapped = true
			}
		}
		if !swapped {
			break
		}
	}
	return p.order
}

// sampled returns at most permuteRows rows, in the middle of equal ranges.
func sampled(m tensor.Mat) tensor.Mat {
	if m.Rows <= permuteRows {
		return m
	}
	out := tensor.NewMat(permuteRows, m.Cols)
	for i := range out.Rows {
		copy(out.Row(i), m.Row((2*i+1)*m.Rows/(2*out.Rows)))
	}
	return out
}

// permuter is an order of columns and what its groups keep. Scores and rivals are column by column.
type permuter struct {
	g       Group
	workers int
	rows    int
	order   []int
	scores  [][]float32 // of each column
	// rivals of a column are, row by row, what it must exceed to be kept: of a group of which n stay, the n-th highest of the others.
	rivals [][]float32
	own    []float64 // Σ max(score, rival) of each column
	gains  []float64 // of swaps, by position
	least  float64   // gain that counts as one
}

func newPermuter(scores tensor.Mat, g Group, workers int) *permuter {
	p := &permuter{g: g, workers: workers, rows: scores.Rows, own: make([]float64, scores.Cols), gains: make([]float64, scores.Cols)}
	for c := range scores.Cols {
		column := make([]float32, scores.Rows)
		for r := range column {
			column[r] = scores.Row(r)[c]
			p.least += float64(abs(column[r]))
		}
		p.order, p.scores, p.rivals = append(p.order, c), append(p.scores, column), append(p.rivals, make([]float32, scores.Rows))
	}
	p.least *= 1e-9
	for at := 0; at < scores.Cols; at += g.M {
		p.rank(at)
	}
	return p
}

// rank finds the rivals of the group that position at is of.
func (p *permuter) rank(at int) {
	first := at / p.g.M * p.g.M
	members := p.order[first:min(len(p.order), first+p.g.M)]
	kept := p.g.of(len(members))
	values := make([]float32, len(members))
	for _, c := range members {
		p.own[c] = 0
	}
	for r := range p.rows {
		for i, c := range members {
			values[i] = p.scores[c][r]
		}
		slices.SortFunc(values, func(a, b float32) int {
			switch {
			case a > b:
				return -1
			case a < b:
				return 1
			}
			return 0
		})
		var next float32 // the highest that does not stay
		if kept < len(values) {
			next = values[kept]
		}
		for _, c := range members {
			rival := values[kept-1]
			if p.scores[c][r] >= rival {
				rival = next
			}
			p.rivals[c][r] = rival
			p.own[c] += float64(max(rival, p.scores[c][r]))
		}
	}
}

// best returns the position whose column position at would best be swapped with, and what the sum of kept scores gains.
func (p *permuter) best(at int) (other int, gain float64) {
	mine := p.order[at]
	par.Ranges(p.workers, len(p.order), 64, func(lo, hi int) {
		for q := lo; q < hi; q++ {
			p.gains[q] = 0
			if q/p.g.M != at/p.g.M {
				p.gains[q] = p.swapped(mine, p.order[q])
			}
		}
	})
	for q, v := range p.gains {
		if v > gain {
			other, gain = q, v
		}
	}
	return other, gain
}

// swapped returns by how much a swap of two columns raises the sum of kept scores.
func (p *permuter) swapped(a, b int) float64 {
	sa, sb, ra, rb := p.scores[a], p.scores[b], p.rivals[a], p.rivals[b]
	sb, ra, rb = sb[:len(sa)], ra[:len(sa)], rb[:len(sa)]
	var sum float64
	for r, v := range sa {
		sum += float64(max(v, rb[r])) + float64(max(sb[r], ra[r]))
	}
	return sum - p.own[a] - p.own[b]
}

func (p *permuter) swap(a, b int) {
	p.order[a], p.order[b] = p.order[b], p.order[a]
	p.rank(a)
	p.rank(b)
}
