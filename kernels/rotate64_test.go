package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRotationChainsAreTheSameAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 64))
	for _, n := range []int{1, 2, 3, 7, 40} {
		for _, ld := range []int{RotateColumns, RotateColumns + 5} {
			z, cs := randoms64(r, n*ld+RotateColumns), make([]float64, 2*n)
			for i := range n {
				cs[2*i+1], cs[2*i] = math.Sincos(r.Float64() * 7)
			}
			want, down := slices.Clone(z), slices.Clone(z)
			rotateChain64Plain(want, ld, cs)
			rotateChainDown64Plain(down, ld, cs)
			for _, l := range levels() {
				got := slices.Clone(z)
				rotateChain64(l, got, ld, cs)
				if !slices.Equal(got, want) {
					t.Errorf("%s: %d rotations of rows %d apart differ from the definition", levelNames[l], n, ld)
				}
				got = slices.Clone(z)
				if rotateChainDown64(l, got, ld, cs); !slices.Equal(got, down) {
					t.Errorf("%s: %d rotations downwards of rows %d apart differ from the definition", levelNames[l], n, ld)
				}
			}
			// Turning does not change lengths of columns.
			for k := range RotateColumns {
				var a, b float64
				for i := range n + 1 {
					a += z[i*ld+k] * z[i*ld+k]
					b += want[i*ld+k] * want[i*ld+k]
				}
				if math.Abs(a-b) > 1e-13*float64(n)*a {
					t.Errorf("column %d had the squared length %v, and has %v", k, a, b)
				}
			}
		}
	}
}

func TestDot64AndRank2Sub64AreTheSameAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 64))
	for _, n := range []int{0, 1, 31, 32, 33, 64, 100, 1000} {
		x, y, w := randoms64(r, n), randoms64(r, n), randoms64(r, n)
		blocks := n / block64
		if blocks > 0 {
			want := dot64Plain(x, y, blocks)
			for _, l := range levels() {
				if got := dotBlocks64(l, x, y, blocks); got != want {
					t.Errorf("%s: product of %d is %v, not %v", levelNames[l], n, got, want)
				}
			}
		}
		want := slices.Clone(y)
		rank2Sub64Plain(want, 0.3, x, -1.7, w, 0)
		for _, l := range levels() {
			got := slices.Clone(y)
			if blocks > 0 {
				rank2Sub64(l, got, 0.3, x, -1.7, w, blocks)
			}
			rank2Sub64Plain(got, 0.3, x, -1.7, w, blocks*block64)
			if !slices.Equal(got, want) {
				t.Errorf("%s: update of %d differs", levelNames[l], n)
			}
		}
		var exact, size float64
		for i, v := range x {
			exact += v * y[i]
			size += math.Abs(v * y[i])
		}
		if got := Dot64(x, y); math.Abs(got-exact) > 1e-13*size {
			t.Errorf("product of %d is %v, about %v", n, got, exact)
		}
		got := slices.Clone(y)
		if Rank2Sub64(got, 0.3, x, -1.7, w); !slices.Equal(got, want) {
			t.Errorf("update of %d differs from its parts", n)
		}
	}
}

func TestRotationsOfAnotherShapePanic(t *testing.T) {
	for _, f := range []func(){
		func() { RotateChain64(make([]float64, 63), 32, make([]float64, 2)) },
		func() { RotateChain64(make([]float64, 64), 31, make([]float64, 2)) },
		func() { RotateChain64(make([]float64, 64), 32, make([]float64, 1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}
