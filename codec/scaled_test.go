package codec_test

import (
	"math"
	"sync"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

// factorsOf returns factors between 1/8 and 8.
func factorsOf(n int) []float32 {
	f := make([]float32, n)
	for i := range f {
		f[i] = float32(math.Exp2(float64(i*7%61)/10 - 3))
	}
	return f
}

func TestEveryFamilyConformsScaled(t *testing.T) {
	for _, name := range []string{"f32-scaled", "int4-g32-asym-scaled", "nuq3-grow-scaled", "vq2-2-g128-scaled", "q4_k-scaled", "int4-g128-scaled-had"} {
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codectest.Run(t, c)
		})
	}
}

// Whatever the factors, every way to round gives the same bytes, and products are those of the decoded matrix.
func TestScaledGridsAndProductsAgreeWithFactors(t *testing.T) {
	for _, name := range []string{"int4-g128", "vq2-3-g64", "f16", "e8p-grow"} {
		inner, _ := codec.Parse(name)
		const rows, cols = 70, 256
		w := codectest.Matrix(21, rows, cols)
		c := codec.ScaleInputs(inner, factorsOf(cols))
		fit := func() codec.Grid {
			g, err := c.Fit(w, nil, codec.FitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		whole := fit()
		codec.RoundAll(whole, w, 2)
		want := codectest.Decode(whole.Pack())
		rounded := tensor.NewMat(rows, cols)
		copy(rounded.Data, w.Data)
		bands := fit()
		for _, b := range bands.(codec.Banded).Bands() {
			r0, r1 := b.Rows()
			for col := 0; col < cols; col += b.Step() {
				b.Round(rounded.Slice(r0, r1), col)
			}
		}
		opened, err := codec.ScaleInputs(inner, nil).Open(rows, cols, bands.Pack().Parts())
		if err != nil {
			t.Fatal(err)
		}
		decoded := codectest.Decode(opened)
		for i, v := range want.Data {
			if rounded.Data[i] != v || decoded.Data[i] != v {
				t.Fatalf("%s: element %d is %g as a whole, %g by bands, %g opened", name, i, v, rounded.Data[i], decoded.Data[i])
			}
		}
		x, y := codectest.Matrix(22, 2, cols), tensor.NewMat(2, rows)
		opened.MulAdd(y, codec.NewInput(x), 0, rows)
		for i := range 2 {
			for r := range rows {
				var sum, norm, size float64
				for k, v := range want.Row(r) {
					sum += float64(v) * float64(x.Row(i)[k])
					norm += float64(v) * float64(v)
					size += float64(x.Row(i)[k]) * float64(x.Row(i)[k])
				}
				if d := math.Abs(sum - float64(y.Row(i)[r])); d > 0.03*math.Sqrt(norm*size) {
					t.Fatalf("%s: product %g, want %g", name, y.Row(i)[r], sum)
				}
			}
		}
	}
}

func TestScaledInputsAreSharedByEqualFactors(t *testing.T) {
	x := codectest.Matrix(23, 3, 64)
	in := codec.NewInput(x)
	a, b, other := factorsOf(64), factorsOf(64), factorsOf(64)
	other[5]++
	var got [6]*codec.Input
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = in.Scaled([][]float32{a, b, other}[i%3]) })
	}
	wg.Wait()
	if got[0] != got[1] || got[0] != got[3] || got[2] != got[5] || got[0] == got[2] {
		t.Error("equal factors have different inputs, or others the same")
	}
	for range 3 {
		for i, v := range in.Scaled(other).X.Data {
			if want := in.X.Data[i] * other[i%64]; v != want {
				t.Fatalf("feature %d is %g, want %g", i, v, want)
			}
		}
		in.Reset(codectest.Matrix(24, 2, 64))
	}
}

func TestAWQFactorsFollowMagnitudes(t *testing.T) {
	f := codec.InputFactors([]float32{1, 16, 0, 256}, 4, 0.5)
	for i, want := range []float64{10, 5, 100, 2.5} { // (v/256)^(-1/4): 4, 2, (10^-8)^(-1/4) = 100, 1, over √100
		if want = want * 4 / 10 / 10; math.Abs(float64(f[i])-want) > 1e-5*want && i != 2 {
			t.Errorf("factor %d is %g, want %g", i, f[i], want)
		}
	}
	if f[2] != 10 {
		t.Errorf("a dead feature has factor %g", f[2])
	}
	for _, v := range codec.InputFactors(nil, 3, 0.5) {
		if v != 1 {
			t.Errorf("factor %g without importance", v)
		}
	}
}

func TestScaledTermsRefuseFactorsThatAreNone(t *testing.T) {
	c, _ := codec.Parse("int4-g32-scaled")
	g, err := c.Fit(codectest.Matrix(25, 2, 64), nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	codec.RoundAll(g, codectest.Matrix(25, 2, 64), 1)
	parts := g.Pack().Parts()
	for _, bad := range [][2]byte{{0, 0}, {0, 0xbc}, {0, 0x7c}, {1, 0x7e}} { // 0, -1, +Inf, NaN
		parts[2].Data[6], parts[2].Data[7] = bad[0], bad[1]
		if _, err := c.Open(2, 64, parts); err == nil {
			t.Errorf("factor % x opens", bad)
		}
	}
}
