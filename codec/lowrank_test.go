package codec_test

import (
	"math"
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func parsedAs(t *testing.T, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRanksFollowFromShapesAndStayWithinTheirShare(t *testing.T) {
	for _, c := range []struct {
		name       string
		rows, cols int
		want       int
	}{
		{"lr64-f16", 512, 512, 64}, {"lr0.8-f16", 512, 512, 204}, {"lr0.5-f16", 100, 50, 16}, {"lr1.0-f16", 64, 64, 32}, {"lr0.80-f32", 64, 172, 37},
		{"lr0.8-q8_0", 512, 512, 192}, {"lr0.6-f16", 0, 256, 0}, {"lr0.01-f16", 64, 64, 0},
	} {
		if got := parsedAs(t, c.name).(codec.LowRank).Rank(c.rows, c.cols); got != c.want {
			t.Errorf("%s of (%d, %d) has rank %d, want %d", c.name, c.rows, c.cols, got, c.want)
		}
	}
	for _, inner := range []string{"f16", "int8-g64", "int4-g32", "q8_0", "tcq-lut8-3", "int8-g64-had"} {
		for _, keep := range []string{"0.25", "0.5", "0.8", "1.0"} {
			for _, shape := range [][2]int{{64, 64}, {172, 64}, {64, 172}, {96, 4096}, {1000, 999}} {
				c := parsedAs(t, "lr"+keep+"-"+inner).(codec.LowRank)
				whole := float64(c.Inner().Size(shape[0], shape[1]))
				if n := c.Rank(shape[0], shape[1]); n > 0 && float64(c.Size(shape[0], shape[1])) > c.Ratio()*whole {
					t.Errorf("%s of %v: rank %d takes %d bytes of %g", c.Name(), shape, n, c.Size(shape[0], shape[1]), whole)
				}
			}
		}
	}
}

func TestLowRankNamesThatMeanNothingAreErrorsThatSayWhatWould(t *testing.T) {
	for name, want := range map[string]string{
		"lr0-f16": "use 1 to", "lr0.0-f16": "more than 0", "lr1.5-f16": "at most 1.0", "lr99999999999-f16": "use 1 to", "lr1.2.3-f16": "more than 0",
		"lr64-lr8-f16": "itself a product", "lr64-magic": "factors of lr64-magic", "lr-f16": "unknown codec", "lr64": "unknown codec",
	} {
		if _, err := codec.Parse(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for name, want := range map[string]string{"lr0.80-f16": "lr0.8-f16", "lr1.0-f16": "lr1.0-f16", "lr032-int8-g64-had": "lr32-int8-g64-had", "lr8-f16+lr8-f16": "2*lr8-f16"} {
		if got := parsedAs(t, name).Name(); got != want {
			t.Errorf("%s is called %s, want %s", name, got, want)
		}
	}
}

func TestFactorsLargerThanTheMatrixAreRefused(t *testing.T) {
	for name, want := range map[string]string{
		"lr33-f16": "use a rank below 33", "lr65-f16": "use at most 64", "lr0.01-f16": "rank 0", "lr33-int8-g32": "use a rank below", "lr16-q8_0": "use ",
	} {
		err := parsedAs(t, name).Check(64, 64)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for name, want := range map[string]string{
		"lr64-f16": "f16", "lr64-q4_k": "f16", "int3-g64+lr64-int8-g64": "int3-g64", "q4_k+lr8-f16": "f16", "lr8-bf16+lr8-f32": "bf16", "2*q8_0": "2*f16",
	} {
		if got := codec.Fallback(name, 172); got != want {
			t.Errorf("%s falls back to %s, want %s", name, got, want)
		}
	}
}

// A matrix of the codec's rank is stored to the precision of its factors.
func TestMatricesOfTheRankAreKept(t *testing.T) {
	for _, shape := range [][2]int{{40, 90}, {90, 40}, {64, 64}} {
		u, v := codectest.Matrix(1, shape[0], 3), codectest.Matrix(2, 3, shape[1])
		w := tensor.NewMat(shape[0], shape[1])
		for r := range w.Rows {
			for c := range w.Cols {
				for k := range 3 {
					w.Row(r)[c] += u.Row(r)[k] * v.Row(k)[c]
				}
			}
		}
		for name, limit := range map[string]float64{"lr3-f32": 1e-6, "lr3-f16": 2e-3, "lr5-f32": 1e-6, "lr2-f32": 1} {
			term := pack(t, parsedAs(t, name), w)
			got := codectest.Decode(term)
			var e, n float64
			for i, x := range w.Data {
				d := float64(x) - float64(got.Data[i])
				e, n = e+d*d, n+float64(x)*float64(x)
			}
			if relative := math.Sqrt(e / n); relative > limit || name == "lr2-f32" && relative < 1e-3 {
				t.Errorf("%s of %v: relative error %g", name, shape, relative)
			}
		}
	}
}

func pack(t *testing.T, c codec.Codec, w tensor.Mat) codec.Term {
	t.Helper()
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	codectest.RoundAll(grid, w)
	return grid.Pack()
}

// An input that is used again for other activations forgets the products it had, and terms do not take one another's.
func TestProductsOfAnInputAreThoseOfItsTermAndActivations(t *testing.T) {
	c := parsedAs(t, "lr4-f32")
	terms := []codec.Term{pack(t, c, codectest.Matrix(1, 8, 16)), pack(t, c, codectest.Matrix(2, 8, 16))}
	in := codec.NewInput(codectest.Matrix(3, 2, 16))
	for seed := range 3 {
		x := codectest.Matrix(uint64(3+seed), 2+seed, 16)
		in.Reset(x)
		for _, term := range terms {
			got, want := tensor.NewMat(x.Rows, 8), tensor.NewMat(x.Rows, 8)
			term.MulAdd(got, in, 0, 8)
			term.MulAdd(want, codec.NewInput(x), 0, 8)
			for i, v := range want.Data {
				if got.Data[i] != v {
					t.Fatalf("element %d is %g, want %g", i, got.Data[i], v)
				}
			}
		}
	}
}
