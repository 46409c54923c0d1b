package kernels

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA rounds a·b + c once, by arithmetic of any precision where the result is a number.
func exactFMA(a, b, c float32) float32 {
	plain := float32(math.FMA(float64(a), float64(b), float64(c)))
	if finite := func(x float32) bool { return !math.IsInf(float64(x), 0) && x == x }; !finite(a) || !finite(b) || !finite(c) {
		return plain
	}
	wide := func(x float32) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(float64(x)) }
	sum := new(big.Float).SetPrec(1000).Mul(wide(a), wide(b))
	if sum.Add(sum, wide(c)); sum.Sign() == 0 {
		return plain // its sign
	}
	f, _ := sum.Float32()
	return f
}

func checkFMA(t *testing.T, a, b, c float32) {
	t.Helper()
	got, want := fma32(a, b, c), exactFMA(a, b, c)
	if math.Float32bits(got) != math.Float32bits(want) && (got == got || want == want) {
		t.Fatalf("%g·%g + %g (%x, %x, %x): got %g (%x), want %g (%x)", a, b, c, math.Float32bits(a), math.Float32bits(b), math.Float32bits(c),
			got, math.Float32bits(got), want, math.Float32bits(want))
	}
}

var oddFloats = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 1 + 0x1p-23, 1 - 0x1p-24, 3, 0x1p-149, -0x1p-149, 3 * 0x1p-149, 0x1p-126, 0x1p-126 - 0x1p-149,
	-0x1p-126, 0x1p-75, 0x1p-74, 0x1p-63, 0x1p64, -0x1p64, math.MaxFloat32, -math.MaxFloat32, 0x1p103, 0x1p127, 0x1p-24, 0x1p-25, 1 + 0x1p-12, 0x1p-24 + 0x1p-47,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}

func TestFusedMultiplyAddRoundsOnce(t *testing.T) {
	for _, a := range oddFloats {
		for _, b := range oddFloats {
			for _, c := range oddFloats {
				checkFMA(t, a, b, c)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 32))
	few := func() float32 { // few bits anywhere: many exact ties
		return float32(math.Ldexp(float64(r.IntN(1<<r.IntN(13))-r.IntN(4)), r.IntN(60)-30))
	}
	for range 300_000 {
		checkFMA(t, math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()))
		checkFMA(t, few(), few(), few())
		// The product is at the half of a unit of c's last place, and a little more or less: a tie after the first rounding.
		c := math.Float32frombits(r.Uint32()&0x8fffffff | 0x30000000)
		half := float32(math.Ldexp(1, math.Ilogb(float64(c))-24))
		checkFMA(t, half*(1+float32(r.IntN(3)-1)*0x1p-23), 1+float32(r.IntN(5)-2)*0x1p-23, c)
		// A product near the subnormal c.
		checkFMA(t, math.Float32frombits(r.Uint32()&0x80ffffff|0x1f000000), math.Float32frombits(r.Uint32()&0x80ffffff|0x1f000000), math.Float32frombits(r.Uint32()&0x80ffffff))
	}
}

func TestTiesAfterTheFirstRoundingAreRoundedByWhatItLost(t *testing.T) {
	// (1 - 2⁻²³)(1 + 2⁻²³)·2⁻²⁴ is 2⁻²⁴ less 2⁻⁷⁰, which a float64 sum with 1 + 2⁻²³ does not hold: to even would be up.
	const c = 1 + 0x1p-23
	if got := fma32(0x1p-24*(1-0x1p-23), 1+0x1p-23, c); got != c {
		t.Errorf("just below the middle: %x", got)
	}
	if got := fma32(0x1p-24, 1, c); got != 1+0x1p-22 {
		t.Errorf("the middle: %x", got)
	}
	if got := fma32(-0x1p-24*(1-0x1p-23), 1+0x1p-23, -c); got != -c {
		t.Errorf("negative, just below the middle: %x", got)
	}
}

func FuzzFusedMultiplyAdd(f *testing.F) {
	f.Add(uint32(0x3f800000), uint32(0x33800000), uint32(0x3f800001))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		checkFMA(t, math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c))
	})
}

func BenchmarkFusedSums(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x, w := make([]float64, depthBlock), make([][fusedWidth]float64, depthBlock)
	for i := range x {
		x[i] = float64(float32(r.NormFloat64()))
		for j := range w[i] {
			w[i][j] = float64(float32(r.NormFloat64()))
		}
	}
	bestOf(b, depthBlock*fusedWidth, "GMAC/s", func() { fusedSums(new([fusedWidth]float64), x, w) })
}
