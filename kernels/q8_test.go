package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// q8Inputs returns rows of activations of length n: plain, with ties, tiny, huge, and with values that are not numbers.
func q8Inputs(r *rand.Rand, n int) [][]float32 {
	plain, ties, bits := randoms(r, n), make([]float32, n), make([]float32, n)
	for i := range ties {
		ties[i] = float32(r.IntN(255)-127) / 2
		bits[i] = math.Float32frombits(r.Uint32())
		if i%32 == 0 {
			ties[i] = 127
		}
	}
	tiny, huge := make([]float32, n), make([]float32, n)
	for i, v := range plain {
		tiny[i], huge[i] = v*0x1p-101, v*0x1p125
	}
	return [][]float32{plain, ties, bits, tiny, huge}
}

func TestQuantizeQ8IsIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 300 {
		for kind, x := range q8Inputs(r, n) {
			var want Q8
			quantizeQ8(generic, &want, x)
			for _, l := range fast() {
				got := Q8{make([]int8, 512), make([]float32, 16), make([]int32, 16)}
				for i := range got.Codes {
					got.Codes[i] = 99
				}
				quantizeQ8(l, &got, x)
				if !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Sums, want.Sums) {
					t.Fatalf("%s n=%d kind %d: %v, want %v", levelNames[l], n, kind, got, want)
				}
				for i, s := range got.Scales {
					if math.Float32bits(s) != math.Float32bits(want.Scales[i]) {
						t.Fatalf("%s n=%d kind %d: scale %g, want %g", levelNames[l], n, kind, s, want.Scales[i])
					}
				}
			}
		}
	}
}

func TestQuantizeQ8IsWithinHalfAStepAndSumsItsCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	x := randoms(r, 1000)
	q := QuantizeQ8(x)
	for b, sum := range q.Sums {
		for i, c := range q.Codes[b*Q8Block : (b+1)*Q8Block] {
			sum -= int32(c)
			var v float64
			if i+b*Q8Block < len(x) {
				v = float64(x[i+b*Q8Block])
			}
			if c == -128 || math.Abs(float64(c)*float64(q.Scales[b])-v) > 0.50001*float64(q.Scales[b]) {
				t.Fatalf("element %d: code %d of scale %g for %g", i+b*Q8Block, c, q.Scales[b], v)
			}
		}
		if sum != 0 {
			t.Fatalf("block %d: sum is off by %d", b, sum)
		}
	}
}

func TestQuantizeQ8IntoReusesItsSlices(t *testing.T) {
	x := randoms(rand.New(rand.NewPCG(3, 1)), 2048)
	var q Q8
	QuantizeQ8Into(&q, x)
	if n := testing.AllocsPerRun(10, func() { QuantizeQ8Into(&q, x) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkQuantizeQ8(b *testing.B) {
	x := randoms(rand.New(rand.NewPCG(4, 1)), 2048)
	for _, l := range levels() {
		b.Run(levelNames[l], func(b *testing.B) {
			var q Q8
			b.SetBytes(4 * 2048)
			for b.Loop() {
				quantizeQ8(l, &q, x)
			}
		})
	}
}
