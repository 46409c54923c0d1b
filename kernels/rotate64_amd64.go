//go:build !noasm

package kernels

func rotateChain64(l level, z []float64, ld int, cs []float64) {
	n := len(cs) / 2
	switch l {
	case avx512:
		rotateChain64x512(&z[n*ld], -8*ld, &cs[0], n)
	case avx2:
		rotateChain64x256(&z[n*ld], -8*ld, &cs[0], n)
	default:
		rotateChain64Plain(z, ld, cs)
	}
}

func rotateChainDown64(l level, z []float64, ld int, cs []float64) {
	n := len(cs) / 2
	switch l {
	case avx512:
		rotateChain64x512(&z[0], 8*ld, &cs[0], n)
	case avx2:
		rotateChain64x256(&z[0], 8*ld, &cs[0], n)
	default:
		rotateChainDown64Plain(z, ld, cs)
	}
}

func dotBlocks64(l level, x, y []float64, blocks int) float64 {
	switch l {
	case avx512:
		return dot64x512(&x[0], &y[0], blocks)
	case avx2:
		return dot64x256(&x[0], &y[0], blocks)
	}
	return dot64Plain(x, y, blocks)
}

func rank2Sub64(l level, y []float64, f float64, x []float64, g float64, w []float64, blocks int) {
	switch l {
	case avx512:
		rank2Sub64x512(&y[0], f, &x[0], g, &w[0], blocks)
	case avx2:
		rank2Sub64x256(&y[0], f, &x[0], g, &w[0], blocks)
	default:
		rank2Sub64Plain(y[:blocks*block64], f, x, g, w, 0)
	}
}
