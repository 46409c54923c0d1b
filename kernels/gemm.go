package kernels

// GemmNT computes C += A·Bᵀ in float32: A is (m, k) with row stride lda, B is (n, k) with row stride ldb (weights: one row per
// output), C is (m, n) with row stride ldc. One goroutine; the caller splits work. Each element's sum does not depend on m, n
// or on where the element lies, so any split of m and n gives the same bytes.
func GemmNT(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int) {
	for i := range m {
		for j := range n {
			c[i*ldc+j] += Dot(a[i*lda:i*lda+k], b[j*ldb:j*ldb+k])
		}
	}
}

// GemmNN computes C += A·B: as GemmNT but B is (k, n) with row stride ldb.
func GemmNN(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int) {
	for i := range m {
		for p := range k {
			Axpy(c[i*ldc:i*ldc+n], a[i*lda+p], b[p*ldb:p*ldb+n])
		}
	}
}

// Dot returns Σ a[i]·b[i].
func Dot(a, b []float32) float32 {
	var s float32
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

// Axpy adds alpha·x to y.
func Axpy(y []float32, alpha float32, x []float32) {
	for i, v := range x {
		y[i] += alpha * v
	}
}
