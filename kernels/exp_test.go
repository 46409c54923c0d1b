package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestExpIsWithinTwoTenMillionthsAndClamped(t *testing.T) {
	for x := float32(-86); x <= 88; x += 0.00137 {
		want := math.Exp(float64(x))
		if got := float64(Exp(x)); math.Abs(got-want) > 2e-7*want {
			t.Fatalf("e^%g: got %g, want %g", x, got, want)
		}
	}
	inf := float32(math.Inf(1))
	if Exp(-inf) != Exp(-86) || Exp(inf) != Exp(88) || Exp(0) != 1 || !math.IsNaN(float64(Exp(float32(math.NaN())))) {
		t.Errorf("e^-inf %g, e^inf %g, e^0 %g", Exp(-inf), Exp(inf), Exp(0))
	}
}

func TestExponentialKernelsAreIdenticalAtAllLevelsAndWriteNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	for n := range 100 {
		x, up := randoms(r, n+2), randoms(r, n)
		x[0], x[n+1] = guard, guard
		for i := range n {
			x[i+1] *= 30
		}
		if n > 20 {
			x[5], x[n] = float32(math.NaN()), float32(math.Inf(-1))
		}
		wantExp, wantSilu := append([]float32{}, x...), append([]float32{}, x...)
		wantSum := expSum(generic, wantExp[1:n+1], 2)
		siluMul(generic, wantSilu[1:n+1], up)
		for _, l := range levels() {
			gotExp, gotSilu := append([]float32{}, x...), append([]float32{}, x...)
			sum := expSum(l, gotExp[1:n+1], 2)
			siluMul(l, gotSilu[1:n+1], up)
			if sum != wantSum && wantSum == wantSum {
				t.Fatalf("%s n=%d: sum %g, want %g", levelNames[l], n, sum, wantSum)
			}
			for i := range x {
				if math.Float32bits(gotExp[i]) != math.Float32bits(wantExp[i]) {
					t.Fatalf("%s n=%d: exp of element %d is %g, want %g", levelNames[l], n, i-1, gotExp[i], wantExp[i])
				}
				if gotSilu[i] != wantSilu[i] && wantSilu[i] == wantSilu[i] {
					t.Fatalf("%s n=%d: silu of element %d is %g, want %g", levelNames[l], n, i-1, gotSilu[i], wantSilu[i])
				}
			}
		}
	}
}

func TestMaxFindsTheLargestWhereverItIs(t *testing.T) {
	for n := 1; n < 100; n++ {
		for at := range n {
			x := make([]float32, n)
			for i := range x {
				x[i] = -float32(i + 2)
			}
			x[at] = -1
			if got := Max(x); got != -1 {
				t.Fatalf("n=%d: the largest, at %d, is %g", n, at, got)
			}
			for _, l := range levels() {
				tops := [16]float32{}
				for i := range tops {
					tops[i] = x[0]
				}
				if done := maxBlocks(l, x, &tops); done > at && tops[at%16] != -1 {
					t.Fatalf("%s n=%d: missed the largest at %d", levelNames[l], n, at)
				}
			}
		}
	}
}

func BenchmarkExpSum(b *testing.B) {
	for _, l := range levels() {
		b.Run(levelNames[l], func(b *testing.B) {
			x := make([]float32, 4096)
			for b.Loop() {
				expSum(l, x, 0.5)
			}
			b.SetBytes(4 * 4096)
		})
	}
}
