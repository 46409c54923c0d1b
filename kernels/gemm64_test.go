package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func randoms64(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64() * math.Exp2(float64(r.IntN(40)-20))
	}
	return x
}

var edges = []int{1, 2, 7, 8, 9, 12, 15, 16, 17, 33, 63, 64, 65}

func TestGemm64IsAChainOfFusedMultiplyAddsAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 64))
	pick := func() int { return edges[r.IntN(len(edges))] }
	shapes := [][3]int{{1, 1, 0}, {0, 3, 2}, {125, 131, 10}, {13, 17, 500}, {3, 1100, 5}, {261, 5, 3}}
	for range 300 {
		shapes = append(shapes, [3]int{pick(), pick(), pick()})
	}
	for _, l := range levels() {
		for i, s := range shapes {
			m, n, k, offset := s[0], s[1], s[2], r.IntN(4)
			lda, ldb, ldc, across := k+r.IntN(4), k+r.IntN(4), n+r.IntN(4), n+r.IntN(4)
			a, b, c := randoms64(r, m*lda+offset)[offset:], randoms64(r, n*ldb+offset)[offset:], randoms64(r, m*ldc+offset)[offset:]
			bt, product := make([]float64, k*across), append([]float64(nil), c...)
			for p := range k {
				for j := range n {
					bt[p*across+j] = b[j*ldb+p]
				}
			}
			want := append([]float64(nil), c...)
			sign := float64(1 - i%2*2)
			for i := range m {
				for j := range n {
					for p := range k {
						want[i*ldc+j] = math.FMA(sign*a[i*lda+p], b[j*ldb+p], want[i*ldc+j])
					}
				}
			}
			gemm64NT(l, c, ldc, a, lda, b, ldb, m, n, k, sign < 0)
			for i := range c {
				if math.Float64bits(c[i]) != math.Float64bits(want[i]) {
					t.Fatalf("%s m=%d n=%d k=%d ldc=%d: element %d is %g, want %g", levelNames[l], m, n, k, ldc, i, c[i], want[i])
				}
			}
			if gemm64NN(l, product, ldc, a, lda, bt, across, m, n, k, sign < 0); !slices.Equal(product, want) {
				t.Fatalf("%s m=%d n=%d k=%d ldc=%d: the product with rows of B differs from that with columns", levelNames[l], m, n, k, ldc)
			}
		}
	}
}

func TestGram64AddsTokensInOrderAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 64))
	for _, l := range levels() {
		for _, n := range append([]int{129, 255, 300, 801}, edges...) {
			for _, tokens := range []int{0, 1, 2, 7, 16, 64, 431} {
				if n*tokens > 1<<17 {
					continue
				}
				ldx := n + r.IntN(3)
				x, g := randoms(r, tokens*ldx), randoms64(r, n*(n+1)/2+1)
				want := append([]float64(nil), g...)
				for i := range n {
					for j := range i + 1 {
						for t := range tokens {
							want[i*(i+1)/2+j] += float64(float64(x[t*ldx+i]) * float64(x[t*ldx+j]))
						}
					}
				}
				first, row := r.IntN(tokens+1), r.IntN(n+1)
				for _, rows := range [][2]int{{row, n}, {0, row}} {
					gram64(l, g, x, ldx, first, n, rows[0], rows[1])
					gram64(l, g, x[first*ldx:], ldx, tokens-first, n, rows[0], rows[1])
				}
				for i := range g {
					if math.Float64bits(g[i]) != math.Float64bits(want[i]) {
						t.Fatalf("%s n=%d tokens=%d rows split at %d: element %d is %g, want %g", levelNames[l], n, tokens, row, i, g[i], want[i])
					}
				}
			}
		}
	}
}

func BenchmarkGemm64(b *testing.B) {
	for _, l := range levels() {
		for _, s := range [][3]int{{32, 32, 32}, {64, 64, 64}, {128, 128, 128}, {512, 512, 512}, {1, 1024, 1024}, {8, 1024, 1024}, {1024, 1024, 64}, {2048, 2048, 256}} {
			m, n, k := s[0], s[1], s[2]
			b.Run(fmt.Sprintf("%s/m=%d,n=%d,k=%d", levelNames[l], m, n, k), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				x, y, c := randoms64(r, m*k), randoms64(r, n*k), make([]float64, m*n)
				bestOf(b, float64(m*n*k), "GMAC/s", func() { gemm64NT(l, c, n, x, k, y, k, m, n, k, true) })
			})
		}
	}
}

func BenchmarkGram64(b *testing.B) {
	for _, l := range levels() {
		b.Run(levelNames[l], func(b *testing.B) {
			const n, tokens = 1024, 256
			x, g := randoms(rand.New(rand.NewPCG(1, 1)), n*tokens), make([]float64, n*(n+1)/2)
			bestOf(b, tokens*n*(n+1)/2, "GMAC/s", func() { gram64(l, g, x, n, tokens, n, 0, n) })
		})
	}
}
