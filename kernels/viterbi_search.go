package kernels

import (
	"math"
	"math/bits"
	"slices"
)

// viterbiSearch is what one search after another uses: a trellis padded to viterbiLanes nodes, and memory.
type viterbiSearch struct {
	Viterbi
	padding   int // newest bits of a state that its values do not depend on
	lead      int
	shift     int // targets are divided by 2^shift
	low, high [2]int16
	x         []int16
	cost      []uint16
	back      []uint16
	path      []uint32
	pass      *viterbiPass // nil: plain Go
	coarser   *viterbiSearch
}

func newViterbiSearch(v *Viterbi, l level) *viterbiSearch {
	s := &viterbiSearch{Viterbi: *v, lead: v.Lead}
	s.search = nil
	s.pad()
	if s.lead == 0 {
		total := 0
		for _, k := range v.Steps {
			total += int(k)
		}
		s.lead = (v.L*v.L*len(v.Steps) + total - 1) / total
	}
	steps, nodes := len(v.Steps), s.Nodes()
	s.lead, s.path = min(s.lead, steps), make([]uint32, steps+1)
	s.cost, s.x = aligned[uint16](nodes + viterbiLanes)[:nodes], make([]int16, v.V*steps)
	if s.pass = newViterbiPass(&s.Viterbi, l); s.pass == nil {
		s.back = make([]uint16, steps*nodes)
	}
	s.setRange()
	return s
}

// setRange limits targets to the values' range and half of what a difference may be on either side, so that those beyond all values
// still tell the nearest from the next.
func (v *viterbiSearch) setRange() {
	for i := range v.low {
		v.low[i], v.high[i] = math.MinInt16, math.MaxInt16
	}
	if v.Doublings == 0 {
		return
	}
	for i := range v.V {
		values := v.Table[i<<v.L:][:1<<v.L]
		margin := int32(1) << 14 >> v.Doublings
		v.low[i] = int16(saturated(int32(slices.Min(values)) - margin))
		v.high[i] = int16(saturated(int32(slices.Max(values)) + margin))
	}
}

// pad gives states so many more bits, newer ones without meaning, that no step has fewer than viterbiLanes nodes.
func (v *viterbiSearch) pad() {
	k := 0
	for _, s := range v.Steps {
		k = max(k, int(s))
	}
	v.padding = max(0, k+bits.TrailingZeros(viterbiLanes)-v.L)
	if v.padding == 0 {
		return
	}
	table := make([]int16, len(v.Table)<<v.padding)
	for i := range table {
		table[i] = v.Table[i>>v.padding]
	}
	v.L, v.Table = v.L+v.padding, table
}

// coarse returns the same search with differences doubled once less often or, if they are not doubled, with a unit so large
// that costs do not saturate: a metric is at most 2048 then, and a node at most 16 steps away from the best one.
func (v *viterbiSearch) coarse() *viterbiSearch {
	if v.coarser != nil {
		return v.coarser
	}
	c := *v
	v.coarser = &c
	if c.Doublings > 0 {
		c.Doublings--
		c.setRange()
	} else {
		more := 2 + v.V
		c.shift += more
		c.Table = make([]int16, len(v.Table))
		for i, t := range v.Table {
			c.Table[i] = t >> more
		}
	}
	if c.pass != nil {
		c.pass = newViterbiPass(&c.Viterbi, c.pass.l)
	}
	return &c
}

// run searches once and returns whether it found a path whose cost does not saturate. Bits of the padding are not held at the
// seam, so that the path is one of the trellis without it.
func (v *viterbiSearch) run(d []uint16, x []int16) bool {
	steps := len(v.Steps)
	ends := 1 << (v.L - int(v.Steps[steps-1]))
	v.limit(x)
	clear(v.cost)
	v.forward(steps-v.lead, steps, false)
	v.forward(0, steps, true)
	e, _ := cheapest(v.cost[:ends])
	clear(v.path)
	seam := v.trace(d, e) >> v.padding
	for try := range 4 {
		held := v.cost[seam<<v.padding : (seam+1)<<v.padding]
		end, least := cheapest(held)
		if least == unreachable {
			return false
		}
		begin := v.trace(d, seam<<v.padding+end) >> v.padding
		switch {
		case begin == seam:
			return true
		case try < 2:
			seam = begin
			continue
		}
		for e := range v.cost {
			v.cost[e] = unreachable
		}
		clear(held)
		v.forward(0, steps, true)
		clear(v.path)
	}
	return false
}

// limit sets the search's own targets.
func (v *viterbiSearch) limit(x []int16) {
	if v.Doublings == 0 && v.shift == 0 {
		copy(v.x, x)
		return
	}
	for i, t := range x {
		v.x[i] = max(v.low[i%v.V], min(v.high[i%v.V], t)) >> v.shift
	}
}

// forward is Forward of the search's own targets and costs. Decisions are kept, or need not be.
func (v *viterbiSearch) forward(from, to int, keep bool) uint32 {
	switch {
	case v.pass != nil:
		return v.pass.run(v.x, from, to, v.cost, keep)
	case keep:
		return v.forwardPlain(v.x, from, to, v.cost, v.back[from*v.Nodes():])
	}
	return v.forwardPlain(v.x, from, to, v.cost, nil)
}

// trace follows the decisions of all steps back from node e after them, writes their bits to d and returns the node before step
// 0. It stops where it meets the path that was traced last; path keeps nodes plus one.
func (v *viterbiSearch) trace(d []uint16, e int) int {
	if v.pass != nil {
		return v.pass.trace(d, v.path, e)
	}
	nodes, steps := v.Nodes(), len(v.Steps)
	for t := steps - 1; t >= 0; t-- {
		if v.path[t+1] == uint32(e)+1 {
			return int(v.path[0]) - 1
		}
		v.path[t+1] = uint32(e) + 1
		k := v.back[t*nodes+e]
		d[t] = k
		e = (int(k)<<(v.L-int(v.Steps[t])) | e) >> v.Steps[(t+steps-1)%steps]
	}
	v.path[0] = uint32(e) + 1
	return e
}
