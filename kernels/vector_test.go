package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestDotAgreesWithFloat64OnAllLengthsAndAlignments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range levels() {
		for n := range 200 {
			x, y := randoms(r, n+3)[n%4:][:max(0, n-n%4)], randoms(r, n+3)[n%3:]
			var want, abs float64
			for i := range x {
				p := float64(x[i]) * float64(y[i])
				want += p
				abs += math.Abs(p)
			}
			if got := float64(dot(l, x, y)); math.Abs(got-want) > abs*0x1p-21 {
				t.Fatalf("%s n=%d: got %g, want %g", levelNames[l], n, got, want)
			}
		}
	}
}

func TestDotIsIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for n := range 2000 {
		fill := fills[n%len(fills)]
		x, y := fill(r, n%400+3)[n%4:][:n%400], fill(r, n%400+3)[n%3:]
		for _, l := range fast() {
			if got, want := dot(l, x, y), dotPlain(x, y); !same(got, want) {
				t.Fatalf("%s n=%d: got %x, want %x", levelNames[l], n%400, math.Float32bits(got), math.Float32bits(want))
			}
		}
	}
}

func TestDotsAreThoseOfDot(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for n := range 700 {
		fill := fills[n%len(fills)]
		cols, rows, stride := n%300, n%9, n%300+n%5
		b, a := fill(r, cols+3)[n%4:][:cols], fill(r, rows*stride+cols+2)[n%3:][:max(0, (rows-1)*stride+cols)]
		for _, l := range levels() {
			got := make([]float32, rows+1)
			got[rows] = guard
			dots(l, got[:rows], a, stride, b)
			for i := range rows {
				if want := dotPlain(a[i*stride:][:cols], b); !same(got[i], want) {
					t.Fatalf("%s: %d rows of %d: row %d gives %x, want %x", levelNames[l], rows, cols, i, math.Float32bits(got[i]), math.Float32bits(want))
				}
			}
			if got[rows] != guard {
				t.Fatalf("%s: %d rows: wrote beyond them", levelNames[l], rows)
			}
		}
	}
}

func BenchmarkDots(b *testing.B) {
	x, w, y := make([]float32, 8*1024), make([]float32, 1024), make([]float32, 8)
	for _, l := range levels() {
		b.Run(levelNames[l], func(b *testing.B) {
			for range b.N {
				dots(l, y, x, 1024, w)
			}
			b.ReportMetric(8*1024*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
		b.Run(levelNames[l]+"-singly", func(b *testing.B) {
			for range b.N {
				dotsPlain(l, y, x, 1024, w)
			}
			b.ReportMetric(8*1024*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func TestAxpyIsIdenticalAtAllLevelsAndWritesNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, l := range levels() {
		for n := range 200 {
			x, y, want := randoms(r, n), randoms(r, n+2), make([]float32, n+2)
			y[0], y[n+1] = guard, guard
			copy(want, y)
			axpyPlain(want[1:n+1], 1.5, x)
			axpy(l, y[1:n+1], 1.5, x)
			for i := range y {
				if math.Float32bits(y[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%s n=%d: element %d is %g, want %g", levelNames[l], n, i-1, y[i], want[i])
				}
			}
		}
	}
}

func BenchmarkDot(b *testing.B) {
	for _, l := range levels() {
		for _, n := range []int{64, 4096} {
			b.Run(fmt.Sprintf("%s/n=%d", levelNames[l], n), func(b *testing.B) {
				x, y := make([]float32, n), make([]float32, n)
				b.SetBytes(int64(8 * n))
				for b.Loop() {
					dot(l, x, y)
				}
			})
		}
	}
}

func BenchmarkAxpy(b *testing.B) {
	for _, l := range levels() {
		b.Run(levelNames[l], func(b *testing.B) {
			x, y := make([]float32, 4096), make([]float32, 4096)
			b.SetBytes(12 * 4096)
			for b.Loop() {
				axpy(l, y, 0.5, x)
			}
		})
	}
}
