package structure

import (
	"math"
	"slices"
)

// Correlation is Spearman's rank correlation of two rankers' scores over all layers.
type Correlation struct {
	A        string  `json:"a"`
	B        string  `json:"b"`
	Spearman float64 `json:"spearman"`
}

// correlate fills Correlation: every pair of scores. A window's score counts for the layers in it, the best window of each; greedy's is the
// order of removal, layers that stay sharing the last place.
func (rep *Report) correlate() {
	n := len(rep.Layers)
	type scores struct {
		name   string
		values []float64 // low: leave it out first
	}
	all := []scores{{"bi", nil}, {"loo_kl", nil}, {"loo_perplexity", nil}, {"window", make([]float64, n)}, {"greedy", make([]float64, n)}}
	for _, s := range rep.Layers {
		all[0].values = append(all[0].values, s.Influence)
		all[1].values = append(all[1].values, s.KL)
		all[2].values = append(all[2].values, s.Perplexity)
	}
	for l := range n {
		all[3].values[l], all[4].values[l] = math.Inf(1), float64(n)
	}
	size := max(1, min(rep.Drop, n))
	for at := 0; at+size <= n; at++ {
		for l := at; l < at+size; l++ {
			all[3].values[l] = min(all[3].values[l], 1-rep.Similarity[at][size-1])
		}
	}
	for i, r := range rep.Removals {
		all[4].values[r.Layer] = float64(i)
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if rho := spearman(a.values, b.values); !math.IsNaN(rho) {
				rep.Correlation = append(rep.Correlation, Correlation{a.name, b.name, rho})
			}
		}
	}
}

// Between returns the rank correlation of two scores by their names, NaN if there is none (fewer than two layers, or all of one rank).
func (rep *Report) Between(a, b string) float64 {
	for _, c := range rep.Correlation {
		if c.A == a && c.B == b || c.A == b && c.B == a {
			return c.Spearman
		}
	}
	return math.NaN()
}

// spearman is Pearson's correlation of ranks; equal values share their mean rank. NaN if one side has a single rank.
func spearman(a, b []float64) float64 {
	x, y := ranks(a), ranks(b)
	mean := float64(len(a)-1) / 2
	var xy, xx, yy float64
	for i := range x {
		xy += (x[i] - mean) * (y[i] - mean)
		xx += (x[i] - mean) * (x[i] - mean)
		yy += (y[i] - mean) * (y[i] - mean)
	}
	return xy / math.Sqrt(xx*yy)
}

// ranks returns the place of each value in rising order from 0, the mean place among equals.
func ranks(v []float64) []float64 {
	sorted := slices.Clone(v)
	slices.Sort(sorted)
	out := make([]float64, len(v))
	for i, x := range v {
		lo, _ := slices.BinarySearch(sorted, x)
		hi := lo
		for hi < len(sorted) && sorted[hi] == x {
			hi++
		}
		out[i] = float64(lo+hi-1) / 2
	}
	return out
}
