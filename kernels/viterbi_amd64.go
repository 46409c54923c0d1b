//go:build !noasm

package kernels

func viterbiSteps(l level, x, table []int16, plane int, step *viterbiStep, n int, cost, next []uint16, masks []uint32, stride int) uint32 {
	f := viterbix256
	if l == avx512 {
		f = viterbix512
	}
	return f(&x[0], &table[0], plane, &step.kind, n, &cost[0], &next[0], &masks[0], stride)
}

// viterbiLane returns which bit of a mask is a lane's, and what a mask is inverted with.
func viterbiLane(l level, lane int) (bit int, flip uint32) {
	if l == avx512 {
		return lane, 0
	}
	return lane&^24 | lane&8<<1 | lane&16>>1, 1<<32 - 1
}
