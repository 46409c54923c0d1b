package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// levels returns every level this machine can run.
func levels() []level {
	var ls []level
	for l := generic; l <= best(); l++ {
		ls = append(ls, l)
	}
	return ls
}

func fast() []level { return levels()[1:] }

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// bestOf times f and reports work (bytes or operations) over the shortest time any call took, which other processes disturb little.
func bestOf(b *testing.B, work float64, unit string, f func()) {
	shortest := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		shortest = min(shortest, time.Since(start))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(work/float64(shortest.Nanoseconds()), "best-"+unit)
}

const guard = float32(12345)

// gemm64 returns A·B (or A·Bᵀ) and Σ|a·b| in float64.
func gemm64(a []float32, lda int, b []float32, ldb, m, n, k int, transposed bool) (sum, abs []float64) {
	sum, abs = make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			for p := range k {
				at := p*ldb + j
				if transposed {
					at = j*ldb + p
				}
				t := float64(a[i*lda+p]) * float64(b[at])
				sum[i*n+j] += t
				abs[i*n+j] += math.Abs(t)
			}
		}
	}
	return sum, abs
}

// checkGemm runs one product on strided matrices between guards and compares it with float64.
func checkGemm(t *testing.T, l level, r *rand.Rand, m, n, k int, transposed bool) {
	t.Helper()
	lda, ldc, offset := k+r.IntN(4), max(1, n+r.IntN(4)), r.IntN(4)
	bRows, bCols := n, k
	if !transposed {
		bRows, bCols = k, n
	}
	ldb := bCols + r.IntN(4)
	a, b := randoms(r, m*lda+offset)[offset:], randoms(r, bRows*ldb+offset)[offset:]
	c := make([]float32, m*ldc+2*offset)
	for i := range c {
		c[i] = guard
	}
	start := randoms(r, m*n)
	for i := range m {
		copy(c[offset+i*ldc:][:n], start[i*n:(i+1)*n])
	}
	gemm(l, c[offset:], ldc, a, lda, b, ldb, m, n, k, transposed)
	sum, abs := gemm64(a, lda, b, ldb, m, n, k, transposed)
	for i := range c {
		row, col := (i-offset)/ldc, (i-offset)%ldc
		if i < offset || row >= m || col >= n {
			if c[i] != guard {
				t.Fatalf("%s m=%d n=%d k=%d: wrote outside the result at %d", levelNames[l], m, n, k, i)
			}
			continue
		}
		e := row*n + col
		want := float64(start[e]) + sum[e]
		if diff := math.Abs(float64(c[i]) - want); !(diff <= float64(k+1)*(abs[e]+math.Abs(float64(start[e])))*0x1p-23) {
			t.Fatalf("%s m=%d n=%d k=%d (%d,%d): got %g, want %g", levelNames[l], m, n, k, row, col, c[i], want)
		}
	}
}

func TestGemmAgreesWithFloat64OnAllTails(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range levels() {
		for _, transposed := range []bool{true, false} {
			for m := 1; m <= 13; m++ {
				for _, n := range []int{1, 7, 8, 15, 16, 17, 31, 32, 33, 65} {
					for _, k := range []int{1, 3, 4, 5, 8, 31, 64} {
						checkGemm(t, l, r, m, n, k, transposed)
					}
				}
			}
			for _, s := range [][3]int{{121, 33, 385}, {125, 130, 10}, {2, 1570, 9}, {130, 1570, 3}, {3, 40, 800}} {
				checkGemm(t, l, r, s[0], s[1], s[2], transposed)
			}
		}
	}
}

func TestGemmDoesNotDependOnTheSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const m, n, k = 137, 171, 500
	a, b := randoms(r, m*k), randoms(r, n*k)
	for _, l := range levels() {
		for _, transposed := range []bool{true, false} {
			ldb, column := k, k
			if !transposed {
				ldb, column = n, 1
			}
			whole := make([]float32, m*n)
			gemm(l, whole, n, a, k, b, ldb, m, n, k, transposed)
			split := make([]float32, m*n)
			for i := 0; i < m; {
				h := min(m-i, 1+r.IntN(40))
				for j := 0; j < n; {
					w := min(n-j, 1+r.IntN(40))
					gemm(l, split[i*n+j:], n, a[i*k:], k, b[j*column:], ldb, h, w, k, transposed)
					j += w
				}
				i += h
			}
			for i := range whole {
				if math.Float32bits(whole[i]) != math.Float32bits(split[i]) {
					t.Fatalf("%s: element %d is %g whole, %g split", levelNames[l], i, whole[i], split[i])
				}
			}
		}
	}
}

// fills make numbers of kinds whose sums are rounded in different ways.
var fills = []func(r *rand.Rand, n int) []float32{
	randoms,
	func(r *rand.Rand, n int) []float32 {
		return filled(n, func() float32 { return float32(r.IntN(9) - 4) })
	}, // exact
	func(r *rand.Rand, n int) []float32 { // few bits, far apart: ties
		return filled(n, func() float32 { return float32(math.Ldexp(float64(r.IntN(64)-32), r.IntN(24)-12)) })
	},
	func(r *rand.Rand, n int) []float32 { // products around the smallest numbers
		return filled(n, func() float32 { return float32(math.Ldexp(r.NormFloat64(), -80+r.IntN(20))) })
	},
	func(r *rand.Rand, n int) []float32 { // sometimes not finite
		return filled(n, func() float32 {
			if r.IntN(500) == 0 {
				return math.Float32frombits(0x7f800000 | r.Uint32()&0x80c00000)
			}
			return float32(math.Ldexp(r.NormFloat64(), 60))
		})
	},
}

