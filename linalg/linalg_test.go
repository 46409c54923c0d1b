package linalg

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sizes lie around the halving and the grain of the rows.
var sizes = []int{0, 1, 2, 3, 15, 16, 17, 33, 64, 65, 100, 193}

// gram returns X·Xᵀ/n + ridge·I for Gaussian X, (n, tokens), whose row i is scaled by scale(i).
func gram(seed uint64, n, tokens int, ridge float64, scale func(i int) float64) Matrix {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, n*tokens)
	for i := range x {
		x[i] = rng.NormFloat64() * scale(i/tokens)
	}
	a := NewMatrix(n)
	for i := range n {
		for j := range n {
			var s float64
			for t := range tokens {
				s += float64(x[i*tokens+t] * x[j*tokens+t])
			}
			a.Row(i)[j] = s / float64(tokens)
		}
		a.Row(i)[i] += ridge
	}
	return a
}

func even(int) float64 { return 1 }

// product returns the lower triangle of L·D·Lᵀ at (i, j) for a lower triangular L and D given as a function.
func rebuilt(l Matrix) Matrix {
	out := NewMatrix(l.N)
	for i := range l.N {
		for j := range i + 1 {
			var s float64
			for p := range j + 1 {
				s += l.Row(i)[p] * l.Row(j)[p]
			}
			out.Row(i)[j], out.Row(j)[i] = s, s
		}
	}
	return out
}

// near wants |got-want| at every lower element within tolerance·sqrt(want_ii·want_jj): the componentwise bound of Cholesky.
func near(t *testing.T, what string, got, want Matrix, tolerance float64) {
	t.Helper()
	for i := range want.N {
		for j := range i + 1 {
			bound := tolerance * math.Sqrt(want.Row(i)[i]*want.Row(j)[j])
			if d := math.Abs(got.Row(i)[j] - want.Row(i)[j]); !(d <= bound) {
				t.Fatalf("%s: element (%d, %d) of %d is %g, want %g", what, i, j, want.N, got.Row(i)[j], want.Row(i)[j])
			}
		}
	}
}

func TestCholeskyOfAKnownMatrix(t *testing.T) {
	a := Unpack(3, []float64{4, 12, 37, -16, -43, 98})
	if err := Cholesky(a, 1); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float64{{2}, {6, 1}, {-8, 5, 3}} {
		if !slices.Equal(a.Row(i)[:i+1], want) {
			t.Errorf("row %d is %v, want %v", i, a.Row(i)[:i+1], want)
		}
	}
}

func TestCholeskyTimesItsTransposeIsTheMatrix(t *testing.T) {
	for _, n := range sizes {
		for name, a := range map[string]Matrix{
			"plain":          gram(1, n, 2*n+1, 0, even),
			"graded":         gram(2, n, 2*n+1, 0, func(i int) float64 { return math.Pow(10, -12*float64(i)/float64(n)) }),
			"graded upwards": gram(3, n, 2*n+1, 0, func(i int) float64 { return math.Pow(10, -12*float64(n-i)/float64(n)) }),
			"rank 3 damped":  gram(4, n, 3, 1e-6, even),
		} {
			l := a.Clone()
			if err := Cholesky(l, 1); err != nil {
				t.Fatalf("%s %d: %v", name, n, err)
			}
			near(t, name, rebuilt(l), a, 1e-15*float64(n+4))
		}
	}
}

func TestCholeskyIsTheTextbooksLoop(t *testing.T) {
	for _, n := range sizes {
		a := gram(5, n, 2*n+1, 0, even)
		want := a.Clone()
		if bad := want.choleskyPlain(0, n); bad != nil {
			t.Fatal(bad)
		}
		for _, workers := range []int{1, 2, 5} {
			l := a.Clone()
			if err := Cholesky(l, workers); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if !slices.Equal(l.Row(i)[:i+1], want.Row(i)[:i+1]) {
					t.Fatalf("%d rows, %d workers: row %d differs from the plain loop", n, workers, i)
				}
			}
		}
	}
}

func TestCholeskySaysWhereAMatrixIsNotPositive(t *testing.T) {
	for _, n := range []int{5, 40, 130} {
		for _, c := range []struct {
			pivot int
			make  func(pivot int) Matrix
		}{
			{0, func(int) Matrix { return NewMatrix(n) }},
			{n - 2, func(p int) Matrix {
				a := gram(6, n, 2*n, 0, even)
				a.Row(p)[p] = -1
				return a
			}},
			{n / 2, func(p int) Matrix {
				a := gram(6, n, 2*n, 0, even)
				a.Row(p)[p] = math.NaN()
				return a
			}},
			{n / 2, func(p int) Matrix {
				a := gram(6, n, 2*n, 0, even)
				a.Row(p)[p] = math.Inf(1)
				return a
			}},
			{3, func(p int) Matrix { // row 3 repeats row 1, exactly
				a := NewMatrix(n)
				for i := range n {
					a.Row(i)[i] = 4
				}
				a.Row(3)[1] = 4
				return a
			}},
		} {
			err := Cholesky(c.make(c.pivot), 2)
			var bad *NotPositiveError
			if !errors.As(err, &bad) || bad.Pivot != c.pivot {
				t.Errorf("%d rows: error %v, want one at pivot %d", n, err, c.pivot)
			}
		}
	}
}

