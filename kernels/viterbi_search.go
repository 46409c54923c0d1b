package kernels

import (
	"math"
	"math/bits"
)

// viterbiSearch is what one search after another uses: a trellis padded to viterbiLanes nodes, and memory.
type viterbiSearch struct {
	Viterbi
	padding   int // newest bits of a state that its values do not depend on
	window    int
	shift     int // targets are divided by 2^shift
	low, high [2]int16
	x         []int16
	cost      []uint16
	back      []uint8
	pass      *viterbiPass // nil: plain Go
	coarser   *viterbiSearch
}

func newViterbiSearch(v *Viterbi, l level) *viterbiSearch {
	s := &viterbiSearch{Viterbi: *v, window: v.Window}
	s.search = nil
	s.pad()
	if s.window == 0 {
		s.window = 128
	}
	steps, nodes := len(v.Steps), s.Nodes()
	s.window = min(s.window, steps)
	s.cost, s.x = aligned[uint16](nodes + viterbiLanes)[:nodes], make([]int16, v.V*steps)
	if s.pass = newViterbiPass(&s.Viterbi, l); s.pass == nil {
		s.back = make([]uint8, steps*nodes)
	}
	for i := range s.low {
		s.low[i], s.high[i] = math.MinInt16, math.MaxInt16
	}
	if v.Doublings > 0 {
		for i := range v.V {
			values := v.Table[i<<v.L:][:1<<v.L]
			s.low[i], s.high[i] = values[0], values[0]
			for _, c := range values {
				s.low[i], s.high[i] = min(s.low[i], c), max(s.high[i], c)
			}
		}
	}
	return s
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

// run searches once. It returns the path's cost and whether there is a path that does not saturate. Bits of the padding are not
// held at the seam, so that the path is one of the trellis without it.
func (v *viterbiSearch) run(d []uint8, x []int16) (uint32, bool) {
	steps := len(v.Steps)
	for i, t := range x {
		v.x[i] = max(v.low[i%v.V], min(v.high[i%v.V], t)) >> v.shift
	}
	half, ends := v.window/2, 1<<(v.L-int(v.Steps[steps-1]))
	clear(v.cost)
	v.forward(steps-half, steps, false)
	v.forward(0, half, true)
	seam := 0
	if half > 0 {
		e, _ := cheapest(v.cost[:1<<(v.L-int(v.Steps[half-1]))])
		seam = v.trace(d, half, e) >> v.padding << v.padding
	}
	for i := range v.cost[:ends] {
		v.cost[i] = unreachable
	}
	held := v.cost[seam : seam+1<<v.padding]
	clear(held)
	total := v.forward(0, steps, true)
	end, least := cheapest(held)
	v.trace(d, steps, seam+end)
	return total + uint32(least), least != unreachable
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

// trace follows the decisions of steps 0 … to-1 back from node e after them, writes their bits to d and returns the node
// before step 0.
func (v *viterbiSearch) trace(d []uint8, to, e int) int {
	if v.pass != nil {
		return v.pass.trace(d, to, e)
	}
	nodes, steps := v.Nodes(), len(v.Steps)
	for t := to - 1; t >= 0; t-- {
		k := v.back[t*nodes+e]
		d[t] = k
		e = (int(k)<<(v.L-int(v.Steps[t])) | e) >> v.Steps[(t+steps-1)%steps]
	}
	return e
}
