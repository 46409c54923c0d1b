package trellis

// viterbi is the search's definition until package kernels has it.
type viterbi struct {
	L, V  int
	Steps []uint8
	Table []int16
	wide  bool
}

func satSub(a, b int16) int32 { return min(max(int32(a)-int32(b), -32768), 32767) }

func (v *viterbi) metric(x []int16, t, s int) uint32 {
	var m uint32
	for j := range v.V {
		d := satSub(x[t*v.V+j], v.Table[j<<v.L+s])
		if v.wide {
			m += uint32(d*d) >> 4
			continue
		}
		m += uint32(d*d+0x4000) >> 15
	}
	if !v.wide {
		m = min(m, 0xffff)
	}
	return m
}

// forward runs steps [from, to).
func (v *viterbi) forward(x []int16, from, to int, cost []uint32, back []uint8, stride int) {
	limit := uint64(0xffff)
	if v.wide {
		limit = 0xffffffff
	}
	n := len(v.Steps)
	next := make([]uint32, len(cost))
	for t := from; t < to; t++ {
		i := t % n
		k, in := int(v.Steps[i]), int(v.Steps[(i+n-1)%n])
		nodes := 1 << (v.L - k)
		least := uint32(0xffffffff)
		for e := range nodes {
			best, which := uint64(1<<63), 0
			for d := range 1 << k {
				s := d<<(v.L-k) | e
				c := min(uint64(cost[s>>in])+uint64(v.metric(x, i, s)), limit)
				if c < best {
					best, which = c, d
				}
			}
			next[e] = uint32(best)
			back[(t-from)*stride+e] = uint8(which)
			least = min(least, next[e])
		}
		for e := range nodes {
			cost[e] = next[e] - least
		}
	}
}
