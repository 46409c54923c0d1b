package codec_test

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/kernels"
	"pith/tensor"
)

func TestEveryFamilyConformsRotated(t *testing.T) {
	for _, name := range []string{"f32-had", "bf16-had", "int3-grow-asym-had", "int4-g32-had", "q4_0-had", "q6_k-had", "nuq3-grow-had", "vq2-2.5-g32-had", "e8p-grow-had"} {
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codectest.Run(t, c)
		})
	}
	if _, err := codec.Parse("int4-g128-had-had"); err == nil || !strings.Contains(err.Error(), "int4-g128-had") {
		t.Errorf("rotated twice: %v", err)
	}
}

// A term of the rotated matrix by the inner codec is the term of the matrix by the rotated codec.
func TestRotateTermStoresWhatTheInnerCodecDoes(t *testing.T) {
	w := codectest.Matrix(3, 5, 172)
	inner, _ := codec.Parse("int4-g32")
	turned := tensor.NewMat(5, 172)
	copy(turned.Data, w.Data)
	for r := range 5 {
		kernels.Rotate(turned.Row(r))
	}
	encode := func(c codec.Codec, w tensor.Mat) codec.Term {
		g, err := c.Fit(w, nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codectest.RoundAll(g, w)
		return g.Pack()
	}
	outer := codec.Rotate(inner)
	if back, ok := codec.Unrotate(outer); !ok || back.Name() != "int4-g32" {
		t.Errorf("Unrotate gives %v, %v", back, ok)
	}
	if _, ok := codec.Unrotate(inner); ok {
		t.Error("a plain codec is said to be rotated")
	}
	got, want := encode(outer, w), codec.RotateTerm(encode(inner, turned))
	for i, p := range got.Parts() {
		if q := want.Parts()[i]; !slices.Equal(p.Data, q.Data) {
			t.Errorf("part %s differs", p.Name)
		}
	}
	if !slices.Equal(codectest.Decode(got).Data, codectest.Decode(want).Data) || got.Codec() != want.Codec() {
		t.Error("the terms differ")
	}
}

// With 4 bits and a scale a row, what rotation saves is what outliers cost.
func TestRotationLowersTheErrorOfRowsWithOutliers(t *testing.T) {
	w := codectest.Matrix(4, 16, 1024)
	for r := range w.Rows {
		w.Row(r)[r*37] = 100
	}
	loss := func(name string) (sum float64) {
		c, _ := codec.Parse(name)
		g, err := c.Fit(w, nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codectest.RoundAll(g, w)
		for i, v := range codectest.Decode(g.Pack()).Data {
			sum += math.Pow(float64(v-w.Data[i]), 2)
		}
		return sum
	}
	if plain, turned := loss("int4-grow"), loss("int4-grow-had"); turned > plain/4 {
		t.Errorf("error %g rotated, %g as it is", turned, plain)
	}
}

func TestRotatedInputIsMadeOnceForAllWhoReadIt(t *testing.T) {
	x := codectest.Matrix(1, 3, 352)
	in := codec.NewInput(x)
	var got [8]*codec.Input
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = in.Rotated() })
	}
	wg.Wait()
	for i := range got {
		if got[i] != got[0] {
			t.Fatal("workers see different inputs")
		}
	}
	check := func() {
		t.Helper()
		for i := range in.X.Rows {
			want := slices.Clone(in.X.Row(i))
			kernels.Rotate(want)
			if !slices.Equal(in.Rotated().X.Row(i), want) {
				t.Errorf("row %d is not the rotated one", i)
			}
			if q := kernels.QuantizeQ8(want); !slices.Equal(in.Rotated().Q8()[i].Codes, q.Codes) {
				t.Errorf("row %d has other codes", i)
			}
		}
	}
	check()
	in.Reset(codectest.Matrix(2, 2, 352))
	check()
	in.Reset(codectest.Matrix(3, 5, 64))
	check()
	if allocs := testing.AllocsPerRun(10, func() { in.Reset(x); in.Rotated().Q8() }); allocs > 1 {
		t.Errorf("an input used again allocates %g times", allocs)
	}
}

func TestFallbackOfRotatedCodecsIsRotated(t *testing.T) {
	for _, c := range []struct {
		name string
		cols int
		want string
	}{{"q4_k-had", 352, "q5_0-had"}, {"q4_k-had", 256, "q4_k-had"}, {"q4_k-had", 172, "f16"}, {"int4-g128-had", 7, "int4-g128-had"}} {
		if got := codec.Fallback(c.name, c.cols); got != c.want {
			t.Errorf("Fallback(%s, %d) = %s, want %s", c.name, c.cols, got, c.want)
		}
	}
}
