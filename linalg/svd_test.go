package linalg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func gaussian(rows, cols int, seed uint64) Dense {
	rng := rand.New(rand.NewPCG(seed, 7))
	a := NewDense(rows, cols)
	for i := range a.Data {
		a.Data[i] = rng.NormFloat64()
	}
	return a
}

// withValues returns U·diag(s)·V for random orthonormal U and V.
func withValues(rows, cols int, s []float64, seed uint64) Dense {
	c := crew{1, context.Background()}
	u, v := gaussian(len(s), rows, seed), gaussian(len(s), cols, seed+1)
	orthonormalRows(u, c)
	orthonormalRows(v, c)
	for i, x := range s {
		for j := range v.Row(i) {
			v.Row(i)[j] *= x
		}
	}
	return u.Transposed().Times(v, 1)
}

func values(n int, f func(i int) float64) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = f(i)
	}
	return s
}

func norm(d Dense) float64 { return math.Sqrt(d.energy()) }

// distance returns the largest difference of elements.
func distance(a, b Dense) float64 {
	var d float64
	for i, v := range a.Data {
		d = max(d, math.Abs(v-b.Data[i]))
	}
	return d
}

// product returns U·S·V.
func (r SVDResult) product() Dense {
	u := r.U.Clone()
	for i := range u.Rows {
		for j := range u.Row(i) {
			u.Row(i)[j] *= r.S[j]
		}
	}
	return u.Times(r.V, 1)
}

func identity(n int) Dense {
	d := NewDense(n, n)
	for i := range n {
		d.Row(i)[i] = 1
	}
	return d
}

// checkSVD tests orthonormality, order, signs, and the product against a: errors are a small multiple of n·ε·‖A‖.
func checkSVD(t *testing.T, name string, a Dense, r SVDResult, residual float64) {
	t.Helper()
	size, k := float64(max(a.Rows, a.Cols, 8)), len(r.S)
	if r.U.Rows != a.Rows || r.U.Cols != k || r.V.Rows != k || r.V.Cols != a.Cols {
		t.Fatalf("%s: shapes %d×%d, %d, %d×%d", name, r.U.Rows, r.U.Cols, k, r.V.Rows, r.V.Cols)
	}
	for i, s := range r.S {
		if s < 0 || i > 0 && s > r.S[i-1] {
			t.Fatalf("%s: values are not in order: %v", name, r.S)
		}
		largest := 0.0
		for _, v := range r.V.Row(i) {
			if math.Abs(v) > math.Abs(largest) {
				largest = v
			}
		}
		if largest <= 0 {
			t.Errorf("%s: right vector %d has the largest component %g", name, i, largest)
		}
	}
	if d := distance(r.V.TimesT(r.V, 1), identity(k)); d > 8*size*0x1p-53 {
		t.Errorf("%s: right vectors are orthonormal but for %g", name, d)
	}
	u := r.U.Transposed()
	if d := distance(u.TimesT(u, 1), identity(k)); d > 8*size*0x1p-53 {
		t.Errorf("%s: left vectors are orthonormal but for %g", name, d)
	}
	difference := r.product()
	for i, v := range a.Data {
		difference.Data[i] -= v
	}
	if d := norm(difference); !(d <= residual*norm(a)) {
		t.Errorf("%s: the product differs by %g of %g", name, d, norm(a))
	}
}

func TestSVDOfRandomDeficientAndGradedMatrices(t *testing.T) {
	for _, shape := range [][2]int{{0, 0}, {0, 3}, {1, 1}, {1, 5}, {4, 1}, {2, 2}, {7, 5}, {33, 33}, {40, 90}, {130, 64}} {
		m, n := shape[0], shape[1]
		k := min(m, n)
		for name, a := range map[string]Dense{
			"random":    gaussian(m, n, 1),
			"zero":      NewDense(m, n),
			"deficient": withValues(m, n, values(k, func(i int) float64 { return float64(max(0, k/2-i)) }), 2),
			"graded":    withValues(m, n, values(k, func(i int) float64 { return math.Exp2(-float64(i)) }), 3),
			"huge":      withValues(m, n, values(k, func(i int) float64 { return 1e150 / float64(i+1) }), 4),
			"tiny":      withValues(m, n, values(k, func(i int) float64 { return 1e-150 / float64(i+1) }), 5),
		} {
			r, err := SVD(a, 2)
			if err != nil {
				t.Fatal(err)
			}
			name = fmt.Sprintf("%s %d × %d", name, m, n)
			if name[0] == 'h' || name[0] == 't' { // norms would overflow
				a, r = scaled(a, r, 1/(1e-300+a.largest()))
			}
			checkSVD(t, name, a, r, 8*float64(max(m, n, 8))*0x1p-53)
		}
	}
}