func TestSolveAndInverse(t *testing.T) {
	for _, n := range sizes {
		a := gram(7, n, 3*n+1, 0.01, even)
		l := a.Clone()
		if err := Cholesky(l, 2); err != nil {
			t.Fatal(err)
		}
		x := make([]float64, n)
		want := make([]float64, n)
		for i := range want {
			want[i] = float64(i%7) - 2
		}
		for i := range n {
			for j, v := range a.Row(i) {
				x[i] += v * want[j]
			}
		}
		Solve(l, x)
		for i := range x {
			if math.Abs(x[i]-want[i]) > 1e-9 {
				t.Fatalf("%d rows: solution %d is %g, want %g", n, i, x[i], want[i])
			}
		}
		inv := Inverse(l, 3)
		for i, v := range InverseDiagonal(l) {
			if want := inv.Row(i)[i]; math.Abs(v-want) > 1e-12*want*float64(n) {
				t.Fatalf("%d rows: element %d of the inverse's diagonal is %g, want %g", n, i, v, want)
			}
		}
		if !slices.Equal(inv.Data, Inverse(l, 1).Data) {
			t.Errorf("%d rows: the inverse depends on workers", n)
		}
		for i := range n {
			for j := range n {
				var s float64
				for p := range n {
					s += a.Row(i)[p] * inv.Row(p)[j]
				}
				if i == j {
					s--
				}
				if math.Abs(s) > 1e-9 {
					t.Fatalf("%d rows: A·A⁻¹ is off by %g at (%d, %d)", n, s, i, j)
				}
			}
		}
	}
}

func TestSolveRightSolvesRows(t *testing.T) {
	for _, n := range sizes {
		l := gram(10, n, 3*n+1, 0.01, even)
		if err := Cholesky(l, 2); err != nil {
			t.Fatal(err)
		}
		for _, rows := range []int{0, 1, 5, 70} {
			x := make([]float64, rows*n)
			for i := range x {
				x[i] = float64(i%11) - 4
			}
			want := slices.Clone(x)
			for r := range rows {
				Solve(l, want[r*n:(r+1)*n])
			}
			other := slices.Clone(x)
			SolveRight(l, x, rows, 1)
			SolveRight(l, other, rows, 3)
			if !slices.Equal(x, other) {
				t.Fatalf("%d rows of %d: the solution depends on workers", rows, n)
			}
			for i, v := range want {
				if math.Abs(x[i]-v) > 1e-9*(1+math.Abs(v)) {
					t.Fatalf("%d rows of %d: element %d is %g, want %g", rows, n, i, x[i], v)
				}
			}
		}
	}
}

func TestBlockLDLTimesItselfIsTheMatrix(t *testing.T) {
	for _, n := range sizes {
		for _, step := range []int{1, 2, 4, 8, 16} {
			a := gram(8, n, 2*n+1, 0.01, even)
			l := a.Clone()
			if err := Cholesky(l, 2); err != nil {
				t.Fatal(err)
			}
			f := BlockLDL(l, step, 2)
			got := NewMatrix(n)
			for i := range n {
				for j := range i + 1 {
					got.Row(i)[j] = ldlElement(f, i, j)
				}
				for j, v := range f.L.Row(i)[i/step*step:] {
					if want := map[bool]float64{true: 1}[i/step*step+j == i]; j < i%step+1 && v != want {
						t.Fatalf("step %d: the diagonal block of row %d is no identity: %v", step, i, f.L.Row(i))
					}
				}
			}
			near(t, "L·D·Lᵀ", got, a, 1e-13)
		}
	}
}

// ldlElement returns element (i, j) of L·D·Lᵀ, j ≤ i.
func ldlElement(f LDL, i, j int) (s float64) {
	for b := 0; b <= j/f.Step; b++ {
		c, n := b*f.Step, min(f.Step, f.L.N-b*f.Step)
		for p := range n {
			for q := range n {
				s += f.L.Row(i)[c+p] * f.D[b][p*n+q] * f.L.Row(j)[c+q]
			}
		}
	}
	return s
}

func BenchmarkCholesky(b *testing.B) {
	for _, n := range []int{512, 1024, 2048} {
		a := gram(9, n, 64, 0.1, even)
		l := a.Clone()
		b.Run(map[int]string{512: "512", 1024: "1024", 2048: "2048"}[n], func(b *testing.B) {
			for b.Loop() {
				copy(l.Data, a.Data)
				if err := Cholesky(l, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(n)*float64(n)*float64(n)/3/1e9/b.Elapsed().Seconds(), "GFLOP/s")
		})
	}
}
