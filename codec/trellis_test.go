package codec_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func trellisCodec(t *testing.T, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fit(t *testing.T, c codec.Codec, w tensor.Mat) codec.Grid {
	t.Helper()
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return grid
}

func copyOf(m tensor.Mat) tensor.Mat {
	return tensor.Of(m.Rows, m.Cols, slices.Clone(m.Data))
}

func TestTrellisCodecsParseAtAnyRate(t *testing.T) {
	for _, name := range []string{"tcq-lut8-2.4375", "tcq-hash16-3", "tcq-hyb-1.5", "tcq-lut12-8", "tcq-1mad-1"} {
		if c := trellisCodec(t, name); c.Name() != name {
			t.Errorf("%s is parsed as %s", name, c.Name())
		}
	}
	for _, name := range []string{"tcq-", "tcq-lut8", "tcq-lut8-", "tcq-lut13-2", "tcq-lut8-2.5-", "tcq-lut8-2.01", "tcq-lut8-9", "tcq-hyb-2.25", "tcq-lut7-8", "tcq-lut8-2.50"} {
		if _, err := codec.Parse(name); err == nil || !strings.Contains(err.Error(), "use ") && !strings.Contains(err.Error(), "write it as") {
			t.Errorf("Parse(%q): %v", name, err)
		}
	}
}

// Bands cover the rows in order, whatever their number, and no row is padded that does not fill up a group of 16.
func TestTrellisBandsCoverTheRows(t *testing.T) {
	c := trellisCodec(t, "tcq-lut7-1")
	for rows := range 200 {
		grid := fit(t, c, tensor.NewMat(rows, 16))
		next := 0
		for _, b := range grid.(codec.Banded).Bands() {
			r0, r1 := b.Rows()
			if height := 256 / b.Step(); r0 != next || r1 <= r0 || r1-r0 > height || height-(r1-r0) > 15 {
				t.Fatalf("%d rows: band %d … %d of height %d after row %d", rows, r0, r1, height, next)
			}
			next = r1
		}
		if next != rows {
			t.Fatalf("%d rows: bands end at %d", rows, next)
		}
		if got, want := grid.Pack().Bytes(), int64((rows+15)/16*16*16/8+rows+4); got != want {
			t.Errorf("%d rows take %d bytes, want %d", rows, got, want)
		}
	}
}

// Bands may be rounded in any order; together they are what Round of all rows gives.
func TestTrellisBandsAreIndependent(t *testing.T) {
	c := trellisCodec(t, "tcq-lut7-2.5")
	w := codectest.Matrix(3, 64+32+16-3, 20)
	whole, apart := fit(t, c, w), fit(t, c, w)
	rounded := copyOf(w)
	for col := 0; col < w.Cols; col += whole.Step() {
		whole.Round(rounded, col)
	}
	bands := apart.(codec.Banded).Bands()
	slices.Reverse(bands)
	for _, b := range bands {
		r0, r1 := b.Rows()
		rows := copyOf(w.Slice(r0, r1))
		for col := 0; col < w.Cols; col += b.Step() {
			b.Round(rows, col)
		}
		if !slices.Equal(rows.Data, rounded.Slice(r0, r1).Data) {
			t.Errorf("rows %d … %d round to other values as a band", r0, r1)
		}
	}
	if a, b := whole.Pack().Parts()[0].Data, apart.Pack().Parts()[0].Data; !slices.Equal(a, b) {
		t.Error("bands leave other bytes")
	}
}

// With the scales as they are and no padding, values that decode are rounded to themselves.
func TestTrellisRoundingIsIdempotent(t *testing.T) {
	for _, name := range []string{"tcq-lut7-2", "tcq-lut8-4.0625", "tcq-lut10-1.5"} {
		w := codectest.Matrix(4, 112, 32)
		grid := fit(t, trellisCodec(t, name), w)
		for col := 0; col < w.Cols; col += grid.Step() {
			grid.Round(w, col)
		}
		once := copyOf(w)
		for col := 0; col < w.Cols; col += grid.Step() {
			grid.Round(w, col)
		}
		if !slices.Equal(once.Data, w.Data) {
			t.Errorf("%s: rounding twice changes values", name)
		}
	}
}

func TestTrellisRevertPutsTheLastTileBack(t *testing.T) {
	w := codectest.Matrix(5, 80, 20)
	grid := fit(t, trellisCodec(t, "tcq-lut7-2"), w)
	for col := 0; col < w.Cols; col += grid.Step() {
		grid.Round(w, col)
	}
	before := slices.Clone(grid.Pack().Parts()[0].Data)
	for _, b := range grid.(codec.Banded).Bands() {
		r0, r1 := b.Rows()
		b.Round(tensor.NewMat(r1-r0, w.Cols), 0)
		if slices.Equal(before, grid.Pack().Parts()[0].Data) {
			t.Error("other weights have the same bits")
		}
		b.(codec.Reverter).Revert(0)
	}
	if !slices.Equal(before, grid.Pack().Parts()[0].Data) {
		t.Error("Revert leaves other bits than there were")
	}
}

func TestTrellisRefitStoresTheNearestScale(t *testing.T) {
	w := codectest.Matrix(6, 33, 64)
	clear(w.Row(7))
	grid := fit(t, trellisCodec(t, "tcq-lut7-2"), w)
	for col := 0; col < w.Cols; col += grid.Step() {
		grid.Round(w, col)
	}
	before := codectest.Decode(grid.Pack())
	factors := make([]float32, w.Rows)
	for r := range factors {
		want := []float32{1, 0.8, 1.3, 1.01, 0.96}[r%5]
		factors[r] = grid.(codec.Refitter).Refit(r, want)
		if math.Abs(math.Log2(float64(factors[r]/want))) > 0.5/16+1e-3 && r != 7 {
			t.Errorf("row %d: factor %g is stored as %g", r, want, factors[r])
		}
	}
	after := codectest.Decode(grid.Pack())
	for r, f := range factors {
		for c, v := range after.Row(r) {
			if d := math.Abs(float64(v - before.Row(r)[c]*f)); d > 1e-6*math.Abs(float64(v)) {
				t.Fatalf("row %d: %g times %g is %g", r, before.Row(r)[c], f, v)
			}
		}
	}
}

func TestTrellisGainMultipliesScales(t *testing.T) {
	w := codectest.Matrix(8, 16, 64)
	c := trellisCodec(t, "tcq-lut7-2")
	wide, err := c.Fit(w, nil, codec.FitOptions{Gain: 2})
	if err != nil {
		t.Fatal(err)
	}
	base := func(g codec.Grid) float32 {
		var b [1]float32
		tensor.Decode(b[:], tensor.F32, g.Pack().Parts()[2].Data, 0)
		return b[0]
	}
	if a, b := base(fit(t, c, w)), base(wide); b != 2*a {
		t.Errorf("base %g becomes %g", a, b)
	}
}

// Bits chosen for tables that a code had before are refused, and not decoded with others.
func TestTrellisRefusesTilesOfOtherTables(t *testing.T) {
	c := trellisCodec(t, "tcq-lut12-2")
	parts := fit(t, c, codectest.Matrix(9, 4, 64)).Pack().Parts()
	if parts[0].Name != "tiles3" {
		t.Fatalf("tiles are %q", parts[0].Name)
	}
	parts[0].Name = "tiles"
	if _, err := c.Open(4, 64, parts); err == nil || !strings.Contains(err.Error(), "compress again") {
		t.Errorf("tiles of other tables: %v", err)
	}
}

func TestTrellisRefusesBasesThatAreNoScale(t *testing.T) {
	c := trellisCodec(t, "tcq-lut7-2")
	parts := fit(t, c, codectest.Matrix(9, 4, 64)).Pack().Parts()
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), -1, 3e38} {
		tensor.Encode(parts[2].Data, tensor.F32, []float32{bad})
		if _, err := c.Open(4, 64, parts); err == nil {
			t.Errorf("base %g is opened", bad)
		}
	}
}
