//go:build !noasm

package kernels

func runQ8_0(l level, k *rowKernel, rows int) {
	f := matvecQ80x256
	if l == avx512 {
		f = matvecQ80x512
	}
	f(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0])
}

func runQ4_0(l level, k *rowKernel, rows int) {
	f := matvecQ40x256
	if l == avx512 {
		f = matvecQ40x512
	}
	f(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0])
}

func runQ4_K(l level, k *rowKernel, rows int) {
	f := matvecQ4Kx256
	if l == avx512 {
		f = matvecQ4Kx512
	}
	f(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0])
}

func runInt8(l level, k *rowKernel, rows int) {
	f := matvecInt8x256
	if l == avx512 {
		f = matvecInt8x512
	}
	f(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0], &k.scales[0], k.rowScales, k.spread.step, &k.spread.table)
}

func runInt4(l level, k *rowKernel, rows int) {
	f := matvecInt4x256
	if l == avx512 {
		f = matvecInt4x512
	}
	f(&k.y[0], &k.w[0], k.rowBytes, rows, k.steps, &k.x.Codes[0], &k.x.Scales[0], &k.x.Sums[0], &k.scales[0], k.rowScales, k.spread.step, &k.spread.table)
}

func q8Blocks(q *Q8, x []float32, blocks int) {
	quantizeQ8x256(&q.Codes[0], &q.Scales[0], &q.Sums[0], &x[0], blocks)
}
