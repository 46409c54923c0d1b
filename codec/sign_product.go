package codec

import (
	"pith/kernels"
	"pith/tensor"
)

// signRun returns how many of the first terms store signs.
func signRun(terms []Term) int {
	for i, t := range terms {
		if _, ok := t.(*signTerm); !ok {
			return i
		}
	}
	return len(terms)
}

// mulAddSigns adds the products of sign terms of one matrix to y[:, r0:r1]. Up to fewTokens are multiplied by the signs, one by one: with z = v⊙x,
// an output is Σ_t u[t]·(Σ z[t] − 2·Σ of the z[t] whose bits are set). More decode a tile of rows, all terms together, and use the matrix product.
func mulAddSigns(terms []Term, y tensor.Mat, in *Input, r0, r1 int) {
	for _, t := range terms {
		checkProduct(t, y, in, r0, r1)
	}
	_, cols := terms[0].Dims()
	if r0 == r1 || in.X.Rows == 0 || cols == 0 {
		return
	}
	if in.X.Rows > fewTokens {
		mulAddSignTiles(terms, y, in.X, r0, r1)
		return
	}
	for _, t := range terms {
		t.(*signTerm).mulAddFew(y, in.X, r0, r1)
	}
}

// mulAddFew multiplies token by token.
func (t *signTerm) mulAddFew(y, x tensor.Mat, r0, r1 int) {
	wide, rows := (t.cols+63)/64*64, r1-r0
	buf := getScratch(t.k * (wide + 2*rows))
	defer putScratch(buf)
	z, sums, u := (*buf)[:t.k*wide], (*buf)[t.k*wide:t.k*(wide+rows)], (*buf)[t.k*(wide+rows):]
	kernels.F16ToF32(u, t.u[2*t.k*r0:])
	stride := (t.cols + 7) / 8
	for i := range x.Rows {
		for f := range t.k {
			kernels.MulF16(z[f*wide:f*wide+t.cols], t.v[2*f*t.cols:], x.Row(i))
			clear(z[f*wide+t.cols : (f+1)*wide])
		}
		kernels.SignSumsOf(t.k, sums, t.signs[r0*stride:], stride, z)
		out := y.Row(i)[r0:r1]
		for f := range t.k {
			total := kernels.SignTotal(z[f*wide : (f+1)*wide])
			for r, s := range sums[f*rows : (f+1)*rows] {
				out[r] += float32(u[r*t.k+f] * (total - 2*s)) // 2·s is exact
			}
		}
	}
}

// mulAddSignTiles decodes tiles of the terms' sum.
func mulAddSignTiles(terms []Term, y, x tensor.Mat, r0, r1 int) {
	cols := x.Cols
	tile := min(r1-r0, max(1, min(256, tileFloats/cols)))
	buf := getScratch(tile * cols)
	defer putScratch(buf)
	for r := r0; r < r1; r += tile {
		n := min(tile, r1-r)
		w := tensor.Of(n, cols, (*buf)[:n*cols])
		clear(w.Data)
		for _, t := range terms {
			t.(*signTerm).addRows(w, r)
		}
		kernels.GemmNT(y.Data[r:], y.Stride, x.Data, x.Stride, w.Data, cols, x.Rows, n, cols)
	}
}