func filled(n int, f func() float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = f()
	}
	return x
}

// same reports whether a and b are the same bits, or both NaN.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// checkGemmLevels compares every level with the definition, and that with one element's sum.
func checkGemmLevels(t *testing.T, r *rand.Rand, m, n, k int, transposed bool, fill func(r *rand.Rand, n int) []float32) {
	t.Helper()
	bRows, bCols := n, k
	if !transposed {
		bRows, bCols = k, n
	}
	lda, ldb, ldc := k+r.IntN(4), bCols+r.IntN(4), n+r.IntN(4)
	a, b, start := fill(r, m*lda), fill(r, bRows*ldb), fill(r, m*ldc)
	want := append([]float32{}, start...)
	gemmPlain(want, ldc, a, lda, b, ldb, m, n, k, transposed)
	for range 3 {
		i, j := r.IntN(m), r.IntN(n)
		c := start[i*ldc+j]
		for p := 0; p < k; p += depthBlock {
			var s float32
			for q := p; q < min(k, p+depthBlock); q++ {
				at := q*ldb + j
				if transposed {
					at = j*ldb + q
				}
				s = exactFMA(a[i*lda+q], b[at], s)
			}
			c += s
		}
		if !same(c, want[i*ldc+j]) {
			t.Fatalf("m=%d n=%d k=%d: element (%d,%d) is %x, want %x", m, n, k, i, j, math.Float32bits(want[i*ldc+j]), math.Float32bits(c))
		}
	}
	for _, l := range fast() {
		c := append([]float32{}, start...)
		gemm(l, c, ldc, a, lda, b, ldb, m, n, k, transposed)
		for i := range c {
			if !same(c[i], want[i]) {
				t.Fatalf("%s m=%d n=%d k=%d: element %d is %x, want %x", levelNames[l], m, n, k, i, math.Float32bits(c[i]), math.Float32bits(want[i]))
			}
		}
	}
}

func TestGemmIsIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	sizes := []int{1, 2, 7, 8, 11, 12, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 121}
	depths := append([]int{255, 383, 384, 385, 769}, sizes...)
	for i := range 600 {
		checkGemmLevels(t, r, sizes[r.IntN(len(sizes))], sizes[r.IntN(len(sizes))], depths[r.IntN(len(depths))], i%2 == 0, fills[i%len(fills)])
	}
}

func TestGemmPropagatesNaNToItsRowAndColumnOnly(t *testing.T) {
	const m, n, k = 13, 33, 9
	for _, l := range levels() {
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			r := rand.New(rand.NewPCG(7, 8))
			a, b, c := randoms(r, m*k), randoms(r, n*k), make([]float32, m*n)
			a[12*k+3], b[32*k+5] = v, v
			gemm(l, c, n, a, k, b, k, m, n, k, true)
			for i, x := range c {
				bad := math.IsNaN(float64(x)) || math.IsInf(float64(x), 0)
				if want := i/n == 12 || i%n == 32; bad != want {
					t.Fatalf("%s: element %d is %g", levelNames[l], i, x)
				}
			}
		}
	}
}

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint8(12), uint8(32), uint16(64), true)
	f.Add(uint64(2), uint8(13), uint8(33), uint16(385), false)
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, transposed bool) {
		r := rand.New(rand.NewPCG(seed, 0))
		for _, l := range levels() {
			checkGemm(t, l, r, int(m), int(n), int(k%1000), transposed)
		}
		if m > 0 && n > 0 {
			checkGemmLevels(t, r, int(m), int(n), int(k%1000), transposed, fills[int(seed%uint64(len(fills)))])
		}
	})
}

func BenchmarkGemmNT(b *testing.B) {
	for _, l := range levels() {
		for _, s := range [][3]int{{1, 2048, 2048}, {8, 2048, 2048}, {512, 256, 256}, {512, 4096, 256}, {512, 512, 64}, {512, 512, 512}, {1024, 1024, 1024}, {512, 2048, 5632}} {
			m, n, k := s[0], s[1], s[2]
			if l == generic && m*n*k > 1<<27 {
				continue
			}
			b.Run(fmt.Sprintf("%s/m=%d,n=%d,k=%d", levelNames[l], m, n, k), func(b *testing.B) {
				r := rand.New(rand.NewPCG(9, 10))
				x, w, c := randoms(r, m*k), randoms(r, n*k), make([]float32, m*n)
				bestOf(b, 2*float64(m*n*k), "GFLOP/s", func() { gemm(l, c, n, x, k, w, k, m, n, k, true) })
			})
		}
	}
}

func TestTransposeIsThePlainOne(t *testing.T) {
	for _, shape := range [][2]int{{0, 3}, {1, 1}, {3, 17}, {8, 8}, {13, 9}, {64, 31}} {
		rows, cols := shape[0], shape[1]
		src := make([]float32, (rows+1)*(cols+2))
		for i := range src {
			src[i] = float32(i)
		}
		got, want := make([]float32, cols*(rows+3)), make([]float32, cols*(rows+3))
		Transpose(got, rows+3, src, cols+2, rows, cols)
		transposePlain(want, rows+3, src, cols+2, rows, cols)
		if !slices.Equal(got, want) {
			t.Errorf("%v: another transpose", shape)
		}
	}
}
