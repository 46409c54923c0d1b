package kernels

// Dot returns Σ a[i]·b[i] over the length of a; b must be as long. Levels differ in the order of summation.
func Dot(a, b []float32) float32 { return dot(chosen, a, b) }

// Axpy adds alpha·x to y over the length of x; y must be as long. Product and sum are each rounded, so every level gives the same bytes.
func Axpy(y []float32, alpha float32, x []float32) { axpy(chosen, y, alpha, x) }

func dotPlain(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s2) + (s1 + s3)
}

func axpyPlain(y []float32, alpha float32, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(alpha * v)
	}
}
