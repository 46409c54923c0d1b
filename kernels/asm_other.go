//go:build !amd64 || noasm

package kernels

func dot(_ level, a, b []float32) float32 { return dotPlain(a, b) }

func dots(l level, y, a []float32, stride int, b []float32) { dotsPlain(l, y, a, stride, b) }

func axpy(_ level, y []float32, alpha float32, x []float32) { axpyPlain(y, alpha, x) }

func tileKernels(level) *tiles { return nil }

func tileKernels64(level) *tiles64 { return nil }

func transpose64(*float64, int, *float64, int, int, uint64) {}

func transpose(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	transposePlain(dst, dstStride, src, srcStride, rows, cols)
}

func upBlocks(level, half, []float32, []byte, int) {}

func downBlocks(level, half, []byte, []float32, int) {}

func runQ8_0(level, *rowKernel, int) {}

func runQ4_0(level, *rowKernel, int) {}

func runQ4_K(level, *rowKernel, int) {}

func runInt8(level, *rowKernel, int) {}

func runInt4(level, *rowKernel, int) {}

func q8Blocks(*Q8, []float32, int) {}

func extremeBits([]float32, int) (int32, uint32) { return 0, 0 }

func minMaxBlocks([]float32, int) (float32, float32) { return 0, 0 }

func roundCodeBlocks([]byte, []float32, *Rounding, int) {}

func roundNibbleBlocks([]byte, []float32, *Rounding, int) {}

func scaleCodeBlocks([]float32, []byte, float32, int32, float32, int) {}

func scaleInt8Blocks([]float32, []byte, float32, int32, float32, int) {}

func scaleNibbleBlocks([]float32, []byte, float32, int32, float32, int) {}

func viterbiSteps(level, []int16, []int16, int, *viterbiStep, int, []uint16, []uint16, []uint32, int) uint32 {
	return 0
}

func viterbiTrace([]uint16, []uint32, *viterbiStep, []uint32, int, *[viterbiLanes]uint8, int, int) int {
	return 0
}
