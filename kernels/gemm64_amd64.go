//go:build !noasm

package kernels

var tiles64x256 = tiles64{lanes: 4, widen: widen64x256, kernel: []func(k int, a, b, c *float64, ldc, grow int){
	nil, gemm64x256x1, gemm64x256x2, gemm64x256x3, gemm64x256x4}}

var tiles64x512 = tiles64{lanes: 8, widen: widen64x512, kernel: []func(k int, a, b, c *float64, ldc, grow int){
	nil, gemm64x512x1, gemm64x512x2, gemm64x512x3, gemm64x512x4, gemm64x512x5, gemm64x512x6, gemm64x512x7, gemm64x512x8}}

func tileKernels64(l level) *tiles64 {
	switch l {
	case avx512:
		return &tiles64x512
	case avx2:
		return &tiles64x256
	}
	return nil
}
