//go:build !amd64 || noasm

package kernels

func expandFloats(_ level, dst, src []float32, mask []byte) { expandFloatsPlain(dst, src, mask) }

func expandBytes(_ level, dst, src, mask []byte, fill byte) { expandBytesPlain(dst, src, mask, fill) }

func (m *Masked) vector(level, []float32, int, Q8) int { return 0 }

func vectorPairs(level, []float32, []byte, []byte, []byte, int, int, int, Q8) int { return 0 }

func (m *MaskedFloats) vector(level, []float32, int, []float32) bool { return false }

func dotColumns(_ level, values []float32, columns, counts []byte, x []float32, tail *[256]float32) float32 {
	return dotColumnsPlain(values, columns, counts, x, tail)
}

func scaleColumns(_ level, dst []float32, codes, columns, counts []byte, scales []float32, group, bias int) {
	scaleColumnsPlain(dst, codes, columns, counts, scales, group, bias)
}

func unpackBits(_ level, dst, src []byte, width int) { unpackBitsPlain(dst, src, width) }
