package kernels

import "math"

// Viterbi finds the cheapest tail-biting path of a target through a bit-shift trellis (Tseng, Sun, Hou, De Sa 2024,
// arXiv:2406.11235, section 3; the form over edges is that of ExLlamaV3). A tile of T steps is a ring of bits, Steps[t] of them
// belonging to step t. The state s of step t is the window of L bits that begins with the step's own, its oldest bit the highest:
//
//	s = d<<(L-Steps[t]) | e,  d = the bits of step t, e = the node after it
//
// so that the node before it, which step t-1 ended in, is s>>Steps[t-1] (steps are counted modulo T).
//
// All arithmetic is of integers: the search gives the same path on every machine. One goroutine uses a Viterbi at a time; fields
// and the table do not change after its first search.
type Viterbi struct {
	L     int     // bits of a state, 1 … 20
	V     int     // values of a step, 1 or 2
	Steps []uint8 // bits of each step, 1 … 10 and at most L
	// Table is V tables of 2^L values, one after the other, in the unit of the targets: 8192 to the targets' standard deviation
	// suits up to 4.5 bits a value.
	Table []int16
	// Doublings is how often a difference of target and value is doubled, with saturation, before it is squared: 0 as long as a
	// typical error is 100 units or more, one for each halving of it. Targets are limited to a little more than the table's range then.
	Doublings int
	// Lead is how many of the last steps are run before the first, so that nodes at the seam have costs; 0 is L² over the mean
	// bits of a step. More than all steps is all of them.
	Lead int

	search *viterbiSearch
}

const (
	// unreachable is the cost of a node that no path leads to, and of one that costs too much: nothing is added to it or
	// subtracted from it.
	unreachable = math.MaxUint16
	// viterbiLanes is the fewest nodes of a step in Search: trellises with fewer are padded.
	viterbiLanes = 32
	// viterbiPeriod is how many steps pass between two subtractions of the least cost.
	viterbiPeriod = 8
)

// Nodes returns the largest number of nodes between two steps, which is also the stride of the decisions of Forward.
func (v *Viterbi) Nodes() int {
	k := v.Steps[0]
	for _, s := range v.Steps {
		k = min(k, s)
	}
	return 1 << (v.L - int(k))
}

func (v *Viterbi) check(x []int16) {
	if v.L < 1 || v.L > 20 || v.V < 1 || v.V > 2 || len(v.Table) != v.V<<v.L || v.Doublings < 0 || v.Doublings > 8 || v.Lead < 0 {
		panic("kernels: trellis of a shape that cannot be")
	}
	if len(v.Steps) == 0 || len(x) != v.V*len(v.Steps) {
		panic("kernels: targets and steps of a trellis differ in number")
	}
	for _, k := range v.Steps {
		if k < 1 || k > 10 || int(k) > v.L {
			panic("kernels: step of a trellis outside 1 … 10 bits")
		}
	}
}

// Forward runs steps from … to-1, counted modulo the tile, of all paths at once. x holds all targets of the tile, V of a step
// together. cost is, on entry, of the 2^(L-k) nodes before step from, k the bits of the step before it, and on return of those after
// step to-1; its length is at least Nodes(). If back is not nil, back[(t-from)*Nodes()+e] becomes the bits d of step t by which
// the cheapest path comes to node e, the lowest of equals. What is returned was subtracted from all costs.
//
// The metric of a difference d of target and value, saturated to int16, is d*d/32768 rounded; costs saturate. Before every eighth
// step the least cost is subtracted from all.
func (v *Viterbi) Forward(x []int16, from, to int, cost []uint16, back []uint16) uint32 {
	v.check(x)
	nodes := v.Nodes()
	if from < 0 || to < from || len(cost) < nodes || back != nil && len(back) < (to-from)*nodes {
		panic("kernels: steps, costs or decisions of a trellis out of range")
	}
	return v.forwardPlain(x, from, to, cost, back)
}

// Search writes the bits of each step of a path to d. It runs over the last Lead steps and, with the costs they leave, over the
// tile. The cheapest path comes from some node at the seam; the cheapest that ends in that node mostly comes from it as well,
// and is the result. If it comes from another, that one is tried, and its successor; then the tile is run again from the last
// alone (the second pass of the paper's section 4.2). So the result is the cheapest path from its node at the seam to itself, as
// long as the costs of good paths do not saturate. Where they do (many outliers in a row), the search is made again with
// coarser costs.
func (v *Viterbi) Search(d []uint16, x []int16) {
	if v.search == nil {
		v.check(x)
		total := 0
		for _, k := range v.Steps {
			total += int(k)
		}
		if total < v.L {
			panic("kernels: trellis tile shorter than a state")
		}
		v.search = newViterbiSearch(v, chosen)
	}
	if len(x) != v.V*len(v.Steps) || len(d) != len(v.Steps) {
		panic("kernels: targets and steps of a trellis differ in number")
	}
	s := v.search
	for !s.run(d, x) {
		s = s.coarse()
	}
}
