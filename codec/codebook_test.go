package codec_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func TestTablesConformWithRangesAndGroups(t *testing.T) {
	for _, name := range []string{"sketch3-p2", "sketch2-p8", "jlcm2-k3", "jlcm4-k256-s"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codectest.Run(t, parsed(t, name))
		})
	}
}

func TestNamesOfTablesThatDoNotExistAreRefused(t *testing.T) {
	for _, name := range []string{"sketch5-p1", "sketch1-p1", "sketch4-p3", "sketch4-p01", "sketch4-p1-s", "jlcm3-k0", "jlcm3-k257", "jlcm3-k+5", "jlcm-k5", "jlcm33-k5", "sketch4"} {
		if _, err := codec.Parse(name); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func parsed(t testing.TB, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fitted(t testing.TB, name string, w tensor.Mat, importance []float32, o codec.FitOptions) codec.Term {
	t.Helper()
	grid, err := parsed(t, name).Fit(w, importance, o)
	if err != nil {
		t.Fatal(err)
	}
	codectest.RoundAll(grid, w)
	return grid.Pack()
}

// Rows that are of few distributions, in any order, get one group for each, so that sorting by group brings like rows together.
func TestRowsOfOneDistributionShareATable(t *testing.T) {
	const rows, cols, kinds = 60, 512, 4
	w := tensor.NewMat(rows, cols)
	unit := codectest.Matrix(3, 1, rows*cols).Data
	for r := range rows {
		for c := range cols {
			v := math.Tanh(float64(unit[r*cols+c]) / 64)
			switch r % kinds {
			case 1:
				v *= 3
			case 2:
				v += 2
			case 3:
				v = v * v * v
			}
			w.Row(r)[c] = float32(v)
		}
	}
	var groups []byte
	for _, p := range fitted(t, "jlcm3-k4", w, nil, codec.FitOptions{}).Parts() {
		if p.Name == "groups" {
			groups = p.Data
		}
	}
	seen := map[byte]int{}
	for r := range rows {
		g := groups[r/4] >> (r % 4 * 2) & 3
		if kind, ok := seen[g]; ok && kind != r%kinds {
			t.Fatalf("row %d shares group %d with rows of another distribution", r, g)
		}
		seen[g] = r % kinds
	}
	if len(seen) != kinds {
		t.Errorf("%d groups in use", len(seen))
	}
}

// Tables that are fitted lose less than scaled levels of a Gaussian where weights are not Gaussian, and never much more.
func TestFittedTablesLoseLessThanFixedLevels(t *testing.T) {
	w := codectest.Matrix(4, 64, 512)
	for i, v := range w.Data {
		w.Data[i] = float32(math.Cbrt(float64(v))) // heavy at ±1
	}
	loss := func(name string) (sum float64) {
		got := codectest.Decode(fitted(t, name, w, nil, codec.FitOptions{Search: true}))
		for i, v := range got.Data {
			d := float64(w.Data[i] - v)
			sum += d * d
		}
		return sum
	}
	for _, width := range []string{"2", "3", "4"} {
		own, fixed := loss("sketch"+width+"-p1"), loss("nuq"+width+"-grow")
		if own > 0.8*fixed {
			t.Errorf("%s bits: %g with tables of their own, %g with fixed levels", width, own, fixed)
		}
	}
}

// Importance moves tables towards the weights that matter.
func TestTablesHeedImportanceWhereTheySearch(t *testing.T) {
	w := codectest.Matrix(5, 16, 256)
	importance := make([]float32, 256)
	for c := range importance {
		importance[c] = 1e-3
		if c%16 == 3 {
			importance[c] = 1
		}
	}
	lost := func(o codec.FitOptions) (sum float64) {
		got := codectest.Decode(fitted(t, "sketch3-p1", w, importance, o))
		for r := range w.Rows {
			for c, v := range got.Row(r) {
				d := float64(w.Row(r)[c] - v)
				sum += float64(importance[c]) * d * d
			}
		}
		return sum
	}
	if plain, searched := lost(codec.FitOptions{}), lost(codec.FitOptions{Search: true}); searched > plain/2 {
		t.Errorf("search loses %g, none %g", searched, plain)
	}
}

// A solver that replaces tables finds its numbers, rounded to F16, in what is stored, and codes as they were.
func TestTablesCanBeReplaced(t *testing.T) {
	w := codectest.Matrix(6, 5, 300)
	for _, name := range []string{"sketch3-p2", "jlcm2-k2", "jlcm2-k2-s"} {
		grid, err := parsed(t, name).Fit(w, nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codec.RoundAll(grid, w, 1)
		tabled := grid.(codec.Tabled)
		count, entries := tabled.Tables()
		codes := slices.Clone(tabled.Codes(3))
		for i := range count {
			values := make([]float32, entries)
			for k := range values {
				values[k] = float32(k-3) + float32(i)/1000 // not in the order of size for any start
			}
			slices.Reverse(values)
			if !tabled.SetTable(i, values) {
				t.Fatal("a table is not taken")
			}
			if tabled.SetTable(i, slices.Repeat([]float32{1e6}, entries)) {
				t.Fatal("a table that F16 cannot hold is taken")
			}
		}
		got := codectest.Decode(grid.Pack())
		for c, v := range got.Row(3) {
			want := tabled.RowScale(3) * tabled.Table(tabled.TableOf(3, c))[codes[c]]
			if v != want {
				t.Fatalf("%s: column %d is %g, the table says %g", name, c, v, want)
			}
		}
		again := tensor.NewMat(got.Rows, got.Cols)
		copy(again.Data, got.Data)
		codec.RoundAll(grid, again, 1)
		if !slices.Equal(codectest.Decode(grid.Pack()).Data, got.Data) {
			t.Errorf("%s: values of replaced tables are not found again", name)
		}
	}
}

func TestDamagedGroupsAreErrors(t *testing.T) {
	term := fitted(t, "jlcm3-k5", codectest.Matrix(7, 9, 64), nil, codec.FitOptions{})
	parts := slices.Clone(term.Parts())
	parts[2].Data = bytes.Repeat([]byte{0xff}, len(parts[2].Data))
	if _, err := parsed(t, "jlcm3-k5").Open(9, 64, parts); err == nil || !strings.Contains(err.Error(), "group 7 of 5") {
		t.Errorf("error %v", err)
	}
	parts[0].Data, parts[2].Data = nil, nil
	for shift := range 8 {
		if _, err := parsed(t, "jlcm3-k5").Open(math.MaxInt>>shift, 0, parts); err == nil {
			t.Errorf("%d rows without columns: no error", math.MaxInt>>shift)
		}
	}
}

// Parts written by hand, as docs/formats/codebook.md says, are the matrix that it says.
func TestTheLayoutOfTablesIsThatOfItsPage(t *testing.T) {
	halves := func(values ...float32) []byte {
		out := make([]byte, 2*len(values))
		tensor.Encode(out, tensor.F16, values)
		return out
	}
	term, err := parsed(t, "jlcm2-k3-s").Open(3, 5, []codec.Part{
		{Name: "codes", DType: tensor.U8, Data: []byte{0b11_10_01_00, 0b01, 0b00_00_00_00, 0b10, 0b01_10_11_11, 0b11}}, // column 0 in the lowest bits
		{Name: "tables", DType: tensor.F16, Data: halves(1, 2, 3, 4, -1, -2, -3, -4, 0.5, 8, 0.25, 0)},
		{Name: "groups", DType: tensor.U8, Data: []byte{0b01_00_10}}, // of rows 0, 1, 2: 2, 0, 1
		{Name: "scales", DType: tensor.F16, Data: halves(1, 10, 2)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{0.5, 8, 0.25, 0, 8, 10, 10, 10, 10, 30, -8, -8, -6, -4, -8}
	if got := codectest.Decode(term).Data; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	const cols = 160 // ranges of 128 and 32
	codes := make([]byte, cols/2)
	codes[0], codes[64] = 0x51, 0x0f // columns 0 and 16; column 128, of the second range, and 144
	second := slices.Repeat([]float32{7}, 16)
	second[15] = 9
	first := make([]float32, 16)
	first[1], first[5] = 3, 4
	if term, err = parsed(t, "sketch4-p2").Open(1, cols, []codec.Part{
		{Name: "codes", DType: tensor.U8, Data: codes}, {Name: "tables", DType: tensor.F16, Data: halves(append(first, second...)...)},
	}); err != nil {
		t.Fatal(err)
	}
	row := codectest.Decode(term).Data
	if row[0] != 3 || row[16] != 4 || row[1] != 0 || row[128] != 9 || row[144] != 7 || row[159] != 7 {
		t.Errorf("row %v", row)
	}
}
