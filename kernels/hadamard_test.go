package kernels

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// rotationSizes are powers of two, sizes of real models that are none, and the smallest.
func rotationSizes() []int {
	return []int{0, 1, 2, 3, 5, 8, 16, 17, 31, 32, 63, 64, 65, 96, 100, 128, 172, 256, 352, 500, 512, 896, 1000, 1024, 2048, 4096, 4864, 10920}
}

func TestHadamardIsTheMatrixOfSylvester(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 512; n *= 2 {
		x := randoms(r, n)
		got := slices.Clone(x)
		Hadamard(got)
		for i := range got {
			var want float64
			for j, v := range x {
				want += float64(v) * float64(1-2*(bits.OnesCount(uint(i&j))&1))
			}
			if want /= math.Sqrt(float64(n)); math.Abs(float64(got[i])-want) > 1e-5 {
				t.Fatalf("n=%d: entry %d is %g, want %g", n, i, got[i], want)
			}
		}
	}
}

func TestHadamardAndRotationsAreIdenticalAtAllLevelsAndWriteNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	same := func(what string, l level, n int, f func(level, []float32)) {
		x := randoms(r, n+2)
		x[0], x[n+1] = guard, guard
		want := slices.Clone(x)
		f(generic, want[1:n+1])
		f(l, x[1:n+1])
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%s of %d at %s: element %d is %g, want %g", what, n, levelNames[l], i-1, x[i], want[i])
			}
		}
	}
	for _, l := range fast() {
		for n := 1; n <= 1<<13; n *= 2 {
			same("Hadamard", l, n, hadamard)
		}
		for _, n := range rotationSizes() {
			same("Rotate", l, n, rotate)
			same("RotateBack", l, n, rotateBack)
		}
	}
}

func TestRotationIsOrthogonalAndRotateBackItsInverse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	for _, n := range rotationSizes() {
		x, y := randoms(r, n), randoms(r, n)
		before, dot := slices.Clone(x), dot64(x, y)
		Rotate(x)
		Rotate(y)
		if got := dot64(x, y); math.Abs(got-dot) > 1e-5*float64(n+1) {
			t.Errorf("n=%d: products of rotated vectors are %g, want %g", n, got, dot)
		}
		RotateBack(x)
		for i, v := range before {
			if math.Abs(float64(x[i]-v)) > 3e-6 {
				t.Fatalf("n=%d: entry %d comes back as %g, was %g", n, i, x[i], v)
			}
		}
	}
}

func dot64(a, b []float32) (s float64) {
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

// Where n is a power of two one large entry becomes n of equal size; elsewhere, as everywhere for vectors of many entries, what is
// left looks like Gaussian noise, whose largest of 10920 samples is 4 to 5 times the root mean square.
func TestRotationSpreadsOutliersOfEverySize(t *testing.T) {
	for _, n := range rotationSizes()[1:] {
		for _, at := range []int{0, n / 3, n / 2, n - 1} {
			x := make([]float32, n)
			x[at] = 1
			Rotate(x)
			peak := 0.0
			for _, v := range x {
				peak = max(peak, math.Abs(float64(v)))
			}
			if rms := 1 / math.Sqrt(float64(n)); n&(n-1) == 0 && math.Abs(peak/rms-1) > 1e-5 || n > 64 && peak > 5.5*rms {
				t.Errorf("n=%d: an outlier at %d leaves a peak of %.2f times the root mean square", n, at, peak/rms)
			}
		}
		// A vector of the same numbers, and one of a few outliers over noise.
		r := rand.New(rand.NewPCG(4, uint64(n)))
		flat, spiky := make([]float32, n), randoms(r, n)
		for i := range flat {
			flat[i] = 1
			if i%61 == 0 {
				spiky[i] = 30
			}
		}
		for name, x := range map[string][]float32{"constant": flat, "spiky": spiky} {
			rms := math.Sqrt(dot64(x, x) / float64(n))
			Rotate(x)
			peak := 0.0
			for _, v := range x {
				peak = max(peak, math.Abs(float64(v)))
			}
			if n >= 96 && peak > 5.5*rms {
				t.Errorf("n=%d: a %s vector has a peak of %.2f times its root mean square", n, name, peak/rms)
			}
		}
	}
}

// The signs are a constant of the format: files written with them must open for ever.
func TestSignsOfTheRotationNeverChange(t *testing.T) {
	var buf [signWords]uint64
	got := fmt.Sprintf("%x %x", rotationSigns(buf[:], 4096, 0, 0, 128), rotationSigns(make([]uint64, 1), 172, 1, 64, 128))
	if want := "[37c8e72ef7f9dcc2 77536e50b80bdfa1] [96e44e54c404433d]"; got != want {
		t.Errorf("signs are %s, want %s", got, want)
	}
	x := []float32{1, 2, 3}
	Rotate(x)
	if got := fmt.Sprint(x); got != "[-2.1213202 -1.6213202 2.6213202]" {
		t.Errorf("1 2 3 becomes %s", got)
	}
}

func TestHadamardRefusesOtherLengths(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Hadamard(make([]float32, 3))
}

func BenchmarkRotate(b *testing.B) {
	for _, l := range levels() {
		for _, n := range []int{256, 896, 4096, 10920, 16384} {
			b.Run(fmt.Sprintf("%s/n=%d", levelNames[l], n), func(b *testing.B) {
				x := make([]float32, n)
				b.SetBytes(int64(4 * n))
				for b.Loop() {
					rotate(l, x)
				}
			})
		}
	}
}

func TestRotate64IsTheSameMatrix(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 2))
	for _, n := range rotationSizes() {
		x := randoms(r, n)
		y := make([]float64, n)
		for i, v := range x {
			y[i] = float64(v)
		}
		Rotate(x)
		Rotate64(y)
		for i, v := range y {
			if math.Abs(v-float64(x[i])) > 1e-5 {
				t.Fatalf("n=%d: entry %d is %g, of Rotate %g", n, i, v, x[i])
			}
		}
	}
}

func TestRotateSquaresIsTheMeanOverSigns(t *testing.T) {
	if s := []float64{1, 2, 3, 6}; true {
		RotateSquares(s)
		if !slices.Equal(s, []float64{3, 3, 3, 3}) {
			t.Errorf("four entries give %v", s)
		}
	}
	s := []float64{1, 3, 8} // the first two, then the last two
	RotateSquares(s)
	if !slices.Equal(s, []float64{2, 5, 5}) {
		t.Errorf("three entries give %v", s)
	}
}

func BenchmarkRotate64(b *testing.B) {
	x := make([]float64, 4096)
	b.SetBytes(8 * 4096)
	for b.Loop() {
		Rotate64(x)
	}
}
