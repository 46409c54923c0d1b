//go:build !noasm

package kernels

// hadamard runs the stages of distances 1, 2, 4, 8 inside runs of 16 numbers, then two stages a pass over memory, then a last
// single one if their number is odd. Each stage does what hadamardPlain's does, so the bytes are the same.
func hadamard(l level, x []float32) {
	n := len(x)
	checkPower(n)
	if l == generic || n < 16 {
		hadamardPlain(x)
		return
	}
	first, quad, pair := hadamardRuns256, hadamardQuads256, hadamardPairs256
	if l == avx512 {
		first, quad, pair = hadamardRuns512, hadamardQuads512, hadamardPairs512
	}
	scaleAt := func(next int) float32 { // the scale of a pass after which distance next would come
		if next < n {
			return 1
		}
		return hadamardScale(n)
	}
	first(&x[0], n/16, scaleAt(16))
	h := 16
	for ; 4*h <= n; h *= 4 {
		quad(&x[0], n/(4*h), h/16, scaleAt(4*h))
	}
	if h < n {
		pair(&x[0], n/(2*h), h/16, scaleAt(2*h))
	}
}

func flipSigns(l level, x []float32, signs []uint64) {
	if len(signs) < (len(x)+63)/64 {
		panic("kernels: FlipSigns with fewer signs than entries")
	}
	runs := len(x) / 64
	if l == generic || runs == 0 {
		flipSignsPlain(x, signs)
		return
	}
	if l == avx512 {
		flipSigns512(&x[0], &signs[0], runs)
	} else {
		flipSigns256(&x[0], &signs[0], runs)
	}
	flipSignsPlain(x[runs*64:], signs[runs:])
}
