package codec

import (
	"sync"

	"pith/kernels"
	"pith/tensor"
	"pith/trellis"
)

// trellisTerm is a fitted matrix.
type trellisTerm struct {
	trellisCodec
	trellisLayout
	tiles, codes []byte
	base         float32
	scales       []float32 // of rows
	tools        *trellisTools
}

// trellisTools are the decoders of one code and rate, which all its terms share.
type trellisTools struct {
	values  *trellis.Decoder
	product *kernels.TrellisDecoder // nil: the code has no table of bytes
}

// toolbox holds a func() *trellisTools for each trellisCodec in use: tables are constants of the format, and large for 16-bit states.
var toolbox sync.Map

// tools returns the decoders of c's code and rate.
func (c trellisCodec) tools() *trellisTools {
	made, _ := toolbox.LoadOrStore(c.Name(), sync.OnceValue(func() *trellisTools {
		t := &trellisTools{values: trellis.NewDecoder(c.code, c.rate)}
		if lut, ok := c.code.Bytes(c.rate); ok {
			t.product = trellisProduct(c, lut)
		}
		return t
	}))
	return made.(func() *trellisTools)()
}

// trellisProduct returns the kernel of c's code, whose table is lut.
func trellisProduct(c trellisCodec, lut []int8) *kernels.TrellisDecoder {
	if c.code.Linear() {
		return kernels.NewLinearTrellisDecoder(c.code.StateBits(), int(c.rate), c.code.Rows(c.rate), lut)
	}
	return kernels.NewTrellisDecoder(c.code.StateBits(), int(c.rate), c.code.Hashed(), trellis.HashAdd, lut)
}

func newTrellisTerm(c trellisCodec, rows, cols int, tiles, codes []byte, base float32) *trellisTerm {
	t := &trellisTerm{trellisCodec: c, trellisLayout: c.layout(rows, cols), tiles: tiles, codes: codes, base: base, tools: c.tools()}
	t.scales = make([]float32, rows)
	for r := range t.scales {
		t.scales[r] = trellisScale(base, codes[r])
	}
	return t
}

func (t *trellisTerm) Codec() string    { return t.Name() }
func (t *trellisTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *trellisTerm) Bytes() int64     { return t.Size(t.rows, t.cols) }

func (t *trellisTerm) Parts() []Part {
	base := make([]byte, 4)
	tensor.Encode(base, tensor.F32, []float32{t.base})
	return []Part{
		{Name: t.tilesPart(), DType: tensor.U8, Shape: []int{len(t.tiles) / t.tileBytes, t.tileBytes}, Data: t.tiles},
		{Name: "scales", DType: tensor.U8, Shape: []int{t.rows}, Data: t.codes},
		{Name: "base", DType: tensor.F32, Shape: []int{1}, Data: base},
	}
}

// tile returns the bytes of tile j of band b.
func (t *trellisTerm) tile(b trellisBand, j int) []byte {
	at := b.start + j*t.tileBytes
	return t.tiles[at : at+t.tileBytes : at+t.tileBytes]
}

// readRow decodes one row: four weights lie side by side in each group of a tile.
func (t *trellisTerm) readRow(dst []float32, r int) {
	b := t.band(t.bandOf(r))
	scale, inside := t.scales[r], r-b.r0
	first, stack := inside/16*64+inside%16*4, b.height/16
	for c := 0; c < t.cols; c += 4 {
		var four [4]float32
		quad := c % b.width() / 4
		t.tools.values.DecodeRun(four[:], t.tile(b, c/b.width()), first+quad*stack*64)
		for i, v := range four[:min(4, t.cols-c)] {
			dst[c+i] = float32(v * scale)
		}
	}
}

func (t *trellisTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

// rowAlign is the number of rows that products take at once.
func (t *trellisTerm) rowAlign() int { return 64 }

// MulAdd rounds the activations of few tokens to int8 (kernels.Q8) where the code has a table of bytes: each output is then off by
// at most Σ |w|·max|x|/254, max|x| that of the 32 activations around. More tokens multiply by decoded bands.
func (t *trellisTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if t.tools.product == nil {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	if r0 == r1 || t.cols == 0 || in.X.Rows == 0 {
		return
	}
	for i := t.bandOf(r0); i < t.bands() && t.band(i).r0 < r1; i++ {
		b := t.band(i)
		if in.X.Rows <= fewTokens {
			t.mulBand(y, in, b, r0, r1)
		} else {
			t.mulDecodedBand(y, in, b, r0, r1)
		}
	}
}

// bandBytes returns b's tiles.
func (t *trellisTerm) bandBytes(b trellisBand) []byte {
	return t.tiles[b.start : b.start+b.tiles*t.tileBytes]
}

// mulBand multiplies b's rows among r0 … r1 by few tokens.
func (t *trellisTerm) mulBand(y tensor.Mat, in *Input, b trellisBand, r0, r1 int) {
	r0, r1 = max(r0, b.r0), min(r1, b.r1)
	tiles, scales := t.bandBytes(b), t.scales[b.r0:b.r1]
	for i, x := range in.Q8() {
		if r0 == b.r0 {
			t.tools.product.MatVec(y.Row(i)[r0:r1], scales, tiles, b.height, t.cols, x)
			continue
		}
		var sums [64]float32
		t.tools.product.MatVec(sums[:r1-b.r0], scales, tiles, b.height, t.cols, x)
		for r := r0; r < r1; r++ {
			y.Row(i)[r] += sums[r-b.r0]
		}
	}
}

// mulDecodedBand decodes b's rows and multiplies those among r0 … r1 by many tokens.
func (t *trellisTerm) mulDecodedBand(y tensor.Mat, in *Input, b trellisBand, r0, r1 int) {
	rows := b.r1 - b.r0
	buf := getScratch(rows * t.cols)
	defer putScratch(buf)
	t.tools.product.DecodeBand(*buf, t.cols, rows, t.scales[b.r0:b.r1], t.bandBytes(b), b.height, 0, t.cols)
	r0, r1 = max(r0, b.r0), min(r1, b.r1)
	kernels.GemmNT(y.Data[r0:], y.Stride, in.X.Data, in.X.Stride, (*buf)[(r0-b.r0)*t.cols:], t.cols, in.X.Rows, r1-r0, t.cols)
}
