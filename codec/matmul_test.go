package codec_test

import (
	"slices"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func encode(t testing.TB, name string, w tensor.Mat) codec.Term {
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

func TestMatMulDoesNotDependOnWorkers(t *testing.T) {
	const rows, cols = 700, 256
	a, b := codectest.Matrix(1, rows, cols), codectest.Matrix(2, rows, cols)
	w := &codec.Weight{Name: "w", Rows: rows, Cols: cols, Terms: []codec.Term{encode(t, "int4-g64", a), encode(t, "q6_k", b)}}
	for _, tokens := range []int{1, 8, 9, 33} {
		in := codec.NewInput(codectest.Matrix(3, tokens, cols))
		want := tensor.NewMat(tokens, rows)
		codec.MatMul(want, in, w, 1)
		for _, workers := range []int{2, 3, 7} {
			got := tensor.NewMat(tokens, rows)
			codec.MatMul(got, in, w, workers)
			if !slices.Equal(got.Data, want.Data) {
				t.Errorf("%d tokens: %d workers give another product than one", tokens, workers)
			}
		}
	}
}

func TestWeightIsTheSumOfItsTerms(t *testing.T) {
	a, b := codectest.Matrix(4, 5, 64), codectest.Matrix(5, 5, 64)
	w := &codec.Weight{Rows: 5, Cols: 64, Terms: []codec.Term{encode(t, "f32", a), encode(t, "f32", b)}}
	got := codectest.Matrix(6, 3, 64) // ReadRows overwrites
	w.ReadRows(got, 1)
	for r := range 3 {
		for c, v := range got.Row(r) {
			if v != a.Row(r + 1)[c]+b.Row(r + 1)[c] {
				t.Fatalf("(%d, %d) = %g", r, c, v)
			}
		}
	}
	if w.Bytes() != 2*5*64*4 {
		t.Errorf("Bytes() = %d", w.Bytes())
	}
}

func TestDenseReadsEveryDTypeAndNamesTheTensor(t *testing.T) {
	for dt := tensor.Bool; dt < tensor.C64; dt++ {
		block, size := dt.Block()
		data := make([]byte, 6*32/block*size)
		for i := range data {
			data[i] = byte(i * 7 % 60)
		}
		term, err := codec.Dense("w", dt, 6, 32, data)
		if err != nil {
			t.Fatal(dt, err)
		}
		want := make([]float32, 6*32)
		tensor.Decode(want, dt, data, 0)
		if got := codectest.Decode(term); !slices.Equal(got.Data, want) {
			t.Errorf("%v decodes differently", dt)
		}
		joined, err := codec.Concat([]codec.Term{term, term})
		if err != nil || joined.Bytes() != 2*term.Bytes() || joined.Codec() != term.Codec() {
			t.Errorf("%v does not concatenate: %v", dt, err)
		}
	}
	for _, c := range []struct {
		dt         tensor.DType
		rows, cols int
		bytes      int
	}{
		{tensor.F32, 2, 3, 23}, {tensor.F32, -1, 3, 0}, {tensor.C64, 1, 1, 8}, {tensor.F4, 3, 3, 4}, {tensor.U8, 1 << 62, 1 << 62, 0}, {tensor.IQ4_NL, 1, 32, 18},
	} {
		if _, err := codec.Dense("model.w", c.dt, c.rows, c.cols, make([]byte, c.bytes)); err == nil || err.Error()[:9] != "model.w: " {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}
