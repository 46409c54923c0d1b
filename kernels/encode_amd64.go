//go:build !noasm

package kernels

func extremeBits(x []float32, blocks int) (positive int32, negative uint32) {
	return extremeBitsx256(&x[0], blocks)
}

func minMaxBlocks(x []float32, blocks int) (lo, hi float32) { return minMaxx256(&x[0], blocks) }

func roundCodeBlocks(dst []byte, x []float32, r *Rounding, blocks int) {
	roundCodesx256(&dst[0], &x[0], r.Inverse, r.Low, r.High, r.Base, blocks)
}

func roundNibbleBlocks(dst []byte, x []float32, r *Rounding, blocks int) {
	roundNibblesx256(&dst[0], &x[0], r.Inverse, r.Low, r.High, r.Base, blocks)
}

func scaleCodeBlocks(dst []float32, codes []byte, scale float32, offset int32, add float32, blocks int) {
	scaleCodesx256(&dst[0], &codes[0], scale, offset, add, blocks)
}

func scaleInt8Blocks(dst []float32, codes []byte, scale float32, offset int32, add float32, blocks int) {
	scaleInt8x256(&dst[0], &codes[0], scale, offset, add, blocks)
}

func scaleNibbleBlocks(dst []float32, packed []byte, scale float32, offset int32, add float32, blocks int) {
	scaleNibblesx256(&dst[0], &packed[0], scale, offset, add, blocks)
}
