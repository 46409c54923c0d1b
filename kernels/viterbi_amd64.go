//go:build !noasm

package kernels

func viterbiSteps(l level, x, table []int16, plane int, step *viterbiStep, n int, cost, next []uint16, masks []uint32, stride int) uint32 {
	f := viterbix256
	if l == avx512 {
		f = viterbix512
	}
	return f(&x[0], &table[0], plane, &step.kind, n, &cost[0], &next[0], &masks[0], stride)
}

func viterbiTrace(d []uint16, path []uint32, last *viterbiStep, masks []uint32, stride int, lanes *[viterbiLanes]uint8, n, e int) int {
	return viterbiTracex256(&d[0], &path[0], &last.kind, &masks[0], stride, &lanes[0], n, e)
}
