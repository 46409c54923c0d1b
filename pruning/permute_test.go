package pruning

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// retained returns the sum of the scores that a pattern keeps of columns in an order.
func retained(scores tensor.Mat, g Group, order []int) (sum float64) {
	turned := tensor.NewMat(scores.Rows, scores.Cols)
	for r := range scores.Rows {
		for p, c := range order {
			turned.Row(r)[p] = scores.Row(r)[c]
		}
	}
	m := codec.NewMask(scores.Rows, scores.Cols)
	for c := 0; c < scores.Cols; c += g.M {
		k := min(g.M, scores.Cols-c)
		part := tensor.NewMat(scores.Rows, k)
		for r := range scores.Rows {
			copy(part.Row(r), turned.Row(r)[c:c+k])
		}
		g.Select(m, 0, c, part, g.Kept(scores.Rows, scores.Cols))
	}
	for r := range scores.Rows {
		for c, v := range turned.Row(r) {
			if m.Kept(r, c) {
				sum += float64(v)
			}
		}
	}
	return sum
}

func TestPermutationsKeepMore(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for _, cols := range []int{1, 3, 8, 43, 64} {
		for _, g := range []Group{{2, 4}, {4, 8}, {1, 3}, {7, 64}} {
			scores := tensor.NewMat(20, cols)
			scale := make([]float32, cols)
			for c := range scale {
				scale[c] = float32(rng.ExpFloat64())
			}
			before := make([]int, cols)
			for r := range 20 {
				for c := range cols {
					scores.Row(r)[c] = scale[c] * float32(rng.Float64())
					before[c] = c
				}
			}
			order := Permute(scores, g, 1)
			if !slices.Equal(order, Permute(scores, g, 3)) {
				t.Errorf("%d columns, %s: the order depends on workers", cols, g.Name())
			}
			a, b := retained(scores, g, before), retained(scores, g, order)
			if b < a || cols == 64 && g.M < 64 && b < a*1.01 {
				t.Errorf("%d columns, %s: %g is kept, %g before", cols, g.Name(), b, a)
			}
			slices.Sort(order)
			if !slices.Equal(order, before) {
				t.Errorf("%d columns, %s: not a permutation", cols, g.Name())
			}
		}
	}
}

// Columns that matter everywhere crowd the first groups; spread, they can all stay.
func TestPermutationsSpreadWhatMatters(t *testing.T) {
	scores := tensor.NewMat(5, 32)
	for r := range 5 {
		for c := range 16 {
			scores.Row(r)[c] = 1 + float32(c)/100
		}
	}
	order := Permute(scores, Group{2, 4}, 1)
	for at := 0; at < 32; at += 4 {
		heavy := 0
		for _, c := range order[at : at+4] {
			if c < 16 {
				heavy++
			}
		}
		if heavy != 2 {
			t.Errorf("a group has %d columns that matter: %v", heavy, order)
		}
	}
}
