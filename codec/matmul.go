package codec

import (
	"sync"

	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// fewTokens is the largest batch for which packed rows are multiplied one by one; larger batches decode a tile of rows and use
// the matrix product. A token's products do not depend on how many others come with it up to that (codectest checks it for every codec):
// which is what speculative decoding counts on.
const fewTokens = 8

// FewTokens is the largest batch whose products are, byte for byte, those of its tokens one by one.
const FewTokens = fewTokens

// tileFloats bounds the decoded rows that one worker holds: 4 MB.
const tileFloats = 1 << 20

// MatMul adds x·Wᵀ to y, (tokens, w.Rows), for in.X of (tokens, w.Cols). Rows are split over workers; the result does not depend on how many.
func MatMul(y tensor.Mat, in *Input, w *Weight, workers int) {
	if in.X.Cols != w.Cols || y.Rows != in.X.Rows || y.Cols != w.Rows {
		panic("codec: MatMul of matrices whose shapes do not agree")
	}
	var first Stages
	first.Reset()
	first.Add(in, w.Terms)
	par.For(workers, first.Cut(workers), first.Run)
	grain := alignRows(rowGrain(in.X.Rows, w.Rows, w.Cols, workers), w.Terms)
	par.Ranges(workers, w.Rows, grain, func(r0, r1 int) { w.MulAdd(y, in, r0, r1) })
}

// rowAligner is a term that multiplies rowAlign rows at once, whatever is asked of it.
type rowAligner interface{ rowAlign() int }

// alignRows rounds grain up to what every term multiplies at once.
func alignRows(grain int, terms []Term) int {
	for _, t := range terms {
		if a, ok := t.(rowAligner); ok {
			grain = (grain + a.rowAlign() - 1) / a.rowAlign() * a.rowAlign()
		}
	}
	return grain
}

// inlineProduct is the number of multiplications below which starting goroutines costs more than they save.
const inlineProduct = 1 << 17

// rowGrain returns how many rows a worker takes at once: enough for every worker to have some, in the multiples that kernels like.
// It may depend on the number of workers because results do not depend on the split.
func rowGrain(tokens, rows, cols, workers int) int {
	if workers <= 1 || tokens*rows*cols < inlineProduct {
		return max(rows, 1)
	}
	most := 256
	if tokens <= fewTokens {
		most = 64
	}
	even := (rows + workers - 1) / workers
	return min(most, max(16, (even+15)/16*16))
}

// rowReader is a term that can decode one row at a time.
type rowReader interface {
	Dims() (rows, cols int)
	readRow(dst []float32, r int) // overwrites dst[:cols]
}

// mulAddDecoded multiplies by rows decoded to float32.
func mulAddDecoded(t rowReader, y tensor.Mat, in *Input, r0, r1 int) {
	checkProduct(t, y, in, r0, r1)
	_, cols := t.Dims()
	x := in.X
	if r0 == r1 || x.Rows == 0 || cols == 0 {
		return
	}
	if x.Rows <= fewTokens {
		buf := getScratch(cols)
		defer putScratch(buf)
		var sums [fewTokens]float32
		for r := r0; r < r1; r++ {
			t.readRow(*buf, r)
			kernels.Dots(sums[:x.Rows], x.Data, x.Stride, *buf)
			for i, v := range sums[:x.Rows] {
				y.Data[i*y.Stride+r] += v
			}
		}
		return
	}
	tile := min(r1-r0, max(1, min(256, tileFloats/cols)))
	buf := getScratch(tile * cols)
	defer putScratch(buf)
	for r := r0; r < r1; r += tile {
		n := min(tile, r1-r)
		for i := range n {
			t.readRow((*buf)[i*cols:(i+1)*cols], r+i)
		}
		kernels.GemmNT(y.Data[r:], y.Stride, x.Data, x.Stride, *buf, cols, x.Rows, n, cols)
	}
}

func checkProduct(t interface{ Dims() (rows, cols int) }, y tensor.Mat, in *Input, r0, r1 int) {
	rows, cols := t.Dims()
	if in.X.Cols != cols || r0 < 0 || r1 > rows || r0 > r1 || y.Rows != in.X.Rows || y.Cols < r1 {
		panic("codec: MulAdd of matrices whose shapes do not agree")
	}
}

// scratch recycles the buffers rows are decoded to; what is in them never matters.
var scratch = sync.Pool{New: func() any { return new([]float32) }}

func getScratch(n int) *[]float32 {
	buf := scratch.Get().(*[]float32)
	if cap(*buf) < n {
		*buf = make([]float32, n)
	}
	*buf = (*buf)[:n]
	return buf
}

func putScratch(buf *[]float32) { scratch.Put(buf) }

// addDecoded is AddTo for terms that decode row by row.
func addDecoded(t rowReader, dst tensor.Mat, r0 int) {
	rows, cols := t.Dims()
	if r0 < 0 || r0+dst.Rows > rows || dst.Cols != cols {
		panic("codec: AddTo outside of the term")
	}
	buf := getScratch(cols)
	defer putScratch(buf)
	for r := range dst.Rows {
		t.readRow(*buf, r0+r)
		kernels.Axpy(dst.Row(r), 1, *buf)
	}
}
