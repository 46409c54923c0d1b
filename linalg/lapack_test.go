package linalg

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// reference is a matrix of testdata/lapack.json.
type reference struct {
	Name, Kind    string
	Rows, Cols    int
	Formula       string // instead of Matrix
	Matrix        []float64
	Lapack, Exact []float64
	Vectors       []float64
}

func references(t *testing.T, kind string) []reference {
	t.Helper()
	data, err := os.ReadFile("testdata/lapack.json")
	if err != nil {
		t.Fatal(err)
	}
	var all, list []reference
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Kind == kind {
			if r.Formula != "" {
				r.Matrix = r.byFormula(t)
			}
			list = append(list, r)
		}
	}
	if len(list) < 5 {
		t.Fatalf("%d references", len(list))
	}
	return list
}

// generator is the one of testdata/README.md, from −½ to ½.
type generator uint64

func (g *generator) next() float64 {
	*g = (*g*1103515245 + 12345) % (1 << 31)
	return float64(*g)/(1<<31) - 0.5
}

func (g *generator) matrix(rows, cols int, f func(v float64, j int) float64) Dense {
	a := NewDense(rows, cols)
	for i := range a.Data {
		a.Data[i] = f(g.next(), i%cols)
	}
	return a
}

// byFormula returns a matrix that the file does not spell out.
func (r reference) byFormula(t *testing.T) []float64 {
	t.Helper()
	m, n := r.Rows, r.Cols
	plain := func(v float64, _ int) float64 { return v }
	whole := func(v float64, _ int) float64 { return math.Floor(16 * v) }
	g := map[string]generator{"random": 1, "graded": 2, "deficient": 3, "symmetric": 5, "gram": 6}[r.Formula]
	switch r.Formula {
	case "hilbert":
		a := NewDense(m, n)
		for i := range a.Data {
			a.Data[i] = 1 / float64(i/n+i%n+1)
		}
		return a.Data
	case "random":
		return g.matrix(m, n, plain).Data
	case "graded":
		return g.matrix(m, n, func(v float64, j int) float64 { return math.Ldexp(v, -j) }).Data
	case "deficient":
		h := generator(4)
		return g.matrix(m, 9, whole).Times(h.matrix(9, n, whole), 1).Data
	case "symmetric":
		a := g.matrix(n, n, plain)
		b := a.Transposed()
		for i, v := range b.Data {
			a.Data[i] += v
		}
		return a.Data
	case "gram":
		b := g.matrix(n, 9, whole)
		return b.TimesT(b, 1).Data
	}
	t.Fatalf("no formula %q", r.Formula)
	return nil
}

// check tests values against what they are, to the accuracy of a backward stable method, and to 1e-5 of each where LAPACK is
// accurate; and vectors of values that lie apart.
func (r reference) check(t *testing.T, values, vectors []float64) {
	t.Helper()
	if len(values) != len(r.Exact) {
		t.Fatalf("%s: %d values", r.Name, len(values))
	}
	largest := 0.0
	for _, v := range r.Exact {
		largest = max(largest, math.Abs(v))
	}
	compared := 0
	for i, v := range values {
		exact, lapack := r.Exact[i], r.Lapack[i]
		if math.Abs(v-exact) > 8*float64(r.Rows+r.Cols)*epsilon*largest {
			t.Errorf("%s: value %d is %g, not %g", r.Name, i, v, exact)
		}
		if math.Abs(lapack-exact) < 1e-6*math.Abs(exact) {
			compared++
			if math.Abs(v-lapack) > 1e-5*math.Abs(lapack) {
				t.Errorf("%s: value %d is %g, LAPACK finds %g", r.Name, i, v, lapack)
			}
		}
	}
	if compared < 5 {
		t.Errorf("%s: %d values of LAPACK's are accurate", r.Name, compared)
	}
	n := len(r.Vectors) / max(1, len(values))
	for i := 0; n > 0 && i < len(values); i++ {
		var s float64
		for j := range n {
			s += vectors[i*n+j] * r.Vectors[i*n+j]
		}
		if math.Abs(math.Abs(s)-1) > 1e-11 {
			t.Errorf("%s: vector %d and LAPACK's have the product %g", r.Name, i, s)
		}
	}
}

func TestSVDAgreesWithLAPACK(t *testing.T) {
	for _, r := range references(t, "svd") {
		a := Dense{r.Rows, r.Cols, r.Matrix}
		got, err := SVD(a, 1)
		if err != nil {
			t.Fatal(err)
		}
		r.check(t, got.S, got.V.Data)
		checkSVD(t, r.Name, a, got, 8*float64(r.Rows+r.Cols)*epsilon)
	}
}

func TestEigenAgreesWithLAPACK(t *testing.T) {
	for _, r := range references(t, "eigen") {
		a := Matrix{r.Rows, r.Matrix}
		values, v, err := Eigen(a, 1)
		if err != nil {
			t.Fatal(err)
		}
		r.check(t, values, v.Data)
		checkEigen(t, a, values, v)
	}
}
