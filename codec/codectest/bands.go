package codectest

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// bands rounds band by band, the last band first, and wants the bytes of the whole matrix and in place the values that decode.
func bands(t *testing.T, c codec.Codec, w tensor.Mat, term codec.Term) {
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	banded, ok := grid.(codec.Banded)
	if !ok {
		return
	}
	rounded := clone(w)
	list := banded.Bands()
	end := w.Rows
	for _, b := range slices.Backward(list) {
		r0, r1 := b.Rows()
		if r1 != end || r0 >= r1 {
			t.Fatalf("bands do not follow one another: rows %d…%d before %d", r0, r1, end)
		}
		end = r0
		for col := (w.Cols - 1) / b.Step() * b.Step(); col >= 0 && w.Cols > 0; col -= b.Step() {
			b.Round(rounded.Slice(r0, r1), col)
		}
	}
	if end != 0 {
		t.Fatalf("no band has the rows up to %d", end)
	}
	packed := grid.Pack()
	sameTerm(t, "Round by bands", packed, term)
	if !slices.Equal(rounded.Data, Decode(packed).Data) {
		t.Error("Round of bands leaves other values than the term decodes to")
	}
}

// refits multiplies the scales of one row and wants its values, and no others, multiplied by the factors that are returned.
func refits(t *testing.T, c codec.Codec, w tensor.Mat) {
	for _, factor := range []float32{1, 1.1, 0.8} {
		grid, err := c.Fit(w, nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		row := w.Rows / 2
		want := clone(w)
		for col := 0; col < w.Cols; col += grid.Step() {
			grid.Round(want, col)
		}
		if w.Rows == 0 || !refitRow(grid, row, factor, want.Row(row)) {
			return
		}
		for i, v := range Decode(grid.Pack()).Data {
			if d := math.Abs(float64(v - want.Data[i])); d > 1e-6*math.Abs(float64(v)) {
				t.Fatalf("after a refit by %g element %d is %g, want %g", factor, i, v, want.Data[i])
			}
		}
	}
}

// refitRow multiplies the scales of a row of grid, and the values by what was stored; false if grid has no scales.
func refitRow(grid codec.Grid, row int, factor float32, values []float32) bool {
	switch g := grid.(type) {
	case codec.GroupRefitter:
		for k := 0; k*g.GroupCols() < len(values); k++ {
			stored := g.RefitGroup(row, k, factor)
			for i := k * g.GroupCols(); i < min(len(values), (k+1)*g.GroupCols()); i++ {
				values[i] *= stored
			}
		}
	case codec.Refitter:
		stored := g.Refit(row, factor)
		for i := range values {
			values[i] *= stored
		}
	default:
		return false
	}
	return true
}

// gains wants of a gain of 2 the grid of the doubled matrix, where the codec heeds gains. Asymmetric ranges widen about their middle instead.
func gains(t *testing.T, c codec.Codec) {
	if name := innermost(c.Name()); strings.HasSuffix(name, "-asym") || strings.HasSuffix(name, "-mid") {
		return
	}
	w := scaled(Matrix(17, 32, 256), 64) // so that no F16 scale is below the normal range
	double := scaled(clone(w), 2)
	fit := func(w tensor.Mat, gain float32) tensor.Mat {
		grid, err := c.Fit(w, nil, codec.FitOptions{Gain: gain})
		if err != nil {
			t.Fatal(err)
		}
		RoundAll(grid, double)
		return Decode(grid.Pack())
	}
	plain, doubled, gained := fit(w, 0), fit(double, 1), fit(w, 2)
	if !slices.Equal(plain.Data, fit(w, 1).Data) {
		t.Error("a gain of 1 is not none")
	}
	if !slices.Equal(gained.Data, doubled.Data) && !slices.Equal(gained.Data, plain.Data) {
		t.Error("a gain of 2 gives neither the grid of the doubled matrix nor that of no gain")
	}
}
