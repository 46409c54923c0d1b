//go:build !noasm

package kernels

var tiles256 = tiles{mr: 6, nr: 16, kernel: []func(k int, a, b *float32, ldb int, c *float32, ldc int){
	nil, gemm256x1, gemm256x2, gemm256x3, gemm256x4, gemm256x5, gemm256x6}}

var tiles512 = tiles{mr: 12, nr: 32, kernel: []func(k int, a, b *float32, ldb int, c *float32, ldc int){
	nil, gemm512x1, gemm512x2, gemm512x3, gemm512x4, gemm512x5, gemm512x6,
	gemm512x7, gemm512x8, gemm512x9, gemm512x10, gemm512x11, gemm512x12}}

func tileKernels(l level) *tiles {
	switch l {
	case avx512:
		return &tiles512
	case avx2:
		return &tiles256
	}
	return nil
}

// transpose is transposePlain by vector shuffles; only called at levels that have tile kernels.
func transpose(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	i := 0
	for ; rows-i >= 8 && cols >= 8; i += 8 {
		transpose8(&dst[i], dstStride, &src[i*srcStride], srcStride, cols/8)
		if p := cols &^ 7; p < cols {
			transposePlain(dst[p*dstStride+i:], dstStride, src[i*srcStride+p:], srcStride, 8, cols-p)
		}
	}
	for ; rows-i >= 4 && cols >= 4; i += 4 {
		transpose4(&dst[i], dstStride, &src[i*srcStride], srcStride, cols/4)
		if p := cols &^ 3; p < cols {
			transposePlain(dst[p*dstStride+i:], dstStride, src[i*srcStride+p:], srcStride, 4, cols-p)
		}
	}
	if i < rows {
		transposePlain(dst[i:], dstStride, src[i*srcStride:], srcStride, rows-i, cols)
	}
}
