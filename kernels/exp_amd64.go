//go:build !noasm

package kernels

// maxBlocks raises tops[i%16] to x[i] over the whole blocks of 16 and returns how many elements those are.
func maxBlocks(l level, x []float32, tops *[16]float32) int {
	blocks := len(x) / 16
	switch {
	case blocks == 0 || l == generic:
		for i := range blocks * 16 {
			tops[i%16] = max(tops[i%16], x[i])
		}
	case l == avx512:
		max512(&x[0], &tops[0], blocks)
	default:
		max256(&x[0], &tops[0], blocks)
	}
	return blocks * 16
}

func expSumBlocks(l level, x []float32, shift float32, sums *[16]float32) int {
	blocks := len(x) / 16
	switch {
	case blocks == 0 || l == generic:
		return 0
	case l == avx512:
		expSum512(&x[0], shift, &sums[0], &expTable[0][0], blocks)
	default:
		expSum256(&x[0], shift, &sums[0], &expTable[0][0], blocks)
	}
	return blocks * 16
}

func siluMulBlocks(l level, gate, up []float32) int {
	blocks := len(gate) / 16
	switch {
	case blocks == 0 || l == generic:
		return 0
	case l == avx512:
		siluMul512(&gate[0], &up[0], &expTable[0][0], blocks)
	default:
		siluMul256(&gate[0], &up[0], &expTable[0][0], blocks)
	}
	return blocks * 16
}
