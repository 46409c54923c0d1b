package codec

import (
	"math"
	"slices"
	"sort"
)

// points are weighted numbers on a line, sorted, with sums over the first i of them: what k-means in one dimension needs.
type points struct {
	list         []point
	keys         []uint64  // scratch
	w, wx, wxx   []float64 // Σ weight, Σ weight·v, Σ weight·v² of the first i
	mean, spread float64   // weighted
	bounds       []int     // scratch
}

type point struct{ v, weight float32 }

// set sorts list and adds it up. If no weight is positive, all are 1.
func (p *points) set(list []point) {
	p.keys, p.list = p.keys[:0], p.list[:0]
	for i, a := range list {
		p.keys = append(p.keys, ordered(a.v)<<32|uint64(i))
	}
	slices.Sort(p.keys)
	for _, k := range p.keys {
		p.list = append(p.list, list[uint32(k)])
	}
	list = p.list
	if !slices.ContainsFunc(list, func(a point) bool { return a.weight > 0 }) {
		for i := range list {
			list[i].weight = 1
		}
	}
	n := len(list) + 1
	p.w, p.wx, p.wxx = resized(p.w, n), resized(p.wx, n), resized(p.wxx, n)
	for i, a := range list {
		v, weight := float64(a.v), float64(a.weight)
		wx := weight * v
		p.w[i+1] = p.w[i] + weight
		p.wx[i+1] = p.wx[i] + wx
		p.wxx[i+1] = p.wxx[i] + float64(wx*v)
	}
	p.mean, p.spread = 0, 0
	if total := p.w[len(list)]; total > 0 {
		p.mean = p.wx[len(list)] / total
		p.spread = math.Sqrt(max(0, p.wxx[len(list)]/total-float64(p.mean*p.mean)))
	}
}

// ordered returns 32 bits that are ordered as numbers are.
func ordered(v float32) uint64 {
	u := math.Float32bits(v)
	if u>>31 == 1 {
		return uint64(^u)
	}
	return uint64(u | 1<<31)
}

// resized returns a slice of n numbers, the first 0, in the memory of s where that is enough.
func resized(s []float64, n int) []float64 {
	if cap(s) < n {
		s = make([]float64, n)
	}
	s = s[:n]
	s[0] = 0
	return s
}

// distinct sets centers to the different numbers, the last repeated, if they are few enough.
func (p *points) distinct(centers []float64) bool {
	n := 0
	for i, a := range p.list {
		if i > 0 && a.v == p.list[i-1].v {
			continue
		}
		if n == len(centers) {
			return false
		}
		centers[n] = float64(a.v)
		n++
	}
	for i := n; i < len(centers); i++ {
		centers[i] = 0
		if n > 0 {
			centers[i] = centers[n-1]
		}
	}
	return true
}

// lloydPasses bounds the alternations of lloyd, which mostly ends before.
const lloydPasses = 60

// lloyd moves ascending centers to the weighted means of what lies nearest to each, until that stays the same (Lloyd 1982), and returns
// Σ weight·(v - center)². A center that nothing is near to stays. The loss never rises from pass to pass.
func (p *points) lloyd(centers []float64) float64 {
	bounds := p.sized(len(centers) + 1)
	for range lloydPasses {
		if !p.assign(bounds, centers) {
			break
		}
		for i := range centers {
			lo, hi := bounds[i], bounds[i+1]
			if w := p.w[hi] - p.w[lo]; w > 0 {
				centers[i] = (p.wx[hi] - p.wx[lo]) / w
			}
		}
	}
	return p.loss(centers)
}

// loss returns Σ weight·(v - nearest center)² for ascending centers.
func (p *points) loss(centers []float64) (loss float64) {
	bounds := p.sized(len(centers) + 1)
	p.assign(bounds, centers)
	for i, m := range centers {
		lo, hi := bounds[i], bounds[i+1]
		w, wx, wxx := p.w[hi]-p.w[lo], p.wx[hi]-p.wx[lo], p.wxx[hi]-p.wxx[lo]
		loss += wxx - float64(m*(2*wx-float64(m*w)))
	}
	return loss
}

// sized returns n bounds that are none yet.
func (p *points) sized(n int) []int {
	if cap(p.bounds) < n {
		p.bounds = make([]int, n)
	}
	bounds := p.bounds[:n]
	for i := range bounds {
		bounds[i] = -1
	}
	return bounds
}

// assign sets bounds[i] … bounds[i+1] to the points nearest to center i, and reports whether any changed.
func (p *points) assign(bounds []int, centers []float64) (changed bool) {
	n, k := len(p.list), len(centers)
	for i := 0; i <= k; i++ {
		at := n
		switch {
		case i == 0:
			at = 0
		case i < k:
			middle := (centers[i-1] + centers[i]) / 2
			from := bounds[i-1]
			at = from + sort.Search(n-from, func(j int) bool { return float64(p.list[from+j].v) >= middle })
		}
		if bounds[i] != at {
			bounds[i], changed = at, true
		}
	}
	return changed
}

// quantiles spreads centers so that each has an equal share of the weight.
func (p *points) quantiles(centers []float64) {
	n := len(p.list)
	for i := range centers {
		share := p.w[n] * (float64(i) + 0.5) / float64(len(centers))
		at := sort.Search(n, func(j int) bool { return p.w[j+1] >= share })
		centers[i] = float64(p.list[min(at, n-1)].v)
	}
}

// gaussian sets centers to the Lloyd–Max levels of a Gaussian of the points' mean and spread.
func (p *points) gaussian(centers []float64, levels []float32) {
	for i, v := range levels {
		centers[i] = p.mean + float64(p.spread*float64(v))
	}
}

// means sets centers to the better of what lloyd makes of quantiles and of a Gaussian's levels, of which there are as many as centers.
func (p *points) means(centers []float64, levels []float32) {
	if len(p.list) == 0 {
		clear(centers)
		return
	}
	if p.distinct(centers) {
		return
	}
	p.gaussian(centers, levels)
	best := p.lloyd(centers)
	other := make([]float64, len(centers))
	p.quantiles(other)
	if p.lloyd(other) < best {
		copy(centers, other)
	}
}
