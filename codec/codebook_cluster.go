package codec

import (
	"math"
	"slices"
)

// clusterQuantiles is how many quantiles say how a row's weights are distributed: the distance of two rows' vectors of quantiles is about
// the Wasserstein distance of their distributions, what one table for both costs.
const clusterQuantiles = 16

// clusterPasses bounds k-means over rows.
const clusterPasses = 25

// cluster returns the group of each row: k-means over the quantiles of the rows' weights (in units of their root mean square where rows
// have scales), which starts from groups of equal size in the order of spread (scales: of how much the tails weigh). Ties go to
// the lower group; groups that end up empty stay so. No step depends on anything but the weights.
func (f *tableFitter) cluster() []uint16 {
	n := f.tables(f.rows, f.cols)
	group := make([]uint16, f.rows)
	if n <= 1 || f.cols == 0 {
		return group
	}
	features := f.quantiles()
	order := make([]int, f.rows)
	keys := make([]float64, f.rows)
	for r := range order {
		order[r], keys[r] = r, spreadOf(features[r])
		if f.scaled {
			keys[r] = features[r][clusterQuantiles-1] - features[r][0]
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case keys[a] < keys[b]:
			return -1
		case keys[a] > keys[b]:
			return 1
		}
		return 0
	})
	for i, r := range order {
		group[r] = uint16(i * n / f.rows)
	}
	for range clusterPasses {
		if !reassign(group, features, centersOf(group, features, n)) {
			break
		}
	}
	return group
}

type quantileVector [clusterQuantiles]float64

// quantiles returns the quantiles of every row's weights.
func (f *tableFitter) quantiles() []quantileVector {
	out := make([]quantileVector, f.rows)
	sorted := make([]float32, f.cols)
	for r := range out {
		copy(sorted, f.w.Row(r))
		slices.Sort(sorted)
		unit := 1.0
		if s := f.rowScale(r); s > 0 {
			unit = 1 / float64(s)
		}
		for i := range out[r] {
			out[r][i] = float64(sorted[(2*i+1)*f.cols/(2*clusterQuantiles)]) * unit
		}
	}
	return out
}

// spreadOf returns the root mean square of a vector of quantiles.
func spreadOf(q quantileVector) float64 {
	var sum float64
	for _, v := range q {
		sum += float64(v * v)
	}
	return math.Sqrt(sum)
}

// centersOf returns the mean of each group's vectors; empty groups have none, which nothing is near to.
func centersOf(group []uint16, features []quantileVector, n int) []quantileVector {
	centers, counts := make([]quantileVector, n), make([]float64, n)
	for r, g := range group {
		counts[g]++
		for i, v := range features[r] {
			centers[g][i] += v
		}
	}
	for g := range centers {
		for i := range centers[g] {
			centers[g][i] /= counts[g] // 0/0 is not a number
		}
	}
	return centers
}

// reassign moves each vector to the nearest center, and reports whether any moved.
func reassign(group []uint16, features []quantileVector, centers []quantileVector) (moved bool) {
	for r, q := range features {
		at, best := group[r], math.Inf(1)
		for g, c := range centers {
			var d float64
			for i, v := range q {
				u := v - c[i]
				d += float64(u * u)
			}
			if d < best {
				at, best = uint16(g), d
			}
		}
		if at != group[r] {
			group[r], moved = at, true
		}
	}
	return moved
}
