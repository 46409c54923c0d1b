package linalg

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestCurvatureTimesItselfIsTheDampedMatrix(t *testing.T) {
	for _, n := range sizes[1:] {
		h := gram(11, n, 2*n+1, 0, func(i int) float64 { return 1 + float64(i%5) })
		dead := n / 2
		for i := range n {
			if n > 1 {
				h.Row(dead)[i], h.Row(i)[dead] = 0, 0
			}
		}
		f, err := NewCurvature(t.Context(), h, 0.02, 2)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := NewCurvature(t.Context(), h, 0.02, 1); !slices.Equal(again.L, f.L) || !slices.Equal(again.D, f.D) {
			t.Errorf("%d rows: the factor depends on workers", n)
		}
		mean, err := meanDiagonal(h)
		if err != nil || f.Damping != 0.02 {
			t.Fatalf("%d rows: damping %g, %v", n, f.Damping, err)
		}
		want, got := h.Clone(), NewMatrix(n)
		for i := range n {
			added := 0.02 * mean
			if h.Row(i)[i] == 0 {
				added += mean
			}
			if math.Abs(f.Added[i]-added) > 1e-12*added {
				t.Fatalf("%g was added to element %d, want %g", f.Added[i], i, added)
			}
			want.Row(i)[i] += added
			for j := range i + 1 {
				for k := range j + 1 {
					got.Row(i)[j] += float64(f.L[i*n+k]) * f.D[k] * float64(f.L[j*n+k])
				}
			}
		}
		near(t, "L·D·Lᵀ", got, want, 1e-6)
		x, quadratic := make([]float32, n), 0.0
		for i := range x {
			x[i] = float32(i%7) - 3
		}
		var size float64
		for i := range n {
			for j := range n {
				quadratic += float64(x[i]) * h.Row(i)[j] * float64(x[j])
			}
			size += float64(x[i]) * float64(x[i]) * (h.Row(i)[i] + f.Added[i])
		}
		if got := f.Loss(f.Times(x, 1), x); math.Abs(got-quadratic) > 1e-5*float64(n)*size {
			t.Errorf("%d rows: the loss is %g, want %g", n, got, quadratic)
		}
	}
}

func TestCurvatureDampsMoreWhereItMust(t *testing.T) {
	h := NewMatrix(2)
	copy(h.Data, []float64{1, 1.05, 1.05, 1}) // eigenvalues 2.05 and -0.05
	f, err := NewCurvature(t.Context(), h, 0.01, 1)
	if err != nil || math.Abs(f.Damping-0.1) > 1e-12 {
		t.Errorf("damping %v, %v; want 0.1", f, err)
	}
	copy(h.Data, []float64{1, 3, 3, 1})
	if _, err := NewCurvature(t.Context(), h, 0.01, 1); err == nil {
		t.Error("a matrix that no damping helps has a factor")
	}
	if _, err := NewCurvature(t.Context(), NewMatrix(3), 0.01, 1); !errors.Is(err, ErrZero) {
		t.Errorf("zeros: %v", err)
	}
	h.Data[0] = -1
	var bad *NotPositiveError
	if _, err := NewCurvature(t.Context(), h, 0.01, 1); !errors.As(err, &bad) {
		t.Errorf("a negative diagonal: %v", err)
	}
}
