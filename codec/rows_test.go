package codec_test

import (
	"fmt"
	"slices"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func TestRowsOfManyCodecsConform(t *testing.T) {
	for _, name := range []string{"rows0.5-f32/f16", "rows0.25-q8_0/q4_k", "rows0.001-nuq4-grow/vq2-2-g64", "rows0.9999-int4-g32/int2-g32", "rows0.3-tcq-lut7-3/int4-grow", "rows0.2-int8-g64/int4-g64-2:4"} {
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		const rows, cols = 150, 256
		w := codectest.Matrix(31, rows, cols)
		grid, err := c.Fit(w, nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codec.RoundAll(grid, w, 2)
		term := grid.Pack()
		opened, err := c.Open(rows, cols, term.Parts())
		if err != nil || term.Bytes() != c.Size(rows, cols) {
			t.Fatalf("%s: %v, %d bytes, said %d", name, err, term.Bytes(), c.Size(rows, cols))
		}
		whole := codectest.Decode(opened)
		for r := range rows {
			row := tensor.NewMat(1, cols)
			if codec.Read(opened, row, r); !slices.Equal(row.Data, whole.Row(r)) {
				t.Fatalf("%s: row %d alone is another", name, r)
			}
		}
		for _, tokens := range []int{1, 8, 20} { // whatever the split
			in := codec.NewInput(codectest.Matrix(32, tokens, cols))
			y, split := tensor.NewMat(tokens, rows), tensor.NewMat(tokens, rows)
			opened.MulAdd(y, in, 0, rows)
			for r := 0; r < rows; r += 7 {
				opened.MulAdd(split, in, r, min(r+7, rows))
			}
			if !slices.Equal(y.Data, split.Data) {
				t.Errorf("%s: %d tokens: products depend on how rows are split", name, tokens)
			}
		}
	}
}

// The rows of largest norm have the bytes of the first codec's matrix of them, the others those of the second's.
func TestRowsAreStoredAsTwoMatrices(t *testing.T) {
	const rows, cols = 73, 192
	w := codectest.Matrix(33, rows, cols)
	c, _ := codec.Parse("rows0.35-int8-g64/int3-g32")
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	codec.RoundAll(grid, w, 1)
	norms := make([]float64, rows)
	for r := range norms {
		for _, v := range w.Row(r) {
			norms[r] += float64(v) * float64(v)
		}
	}
	r := c.(codec.Rows)
	chosen := r.Choose(norms)
	if len(chosen) != 25 || r.Marked(rows) != 25 { // 25.55
		t.Fatalf("%d rows, want 25", len(chosen))
	}
	a, b := r.Inner()
	got := codectest.Decode(grid.Pack())
	for k, list := range [][]int{chosen, codec.Others(chosen, rows)} {
		part := codec.GatherRows(w, list)
		g, err := []codec.Codec{a, b}[k].Fit(part, nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codec.RoundAll(g, part, 1)
		want := codectest.Decode(g.Pack())
		for i, row := range list {
			if !slices.Equal(got.Row(row), want.Row(i)) {
				t.Fatalf("row %d is not row %d of kind %d", row, i, k)
			}
		}
	}
}

func TestMapsThatMarkOtherRowsAreRefused(t *testing.T) {
	c, _ := codec.Parse("rows0.1-int8-g64/int4-g64")
	w := codectest.Matrix(34, 20, 64)
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parts := grid.Pack().Parts()
	for _, bad := range [][]byte{{1, 0, 0}, {7, 0, 0}, {1, 0, 16}, {1, 0, 128}, {0, 0, 48}, {1, 1}, {1, 1, 0, 0}} { // 2 of 20 rows are marked
		parts[0].Data = bad
		if _, err := c.Open(20, 64, parts); err == nil {
			t.Errorf("map %v opens", bad)
		}
	}
	parts[0].Data = []byte{1, 0, 8}
	if _, err := c.Open(20, 64, parts); err != nil {
		t.Error(err)
	}
}

func TestNamesOfRows(t *testing.T) {
	for name, want := range map[string]string{"rows0.10-int8-g64/int4-g64": "rows0.1-int8-g64/int4-g64", "rows0.0001-f16/q8_0": "rows0.0001-f16/q8_0", "rows0.3-int8-g64/int4-g64-had": "rows0.3-int8-g64/int4-g64-had"} {
		if c, err := codec.Parse(name); err != nil || c.Name() != want {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	for _, name := range []string{"rows", "rows0-f16/f16", "rows0.-f16/f16", "rows0.0-f16/f16", "rows1-f16/f16", "rows1.5-f16/f16", "rows0.00001-f16/f16", "rows-1-f16/f16", "rows0.1-f16", "rows0.1-f16/", "rows0.1-/f16",
		"rows0.1-f16/f16/f16", "rows0.1-rows0.1-f16/f16/f16", "rows0.1-lr4-f16/f16", "rows0.1-f16/lr0.5-f16", "lr4-rows0.1-f16/f16", "rows0.1-f16/f16*2", "rows+0.1-f16/f16", "rowsNaN-f16/f16"} {
		if c, err := codec.Parse(name); err == nil {
			t.Errorf("%s is %s", name, c.Name())
		}
	}
	c, _ := codec.Parse("rows0.1-f16/q8_0")
	for rows, want := range map[int]int{0: 0, 1: 1, 9: 1, 19: 1, 20: 2, 100: 10, 151936: 15193, 1 << 62: 1 << 62 / 10} {
		if n := c.(codec.Rows).Marked(rows); n != want {
			t.Errorf("%d of %d rows, want %d", n, rows, want)
		}
	}
	for cols, want := range map[int]string{256: "rows0.1-q6_k/q4_k", 96: "rows0.1-q8_0/q5_0", 65: "rows0.1-f16/f16"} {
		if got := codec.Fallback("rows0.1-q6_k/q4_k", cols); got != want {
			t.Errorf("%d columns: %s, want %s", cols, got, want)
		}
	}
}

func ExampleRows() {
	c, _ := codec.Parse("rows0.1-int8-g64/int4-g64")
	fmt.Println(c.Size(32000, 4096), "bytes of", 2*32000*4096)
	// Output: 76189600 bytes of 262144000
}
