//go:build !noasm

package kernels

func dot(l level, a, b []float32) float32 {
	b = b[:len(a)]
	blocks := len(a) / dotBlock
	if l == generic || blocks == 0 {
		return dotPlain(a, b)
	}
	var s float32
	if l == avx512 {
		s = dot512(&a[0], &b[0], blocks)
	} else {
		s = dot256(&a[0], &b[0], blocks)
	}
	if rest := blocks * dotBlock; rest < len(a) {
		s += dotRest(a[rest:], b[rest:])
	}
	return s
}

func dots(l level, y, a []float32, stride int, b []float32) {
	blocks := len(b) / dotBlock
	if len(y) > 0 && len(a) < (len(y)-1)*stride+len(b) {
		panic("kernels: Dots of rows that are not there")
	}
	for ; l == avx512 && blocks > 0 && len(y) >= 4; y, a = y[4:], a[min(len(a), 4*stride):] {
		dots512((*[4]float32)(y), &a[0], 4*stride, &b[0], blocks)
		if rest := blocks * dotBlock; rest < len(b) {
			for t := range y[:4] {
				y[t] += dotRest(a[t*stride+rest:t*stride+len(b)], b[rest:])
			}
		}
	}
	dotsPlain(l, y, a, stride, b)
}

func axpy(l level, y []float32, alpha float32, x []float32) {
	y = y[:len(x)]
	blocks := len(x) / 16
	if l == generic || blocks == 0 {
		axpyPlain(y, alpha, x)
		return
	}
	if l == avx512 {
		axpy512(&y[0], alpha, &x[0], blocks)
	} else {
		axpy256(&y[0], alpha, &x[0], blocks)
	}
	axpyPlain(y[blocks*16:], alpha, x[blocks*16:])
}
