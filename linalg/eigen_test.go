package linalg

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// symmetric returns a random symmetric matrix; rank < n gives a Gram matrix of that rank.
func symmetric(n, rank int, seed uint64) Matrix {
	rng := rand.New(rand.NewPCG(seed, 1))
	a := NewMatrix(n)
	if rank >= n {
		for i := range n {
			for j := range i + 1 {
				v := rng.NormFloat64()
				a.Data[i*n+j], a.Data[j*n+i] = v, v
			}
		}
		return a
	}
	x := make([]float64, n)
	for range rank {
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		for i := range n {
			for j := range n {
				a.Data[i*n+j] += x[i] * x[j]
			}
		}
	}
	return a
}

// checkEigen tests A·vᵢ = λᵢ·vᵢ, V·Vᵀ = I and the order of the values. Backward stability: errors are a small multiple of n·ε·‖A‖.
func checkEigen(t *testing.T, a Matrix, values []float64, v Matrix) {
	t.Helper()
	n := a.N
	norm := 1e-300
	for _, x := range a.Data {
		norm += x * x
	}
	norm = math.Sqrt(norm)
	tolerance := 8 * float64(n) * 0x1p-53
	for i := range n {
		if i > 0 && values[i] > values[i-1] {
			t.Fatalf("value %d is larger than the one before", i)
		}
		for j := range n {
			var av, vv float64
			for k := range n {
				av += a.Row(j)[k] * v.Row(i)[k]
				vv += v.Row(i)[k] * v.Row(j)[k]
			}
			if d := math.Abs(av - values[i]*v.Row(i)[j]); d > tolerance*norm {
				t.Fatalf("n = %d: A·v and λ·v of value %d differ by %g (norm %g)", n, i, d, norm)
			}
			want := 0.0
			if i == j {
				want = 1
			}
			if d := math.Abs(vv - want); d > tolerance {
				t.Fatalf("n = %d: vectors %d and %d have the product %g", n, i, j, vv)
			}
		}
		largest := 0.0
		for _, x := range v.Row(i) {
			if math.Abs(x) > math.Abs(largest) {
				largest = x
			}
		}
		if largest < 0 {
			t.Fatalf("vector %d has a negative largest component", i)
		}
	}
}

func TestEigenvectorsDiagonalize(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 16, 65, 130} {
		for _, rank := range []int{n, n / 2, 1} {
			a := symmetric(n, rank, uint64(n*1000+rank))
			values, v, err := Eigen(a, 2)
			if err != nil {
				t.Fatal(err)
			}
			checkEigen(t, a, values, v)
		}
	}
}

func TestEigenvaluesOfKnownMatrices(t *testing.T) {
	// The second difference of n points has the eigenvalues 2 − 2·cos(πk/(n+1)).
	n := 40
	a := NewMatrix(n)
	for i := range n {
		a.Row(i)[i] = 2
		if i > 0 {
			a.Row(i)[i-1], a.Row(i - 1)[i] = -1, -1
		}
	}
	values, v, err := Eigen(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	checkEigen(t, a, values, v)
	for i, got := range values {
		if want := 2 - 2*math.Cos(math.Pi*float64(n-i)/float64(n+1)); math.Abs(got-want) > 1e-13 {
			t.Errorf("value %d is %v, want %v", i, got, want)
		}
	}
	for _, scale := range []float64{0, 1, 1e-160, 1e150} {
		d := NewMatrix(5)
		for i := range 5 {
			d.Row(i)[i] = scale * float64(i%3)
		}
		values, v, err := Eigen(d, 1)
		if err != nil {
			t.Fatal(err)
		}
		if scale == 1 {
			checkEigen(t, d, values, v)
		}
		if values[0] != 2*scale || values[4] != 0 {
			t.Errorf("diagonal matrix: values %v", values)
		}
	}
}

func TestEigenOfManySpectra(t *testing.T) {
	const n = 150
	for name, f := range map[string]func(i int) float64{
		"graded":       func(i int) float64 { return math.Exp2(-float64(i)) },
		"clusters":     func(i int) float64 { return float64(i/40) + 1e-14*float64(i%40) },
		"two values":   func(i int) float64 { return float64(2*(i%2) - 1) },
		"one apart":    func(i int) float64 { return 1 + 1e8*float64(max(0, 1-i)) },
		"close pairs":  func(i int) float64 { return float64(i/2) + 1e-9*float64(i%2) },
		"both signs":   func(i int) float64 { return math.Exp2(-float64(i)/8) * float64(1-2*(i%2)) },
		"mostly zeros": func(i int) float64 { return float64(max(0, i-n+5)) },
	} {
		q := gaussian(n, n, 77)
		orthonormalRows(q, crew{1, context.Background()})
		scaled := q.Transposed()
		for i := range n {
			for j := range n {
				scaled.Row(i)[j] *= f(j)
			}
		}
		a := Matrix{n, scaled.Times(q, 1).Data}
		for i := range n {
			for j := range i {
				a.Row(j)[i] = a.Row(i)[j]
			}
		}
		for _, scale := range []float64{1, 0x1p-400, 0x1p400} {
			b := a.Clone()
			for i := range b.Data {
				b.Data[i] *= scale
			}
			values, v, err := Eigen(b, 2)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := range values {
				values[i] /= scale
			}
			checkEigen(t, a, values, v)
		}
	}
}

func TestEigenOfTridiagonalMatrices(t *testing.T) {
	for name, f := range map[string]func(i int) (d, e float64){
		"Wilkinson":       func(i int) (d, e float64) { return math.Abs(float64(i - 60)), 1 },
		"glued Wilkinson": func(i int) (d, e float64) { return math.Abs(float64(i%21 - 10)), 1 - (1-1e-7)*float64(i%21/20) },
		"Clement":         func(i int) (d, e float64) { return 0, math.Sqrt(float64((i + 1) * (120 - i))) },
		"falling":         func(i int) (d, e float64) { return math.Exp2(-float64(i)), math.Exp2(-float64(i) - 1) },
		"apart":           func(i int) (d, e float64) { return float64(i % 3), 0 },
		"negative":        func(i int) (d, e float64) { return 0, -1 },
		"nearly apart":    func(i int) (d, e float64) { return 1, 1e-16 * float64(i%7) },
	} {
		a := NewMatrix(121)
		for i := range a.N {
			d, e := f(i)
			a.Row(i)[i] = d
			if i+1 < a.N {
				a.Row(i)[i+1], a.Row(i + 1)[i] = e, e
			}
		}
		values, v, err := Eigen(a, 1)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkEigen(t, a, values, v)
	}
}

func TestEigenIsTheSameForAnyNumberOfWorkers(t *testing.T) {
	skipUnderLibrary(t)
	a := symmetric(450, 450, 4)
	values, v, err := Eigen(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.N { // what is above the diagonal has no meaning
		for j := i + 1; j < a.N; j++ {
			a.Row(i)[j] = math.NaN()
		}
	}
	again, w, err := Eigen(a, 5)
	if err != nil || !slices.Equal(values, again) || !slices.Equal(v.Data, w.Data) {
		t.Errorf("other results with five workers (%v)", err)
	}
}

func TestEigenOfWhatIsNotFiniteIsAnError(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		for _, at := range []int{0, 7, 24} {
			a := symmetric(5, 5, 1)
			a.Data[at] = bad
			if at == 7 { // of the upper triangle: mirror it
				a.Data[2*5+1] = bad
			}
			if _, _, err := Eigen(a, 1); !errors.Is(err, ErrNoConvergence) {
				t.Errorf("element %d is %v: error %v", at, bad, err)
			}
		}
	}
}
