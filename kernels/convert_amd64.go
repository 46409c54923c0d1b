//go:build !noasm

package kernels

// upBlocks converts the first 16*blocks elements to float32.
func upBlocks(l level, h half, dst []float32, src []byte, blocks int) {
	switch {
	case l == avx512 && h == f16:
		f16ToF32x512(&dst[0], &src[0], blocks)
	case l == avx512:
		bf16ToF32x512(&dst[0], &src[0], blocks)
	case h == f16:
		f16ToF32x256(&dst[0], &src[0], blocks)
	default:
		bf16ToF32x256(&dst[0], &src[0], blocks)
	}
}

// downBlocks rounds the first 16*blocks elements to 16 bits.
func downBlocks(l level, h half, dst []byte, src []float32, blocks int) {
	switch {
	case l == avx512 && h == f16:
		f32ToF16x512(&dst[0], &src[0], blocks)
	case l == avx512:
		f32ToBF16x512(&dst[0], &src[0], blocks)
	case h == f16:
		f32ToF16x256(&dst[0], &src[0], blocks)
	default:
		f32ToBF16x256(&dst[0], &src[0], blocks)
	}
}
