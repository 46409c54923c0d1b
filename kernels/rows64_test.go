package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRowProductsAreTheSameAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 64))
	for _, n := range []int{0, 1, 7, 8, 9, 16, 40, 100, 333} {
		ld := n + r.IntN(5)
		a, v, p := randoms64(r, Rows64*ld+n+1), randoms64(r, n), randoms64(r, n)
		f := [Rows64]float64(randoms64(r, Rows64))
		added := slices.Clone(p)
		var exact, size [Rows64]float64
		for row := range Rows64 {
			for j := range n {
				added[j] = math.FMA(a[row*ld+j], f[row], added[j])
				exact[row] += a[row*ld+j] * v[j]
				size[row] += math.Abs(a[row*ld+j] * v[j])
			}
		}
		want := rowsTimes64(generic, v, nil, nil, a, ld, n)
		for row := range Rows64 {
			if math.Abs(want[row]-exact[row]) > 1e-13*size[row] {
				t.Errorf("n = %d: product %d is %v, about %v", n, row, want[row], exact[row])
			}
		}
		for _, l := range levels() {
			alone, both := slices.Clone(p), slices.Clone(p)
			if got := rowsTimes64(l, v, nil, nil, a, ld, n); got != want {
				t.Errorf("%s n = %d: products %v, not %v", levelNames[l], n, got, want)
			}
			if rowsTimes64(l, nil, alone, &f, a, ld, n); !slices.Equal(alone, added) {
				t.Errorf("%s n = %d: other sums of rows", levelNames[l], n)
			}
			if got := rowsTimes64(l, v, both, &f, a, ld, n); got != want || !slices.Equal(both, added) {
				t.Errorf("%s n = %d: other results of both at once", levelNames[l], n)
			}
		}
		both := slices.Clone(p)
		if DotRows64(v, a, ld) != want || DotsAddRows64(v, both, &f, a, ld) != want || !slices.Equal(both, added) {
			t.Errorf("n = %d: the chosen level differs", n)
		}
		if AddRows64(p, &f, a, ld); !slices.Equal(p, added) {
			t.Errorf("n = %d: the chosen level adds otherwise", n)
		}
	}
}

func TestRowProductsOfAnotherShapePanic(t *testing.T) {
	f := [Rows64]float64{1, 1, 1, 1}
	for i, call := range []func(){
		func() { DotRows64(make([]float64, 8), make([]float64, 31), 8) },
		func() { AddRows64(make([]float64, 8), &f, make([]float64, 40), 7) },
		func() { DotsAddRows64(make([]float64, 8), make([]float64, 9), &f, make([]float64, 64), 9) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("call %d: no panic", i)
				}
			}()
			call()
		}()
	}
}

func BenchmarkRows64(b *testing.B) {
	const n, rows = 2048, 2048
	r := rand.New(rand.NewPCG(1, 1))
	a, v, p := randoms64(r, n*rows), randoms64(r, n), make([]float64, n)
	f := [Rows64]float64{1, 2, 3, 4}
	for _, l := range levels() {
		for name, call := range map[string]func(a []float64){
			"dots": func(a []float64) { rowsTimes64(l, v, nil, nil, a, n, n) },
			"adds": func(a []float64) { rowsTimes64(l, nil, p, &f, a, n, n) },
			"both": func(a []float64) { rowsTimes64(l, v, p, &f, a, n, n) },
		} {
			b.Run(fmt.Sprintf("%s/%s", levelNames[l], name), func(b *testing.B) {
				bestOf(b, n*rows*8, "GB/s", func() {
					for i := 0; i < rows; i += Rows64 {
						call(a[i*n:])
					}
				})
			})
		}
	}
}
