//go:build !amd64 || noasm

package kernels

func hadamard(_ level, x []float32) {
	checkPower(len(x))
	hadamardPlain(x)
}

func flipSigns(_ level, x []float32, signs []uint64) { flipSignsPlain(x, signs) }
