package kernels

// GemmNT computes C += A·Bᵀ in float32: A is (m, k) with row stride lda, B is (n, k) with row stride ldb (weights: one row per
// output), C is (m, n) with row stride ldc. One goroutine; the caller splits work. An element takes its products in pieces of 384
// columns, each piece from zero in their order by fused multiply-adds; the piece is added to C. So any split of m and n gives
// the same bytes, and so does every level (but for which NaN a NaN is). It is within (k+1)·2⁻²³·(|c|+Σ|a·b|) of exact.
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
	gemmPlain(c, ldc, a, lda, b, ldb, m, n, k, transposed)
}

// gemmPlain is the definition, fusedWidth columns of C at a time. Only they and the depth are blocked: what is summed in which
// order is the same for any blocks but the pieces of depthBlock.
func gemmPlain(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, transposed bool) {
	var wideA [depthBlock]float64
	var wideB [depthBlock][fusedWidth]float64
	rowStep, columnStep := ldb, 1 // of B's element for depth p and column j of C
	if transposed {
		rowStep, columnStep = 1, ldb
	}
	for j := 0; j < n; j += fusedWidth {
		width := min(fusedWidth, n-j)
		for p := 0; p < k; p += depthBlock {
			depth := min(depthBlock, k-p)
			for q := range depth {
				for r := range width {
					wideB[q][r] = float64(b[(p+q)*rowStep+(j+r)*columnStep])
				}
				clear(wideB[q][width:])
			}
			for i := range m {
				for q, v := range a[i*lda+p:][:depth] {
					wideA[q] = float64(v)
				}
				var sums [fusedWidth]float64
				fusedSums(&sums, wideA[:depth], wideB[:depth])
				for r, s := range sums[:width] {
					c[i*ldc+j+r] += float32(s)
				}
			}
		}
	}
}
