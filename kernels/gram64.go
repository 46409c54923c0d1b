package kernels

// Gram64 adds rows r0 … r1-1 of XᵀX to g: g is the packed lower triangle of an (n, n) matrix, element (i, j ≤ i) at i(i+1)/2+j; X is
// (tokens, n) with row stride ldx. The product of two float32 is exact in float64; each element takes the tokens one after
// another, rounded once each. So every level gives the same bytes, and so does any split of rows and of tokens among calls made
// in the tokens' order. One goroutine; the caller splits rows, where a row's work grows with its number.
func Gram64(g []float64, x []float32, ldx, tokens, n, r0, r1 int) {
	gram64(chosen, g, x, ldx, tokens, n, r0, r1)
}

func gram64(l level, g []float64, x []float32, ldx, tokens, n, r0, r1 int) {
	if tokens <= 0 || n <= 0 || r0 >= r1 {
		return
	}
	if r0 < 0 || r1 > n || len(g) < r1*(r1+1)/2 || len(x) < (tokens-1)*ldx+n || ldx < n {
		panic("kernels: gram64 slice or stride shorter than its shape")
	}
	if t := tileKernels64(l); t != nil {
		columns := operand64{narrow: x, ld: ldx}
		t.product(target64{c: g}, columns, columns, r0, r1, tokens)
		return
	}
	for i := r0; i < r1; i++ {
		row := g[i*(i+1)/2:][:i+1]
		for t := range tokens {
			xt := x[t*ldx:][:i+1]
			v := float64(xt[i])
			for j, u := range xt {
				row[j] += float64(v * float64(u))
			}
		}
	}
}
