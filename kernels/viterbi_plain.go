package kernels

import (
	"math"
)

// metric is the cost of value c for target x.
func (v *Viterbi) metric(x, c int16) uint16 {
	d := saturated(int32(x) - int32(c))
	for range v.Doublings {
		d = saturated(2 * d)
	}
	return uint16((d*d + 1<<14) >> 15)
}

func saturated(d int32) int32 { return max(math.MinInt16, min(math.MaxInt16, d)) }

func saturatedSum(a, b uint16) uint16 { return uint16(min(uint32(a)+uint32(b), unreachable)) }

// metrics returns the cost of state s for the targets of a step.
func (v *Viterbi) metrics(x []int16, s int) uint16 {
	m := v.metric(x[0], v.Table[s])
	if v.V == 2 {
		m = saturatedSum(m, v.metric(x[1], v.Table[1<<v.L+s]))
	}
	return m
}

// forwardPlain is the definition of Forward.
func (v *Viterbi) forwardPlain(x []int16, from, to int, cost []uint16, back []uint16) uint32 {
	var total uint32
	nodes, steps := v.Nodes(), len(v.Steps)
	in := make([]uint16, nodes)
	metric := make([]uint16, 1<<v.L)
	for t := from; t < to; t++ {
		kin, k := int(v.Steps[(t+steps-1)%steps]), int(v.Steps[t%steps])
		copy(in, cost)
		if (t-from)%viterbiPeriod == 0 {
			total += uint32(normalize(in[:1<<(v.L-kin)]))
		}
		for s := range metric {
			metric[s] = v.metrics(x[t%steps*v.V:], s)
		}
		for e := range 1 << (v.L - k) {
			best, bits := uint16(unreachable), 0
			for d := range 1 << k {
				s := d<<(v.L-k) | e
				if c := saturatedSum(in[s>>kin], metric[s]); c < best {
					best, bits = c, d
				}
			}
			cost[e] = best
			if back != nil {
				back[(t-from)*nodes+e] = uint16(bits)
			}
		}
	}
	return total
}

// normalize subtracts the least cost from all that are not unreachable, and returns it.
func normalize(cost []uint16) uint16 {
	_, least := cheapest(cost)
	if least == unreachable {
		return 0
	}
	for i, c := range cost {
		if c != unreachable {
			cost[i] = c - least
		}
	}
	return least
}

// cheapest returns the first node with the least cost.
func cheapest(cost []uint16) (node int, least uint16) {
	least = cost[0]
	for i, c := range cost {
		if c < least {
			node, least = i, c
		}
	}
	return node, least
}
