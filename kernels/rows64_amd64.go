//go:build !noasm

package kernels

func rowBlocks64(l level, out *[Rows64]float64, v, p []float64, f *[Rows64]float64, a []float64, ld, blocks int) {
	switch {
	case l == generic:
		rowBlocks64Plain(out, v, p, f, a, ld, blocks)
	case l == avx512 && f == nil:
		dotRows64x512(out, &v[0], &a[0], ld, blocks)
	case l == avx512 && v == nil:
		addRows64x512(&p[0], f, &a[0], ld, blocks)
	case l == avx512:
		dotsAddRows64x512(out, &v[0], &p[0], f, &a[0], ld, blocks)
	case f == nil:
		dotRows64x256(out, &v[0], &a[0], ld, blocks)
	case v == nil:
		addRows64x256(&p[0], f, &a[0], ld, blocks)
	default:
		dotsAddRows64x256(out, &v[0], &p[0], f, &a[0], ld, blocks)
	}
}
