package codec_test

import (
	"math"
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func stored(t testing.TB, name string, w tensor.Mat) codec.Term {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	codectest.RoundAll(grid, w)
	return grid.Pack()
}

// A combination is the sum of its atoms' products, for few tokens and for many, and its rows are decoded as the definition says.
func TestCombinationsAreWeightedSumsOfTheirAtoms(t *testing.T) {
	const rows, cols = 96, 192
	coefficients := []float32{0.75, -1.5, 0}
	for _, inner := range []string{"f32", "int8-g64", "tcq-lut7-3"} {
		var atoms []codec.Term
		for s := range coefficients {
			atoms = append(atoms, stored(t, inner, codectest.Matrix(uint64(s+1), rows, cols)))
		}
		term := codec.AtomsOf(3, mustParse(t, inner)).Combine(coefficients, atoms)
		want := tensor.NewMat(rows, cols)
		for s, a := range atoms {
			for i, v := range codectest.Decode(a).Data {
				want.Data[i] += float32(coefficients[s] * v)
			}
		}
		for i, v := range codectest.Decode(term).Data {
			if v != want.Data[i] {
				t.Fatalf("%s: element %d is %g, want %g", inner, i, v, want.Data[i])
			}
		}
		for _, tokens := range []int{1, 12} {
			x := codectest.Matrix(9, tokens, cols)
			y, sum, part := tensor.NewMat(tokens, rows), tensor.NewMat(tokens, rows), tensor.NewMat(tokens, rows)
			term.MulAdd(y, codec.NewInput(x), 0, rows)
			for s, a := range atoms {
				clear(part.Data)
				a.MulAdd(part, codec.NewInput(x), 0, rows)
				for i, v := range part.Data {
					sum.Data[i] += coefficients[s] * v
				}
			}
			var diff, norm float64
			for i, v := range sum.Data {
				diff += math.Pow(float64(v-y.Data[i]), 2)
				norm += math.Pow(float64(v), 2)
			}
			if bound := 1e-10 * norm; diff > bound { // 3·cols roundings of 2⁻²⁴ each, squared
				t.Errorf("%s, %d tokens: squared difference %g of %g", inner, tokens, diff, norm)
			}
		}
	}
}

func mustParse(t testing.TB, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCombinationsThatCannotBeAreRefused(t *testing.T) {
	for name, want := range map[string]string{"atoms0-f16": "use 1 to 64", "atoms65-f16": "use 1 to 64", "atoms2-lr4-f16": "combination", "atoms2-atoms2-f16": "combination",
		"atoms2-nonsense": "unknown codec", "atoms99999999999999999999-f16": "use 1 to 64"} {
		if _, err := codec.Parse(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	c := mustParse(t, "atoms2-f32")
	parts := stored(t, "atoms2-f32", codectest.Matrix(1, 2, 8)).Parts()
	nan := append([]codec.Part{}, parts...)
	nan[0].Data = []byte{0, 0, 0xc0, 0x7f, 0, 0, 0, 0}
	for _, bad := range [][]codec.Part{nil, parts[1:], parts[:2], append(parts[:3:3], parts[2]), nan} {
		if _, err := c.Open(2, 8, bad); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%d parts: error %v", len(bad), err)
		}
	}
}
