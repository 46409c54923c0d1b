//go:build !noasm

package kernels

// blockKernel and groupKernel are the vector kernels' signatures.
type (
	blockKernel func(y *float32, w *byte, rowBytes, rows, steps int, codes *int8, scales *float32, sums *int32)
	groupKernel func(y *float32, w *byte, rowBytes, rows, steps int, codes *int8, scales *float32, sums *int32, wscales *byte, scaleStride, scaleStep int, spread *[32]byte)
)

func (k *rowKernel) blocks(l level, rows int, narrow, wide blockKernel) {
	if l == avx512 {
		narrow = wide
	}
	narrow(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0])
}

func (k *rowKernel) groups(l level, rows int, narrow, wide groupKernel) {
	if l == avx512 {
		narrow = wide
	}
	narrow(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0], &k.scales[0], k.rowScales, k.spread.step, &k.spread.table)
}

func runQ6_K(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ6Kx256, matvecQ6Kx512) }
func runQ5_K(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ5Kx256, matvecQ5Kx512) }
func runQ3_K(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ3Kx256, matvecQ3Kx512) }
func runQ2_K(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ2Kx256, matvecQ2Kx512) }
func runQ5_0(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ50x256, matvecQ50x512) }
func runQ5_1(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ51x256, matvecQ51x512) }
func runQ4_1(l level, k *rowKernel, rows int) { k.blocks(l, rows, matvecQ41x256, matvecQ41x512) }
func runInt6(l level, k *rowKernel, rows int) { k.groups(l, rows, matvecInt6x256, matvecInt6x512) }
func runInt5(l level, k *rowKernel, rows int) { k.groups(l, rows, matvecInt5x256, matvecInt5x512) }
func runInt3(l level, k *rowKernel, rows int) { k.groups(l, rows, matvecInt3x256, matvecInt3x512) }
func runInt2(l level, k *rowKernel, rows int) { k.groups(l, rows, matvecInt2x256, matvecInt2x512) }