func TestSVDOfBidiagonalMatrices(t *testing.T) {
	const n = 130
	for name, f := range map[string]func(i int) (d, e float64){
		"Toeplitz":      func(i int) (d, e float64) { return 2, -1 },
		"apart":         func(i int) (d, e float64) { return float64(i%5) + 1, float64(min(1, i%7)) },
		"diagonal":      func(i int) (d, e float64) { return float64(i%3) - 1, 0 },
		"nilpotent":     func(i int) (d, e float64) { return 0, 1 },
		"falling":       func(i int) (d, e float64) { return math.Exp2(-float64(i)), math.Exp2(-float64(i) - 2) },
		"rising":        func(i int) (d, e float64) { return math.Exp2(float64(i) - n), -math.Exp2(float64(i) - n) },
		"zero rows":     func(i int) (d, e float64) { return float64(min(1, i%10)), float64(min(1, i%10)) },
		"one half zero": func(i int) (d, e float64) { return float64(i / (n / 2)), float64(i/(n/2)) / 3 },
		"nearly apart":  func(i int) (d, e float64) { return 1, 1e-16 * float64(i%7) },
		"tiny blocks": func(i int) (d, e float64) {
			return math.Exp2(-700 * float64(i/20%2)), math.Exp2(-700*float64(i/20%2) - 1)
		},
	} {
		for _, transposed := range []bool{false, true} {
			a := NewDense(n, n)
			for i := range n {
				d, e := f(i)
				a.Row(i)[i] = d
				if i+1 < n {
					a.Row(i)[i+1] = e
				}
			}
			if transposed {
				a = a.Transposed()
			}
			r, err := SVD(a, 2)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkSVD(t, name, a, r, 8*n*epsilon)
		}
	}
}

func scaled(a Dense, r SVDResult, f float64) (Dense, SVDResult) {
	a, s := a.Clone(), slices.Clone(r.S)
	for i := range a.Data {
		a.Data[i] *= f
	}
	for i := range s {
		s[i] *= f
	}
	r.S = s
	return a, r
}

func TestSVDIsTheSameForAnyNumberOfWorkers(t *testing.T) {
	skipUnderLibrary(t)
	a := gaussian(210, 150, 9)
	one, err := SVD(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	five, err := SVD(a, 5)
	if err != nil || !slices.Equal(one.U.Data, five.U.Data) || !slices.Equal(one.S, five.S) || !slices.Equal(one.V.Data, five.V.Data) {
		t.Errorf("other results with five workers (%v)", err)
	}
}

func TestSVDOfWhatIsNotFiniteIsAnError(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		a := gaussian(40, 40, 1)
		a.Data[77] = bad
		if _, err := SVD(a, 1); !errors.Is(err, ErrNotFinite) {
			t.Errorf("SVD with %v: error %v", bad, err)
		}
		if _, _, err := TopSVD(a, 1, TopOptions{}, 1); !errors.Is(err, ErrNotFinite) {
			t.Errorf("TopSVD with %v: error %v", bad, err)
		}
	}
}

func TestEndedContextsStopDecompositions(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a := gaussian(100, 100, 1)
	if _, err := SVDContext(ctx, a, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("SVD: %v", err)
	}
	if _, _, err := TopSVDContext(ctx, a, 3, TopOptions{}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("TopSVD: %v", err)
	}
	if _, _, err := EigenContext(ctx, symmetric(50, 50, 1), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Eigen: %v", err)
	}
	if _, err := WhitenContext(ctx, symmetric(50, 5, 1), 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Whiten: %v", err)
	}
}
