package kernels

import "math"

// Gemm64NT computes C += A·Bᵀ in float64: A is (m, k) with row stride lda, B is (n, k) with row stride ldb, C is (m, n) with row
// stride ldc. Each element takes its k products one after another, c = fma(a, b, c), rounded once each. So every level gives the
// same bytes, and so does any split of m, n and also of k: a blocked factorization equals the one by single rows. C may lie in
// the slice that holds A and B as long as no element of C is one of theirs. One goroutine; the caller splits work.
func Gemm64NT(c []float64, ldc int, a []float64, lda int, b []float64, ldb int, m, n, k int) {
	gemm64NT(chosen, c, ldc, a, lda, b, ldb, m, n, k, false)
}

// Gemm64NTSub computes C -= A·Bᵀ: as Gemm64NT with c = fma(-a, b, c).
func Gemm64NTSub(c []float64, ldc int, a []float64, lda int, b []float64, ldb int, m, n, k int) {
	gemm64NT(chosen, c, ldc, a, lda, b, ldb, m, n, k, true)
}

// Gemm64NN computes C += A·B: as Gemm64NT, but B is (k, n) with row stride ldb.
func Gemm64NN(c []float64, ldc int, a []float64, lda int, b []float64, ldb int, m, n, k int) {
	gemm64NN(chosen, c, ldc, a, lda, b, ldb, m, n, k, false)
}

// Gemm64NNSub computes C -= A·B: as Gemm64NN with c = fma(-a, b, c).
func Gemm64NNSub(c []float64, ldc int, a []float64, lda int, b []float64, ldb int, m, n, k int) {
	gemm64NN(chosen, c, ldc, a, lda, b, ldb, m, n, k, true)
}

func gemm64NN(l level, c []float64, ldc int, a []float64, lda int, b []float64, ldb int, m, n, k int, subtract bool) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	if len(c) < (m-1)*ldc+n || len(a) < (m-1)*lda+k || len(b) < (k-1)*ldb+n || ldc < n || lda < k || ldb < n {
		panic("kernels: gemm64 slice or stride shorter than its shape")
	}
	if t := tileKernels64(l); t != nil {
		t.product(target64{c, ldc, n}, operand64{wide: a, ld: lda, subtract: subtract}, operand64{across: b, ld: ldb}, 0, m, k)
		return
	}
	for i := range m {
		row := c[i*ldc:][:n]
		for p, v := range a[i*lda : i*lda+k] {
			if subtract {
				v = -v
			}
			for j, u := range b[p*ldb:][:n] {
				row[j] = math.FMA(v, u, row[j])
			}
		}
	}
}

func gemm64NT(l level, c []float64, ldc int, a []float64, lda int, b []float64, ldb int, m, n, k int, subtract bool) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	if len(c) < (m-1)*ldc+n || len(a) < (m-1)*lda+k || len(b) < (n-1)*ldb+k || ldc < n || lda < k || ldb < k {
		panic("kernels: gemm64 slice or stride shorter than its shape")
	}
	if t := tileKernels64(l); t != nil {
		t.product(target64{c, ldc, n}, operand64{wide: a, ld: lda, subtract: subtract}, operand64{wide: b, ld: ldb}, 0, m, k)
		return
	}
	row := make([]float64, k)
	for i := range m {
		for p, v := range a[i*lda : i*lda+k] {
			if subtract {
				v = -v
			}
			row[p] = v
		}
		gemm64Row(c[i*ldc:i*ldc+n], row, b, ldb)
	}
}

// gemm64Row adds the products of a with the rows of b to c, four rows at a time so that their chains overlap.
func gemm64Row(c, a, b []float64, ldb int) {
	j := 0
	for ; j+4 <= len(c); j += 4 {
		b0, b1 := b[j*ldb:][:len(a)], b[(j+1)*ldb:][:len(a)]
		b2, b3 := b[(j+2)*ldb:][:len(a)], b[(j+3)*ldb:][:len(a)]
		c0, c1, c2, c3 := c[j], c[j+1], c[j+2], c[j+3]
		for p, v := range a {
			c0, c1 = math.FMA(v, b0[p], c0), math.FMA(v, b1[p], c1)
			c2, c3 = math.FMA(v, b2[p], c2), math.FMA(v, b3[p], c3)
		}
		c[j], c[j+1], c[j+2], c[j+3] = c0, c1, c2, c3
	}
	for ; j < len(c); j++ {
		s := c[j]
		for p, v := range b[j*ldb:][:len(a)] {
			s = math.FMA(a[p], v, s)
		}
		c[j] = s
	}
}
