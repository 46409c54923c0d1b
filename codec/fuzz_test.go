package codec_test

import (
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

// FuzzOpenTerm opens parts of any length as any shape by any codec: what opens has the stated size and can be decoded and multiplied
// without a panic, whatever the bytes are.
func FuzzOpenTerm(f *testing.F) {
	names := codec.Names()
	for i, name := range names {
		c, _ := codec.Parse(name)
		grid, err := c.Fit(codectest.Matrix(1, 2, 256), nil, codec.FitOptions{})
		if err != nil {
			f.Fatal(err)
		}
		var data [4][]byte
		for k, p := range grid.Pack().Parts() {
			data[min(k, 3)] = append(data[min(k, 3)], p.Data...)
		}
		f.Add(uint8(i), 2, 256, data[0], data[1], data[2], data[3])
	}
	f.Add(uint8(3), -1, 1<<62, []byte{}, []byte{1}, []byte(nil), []byte{2})
	f.Fuzz(func(t *testing.T, which uint8, rows, cols int, a, b, d, e []byte) {
		c, err := codec.Parse(names[int(which)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		var parts []codec.Part
		layout := partsOf(c)
		for i, p := range layout {
			data := [4][]byte{a, b, d, e}[min(i, 3)]
			if more := len(layout) - 3; more > 1 && i >= 3 { // they divide the last among them
				data = data[(i-3)*len(data)/more : (i-2)*len(data)/more]
			}
			parts = append(parts, codec.Part{Name: p.Name, DType: p.DType, Shape: []int{rows, cols}, Data: data})
		}
		term, err := c.Open(rows, cols, parts)
		if err != nil {
			return
		}
		if n := int64(len(a) + len(b) + len(d) + len(e)); term.Bytes() != c.Size(rows, cols) || term.Bytes() > n {
			t.Fatalf("opened (%d, %d) of %d bytes from %d", rows, cols, term.Bytes(), n)
		}
		if rows > 1<<12 || cols > 1<<12 || rows*cols > 1<<16 {
			return
		}
		codectest.Decode(term)
		for _, tokens := range []int{1, 9} {
			x := codectest.Matrix(3, tokens, cols)
			term.MulAdd(tensor.NewMat(tokens, rows), codec.NewInput(x), 0, rows)
		}
	})
}

// partsOf returns the parts of an empty matrix, for their names and dtypes.
func partsOf(c codec.Codec) []codec.Part {
	grid, err := c.Fit(tensor.NewMat(0, 256), nil, codec.FitOptions{})
	if err != nil {
		panic(err)
	}
	return grid.Pack().Parts()
}
