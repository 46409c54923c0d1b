package kernels

// GemmNT computes C += A·Bᵀ in float32: A is (m, k) with row stride lda, B is (n, k) with row stride ldb (weights: one row per
// output), C is (m, n) with row stride ldc. One goroutine; the caller splits work. Each element's sum does not depend on m, n
// or on where the element lies, so any split of m and n gives the same bytes. Levels are within (k+1)·2⁻²³·(|c|+Σ|a·b|) of exact;
// avx2 and avx512 agree bit for bit.
func GemmNT(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int) {
	gemm(chosen, c, ldc, a, lda, b, ldb, m, n, k, true)
}

// GemmNN computes C += A·B: as GemmNT but B is (k, n) with row stride ldb.
func GemmNN(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int) {
	gemm(chosen, c, ldc, a, lda, b, ldb, m, n, k, false)
}

// gemm is GemmNT or GemmNN (not transposed) at one level.
func gemm(l level, c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, transposed bool) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	bRows, bCols := n, k
	if !transposed {
		bRows, bCols = k, n
	}
	if len(c) < (m-1)*ldc+n || len(a) < (m-1)*lda+k || len(b) < (bRows-1)*ldb+bCols || ldc < n || lda < k || ldb < bCols {
		panic("kernels: gemm slice or stride shorter than its shape")
	}
	if t := tileKernels(l); t != nil {
		t.gemm(c, ldc, a, lda, b, ldb, m, n, k, transposed)
		return
	}
	for i := range m {
		ci, ai := c[i*ldc:i*ldc+n], a[i*lda:i*lda+k]
		if transposed {
			for j := range n {
				ci[j] += dotPlain(ai, b[j*ldb:j*ldb+k])
			}
			continue
		}
		for p, v := range ai {
			axpyPlain(ci, v, b[p*ldb:p*ldb+n])
		}
	}
}
