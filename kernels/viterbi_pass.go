package kernels

import (
	"unsafe"
)

// viterbiPass runs passes of vector kernels over a trellis in which every step has at least viterbiLanes nodes. Decisions are kept
// as masks of 32 nodes, for each row of states d<<(L-k)|e that leads to them: the bit says that row d is better than all
// above it. That of row 0 may say anything.
type viterbiPass struct {
	v      *Viterbi
	l      level
	kinds  []viterbiStep       // of each step
	masks  []uint32            // stride of them a step
	lanes  [viterbiLanes]uint8 // which bit of a mask is a node's
	stride int
	next   []uint16
}

// viterbiStep is what a kernel is told of a step.
type viterbiStep struct {
	kind     int // the code to run
	row      int // bytes of a row of the table, which are those of the costs after the step
	in       int // bits of the step before
	groups   int // of four rows
	blocksIn int // blocks of 32 nodes before the step
	bits     int // its own
	up       int // bits of the node after it
}

// Kinds of steps: of four rows, of two, each after a step of one bit, of any number of rows with so many doublings; then the same
// with two values a step.
const (
	kindFour = iota
	kindTwo
	kindAfterOne
	kindRows   = 4 // … to kindRows+4
	kindPlanes = 9
)

// newViterbiPass returns nil if there are no kernels for such a trellis.
func newViterbiPass(v *Viterbi, l level) *viterbiPass {
	if l == generic || v.Doublings > 4 {
		return nil
	}
	p := &viterbiPass{v: v, l: l, kinds: make([]viterbiStep, len(v.Steps))}
	for t, k := range v.Steps {
		kin := int(v.Steps[(t+len(v.Steps)-1)%len(v.Steps)])
		nodes := v.L - int(k)
		kind := v.kind(int(k), kin)
		if 1<<nodes < viterbiLanes || kind < 0 {
			return nil
		}
		p.kinds[t] = viterbiStep{kind, 2 << nodes, kin, 1 << k / 4, 1 << (v.L - kin) / viterbiLanes, int(k), nodes}
	}
	for i := range p.lanes {
		p.lanes[i] = uint8(i)
		if l == avx2 { // the middle two of four groups of 8 change places
			p.lanes[i] = uint8(i&^24 | i&8<<1 | i&16>>1)
		}
	}
	p.stride = 1 << v.L / viterbiLanes
	p.next = aligned[uint16](v.Nodes() + viterbiLanes)
	return p
}

// kind returns the code for a step of k bits after one of kin, -1 if there is none.
func (v *Viterbi) kind(k, kin int) int {
	few := v.Doublings == 0 && kin <= 4 && v.L-k >= kin // half a block and a row follow whole nodes
	kind := kindRows + v.Doublings
	switch {
	case few && k == 1:
		kind = kindTwo
	case few && k == 2:
		kind = kindFour
	case k == 1 || kin == 1:
		return -1
	}
	if kin == 1 {
		kind += kindAfterOne
	}
	if v.V == 2 {
		kind += kindPlanes
	}
	return kind
}

// aligned returns n zeros that begin at a multiple of 64 bytes.
func aligned[T uint16 | uint32](n int) []T {
	s := make([]T, n+64)
	skip := -uintptr(unsafe.Pointer(&s[0])) % 64 / unsafe.Sizeof(s[0])
	return s[skip : int(skip)+n : int(skip)+n]
}

// run is Forward for steps from … to-1, all of one turn of the tile; decisions of step t go to masks[t·stride:], or nowhere that
// matters if keep is false. cost has viterbiLanes elements more than Nodes, which may be read.
func (p *viterbiPass) run(x []int16, from, to int, cost []uint16, keep bool) uint32 {
	if from == to {
		return 0
	}
	if p.masks == nil {
		p.masks = aligned[uint32](p.stride * len(p.kinds))
	}
	masks, stride := p.masks, 0
	if keep {
		masks, stride = masks[from*p.stride:], p.stride
	}
	total := viterbiSteps(p.l, x[from*p.v.V:], p.v.Table, 2<<p.v.L, &p.kinds[from], to-from, cost, p.next, masks, 4*stride)
	if (to-from)%2 == 1 {
		copy(cost, p.next[:p.v.Nodes()])
	}
	return total
}

// trace is viterbiSearch.trace.
func (p *viterbiPass) trace(d []uint16, path []uint32, e int) int {
	n := len(d)
	return viterbiTrace(d, path, &p.kinds[n-1], p.masks[(n-1)*p.stride:], 4*p.stride, &p.lanes, n, e)
}
