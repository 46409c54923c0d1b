package codec

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"pith/kernels"
	"pith/tensor"
)

// maxBlock and maxSubBlocks bound every block type here.
const (
	maxBlock     = 256
	maxSubBlocks = 16
)

// blockFormat is one of GGML's block types. A block of consecutive columns holds packed codes and the scales of its sub-blocks:
//
//	W = scale·(code - bias) + offset,   code in 0 … levels-1
//
// where scale and offset are exact in float32. Layouts: docs/formats/ggml.md. Source: ggml-common.h, ggml-quants.c of llama.cpp.
type blockFormat struct {
	dt           tensor.DType
	sub          int // columns that share a scale
	levels, bias int
	lowest       int // smallest code that rounding may give: 0, or 1 where the layout's own encoder never uses 0

	// nibbles, if not 0, says that the block is 32 codes of 4 bits from that byte on.
	nibbles int

	affines func(block []byte, a *[maxSubBlocks]affine)
	unpack  func(codes *[maxBlock]uint8, block []byte)
	pack    func(block []byte, codes *[maxBlock]uint8) // overwrites the code bits only

	// fit is the reference encoder's choice of scales for one block x: it writes them to block and the way to round to rules.
	// Where a rule says keep, codes holds the codes that the encoder leaves.
	fit func(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8)
	// search improves the scales in block (those of fit) by the importance-weighted squared error.
	search func(f *blockFormat, block []byte, x, weights []float32)
	// kernel multiplies packed rows by int8 activations; nil: rows are decoded.
	kernel func(y []float32, w []byte, rows, cols int, x kernels.Q8)
}

// affine is the decoding rule of a sub-block.
type affine struct{ scale, offset float32 }

// roundingKind is how the reference encoder turns a weight into a code.
type roundingKind uint8

const (
	byDivision roundingKind = iota // nearest((w + a)/b) + bias, ties to even
	truncated                      // int((w - a)·b + half)
	halfAway                       // round(w·b) + bias, ties away from zero
	keep                           // the code is fixed: the scale is 0
)

// rounding is the rule of one sub-block.
type rounding struct {
	kind       roundingKind
	a, b, half float32
}

func (f *blockFormat) name() string { return strings.ToLower(f.dt.String()) }

// codes applies a rule other than keep to x. Clamping comes before rounding, which gives the same codes and keeps integers in range.
func (f *blockFormat) codes(dst []uint8, p rounding, x []float32) {
	dst = dst[:len(x)]
	low, high := float32(f.lowest-f.bias), float32(f.levels-1-f.bias)
	switch p.kind {
	case byDivision:
		for i, v := range x {
			dst[i] = uint8(nearestInt(clampFloat((v+p.a)/p.b, low, high)) + f.bias)
		}
	case truncated:
		high += float32(f.bias)
		for i, v := range x {
			dst[i] = uint8(int32(clampFloat(float32((v-p.a)*p.b)+p.half, 0, high)))
		}
	case halfAway:
		for i, v := range x {
			dst[i] = uint8(roundHalfAway(clampFloat(float32(v*p.b), low, high)) + int32(f.bias))
		}
	}
}

// clampFloat returns v moved into low … high; a NaN becomes low.
func clampFloat(v, low, high float32) float32 {
	if v > high {
		return high
	}
	if v >= low {
		return v
	}
	return low
}

// blockScratch is what decoding or rounding one block at a time needs.
type blockScratch struct {
	codes [maxBlock]uint8
	a     [maxSubBlocks]affine
}

// blockScratches recycles them; what is in them never matters.
var blockScratches = sync.Pool{New: func() any { return new(blockScratch) }}

// blockCodec is a blockFormat as a Codec. Columns must be whole blocks.
type blockCodec struct{ *blockFormat }

func (c blockCodec) Name() string { return c.name() }

func (c blockCodec) Check(rows, cols int) error {
	if err := checkShape(rows, cols); err != nil {
		return err
	}
	if n, _ := c.dt.Block(); cols%n != 0 {
		return fmt.Errorf("%s stores blocks of %d columns and %d is no multiple; use %s", c.Name(), n, cols, Fallback(c.Name(), cols))
	}
	return nil
}

func (c blockCodec) Size(rows, cols int) int64 {
	n, size := c.dt.Block()
	return int64(rows) * int64(cols/n) * int64(size)
}

func (c blockCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := c.Check(rows, cols); err != nil {
		return nil, err
	}
	if err := checkParts(parts, partSpec{"blocks", tensor.U8}); err != nil {
		return nil, err
	}
	if err := checkLength(parts[0], c.Size(rows, cols)); err != nil {
		return nil, err
	}
	return &blockTerm{c.blockFormat, rows, cols, parts[0].Data}, nil
}

// openBlocks is Dense for GGML's block types.
func openBlocks(name string, dt tensor.DType, rows, cols int, data []byte) (Term, error) {
	for _, f := range blockFormats() {
		if f.dt == dt {
			t, err := blockCodec{f}.Open(rows, cols, []Part{{Name: "blocks", DType: tensor.U8, Data: data}})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return t, nil
		}
	}
	return nil, fmt.Errorf("%s: block type %v is not supported; use a file of one of q8_0, q4_0, q4_1, q5_0, q5_1, q2_k … q6_k", name, dt)
}

// blockTerm holds the blocks of a matrix, row after row, as GGUF files do.
type blockTerm struct {
	f          *blockFormat
	rows, cols int
	data       []byte
}

func (t *blockTerm) Codec() string    { return t.f.name() }
func (t *blockTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *blockTerm) Bytes() int64     { return int64(len(t.data)) }

func (t *blockTerm) Parts() []Part {
	n, size := t.f.dt.Block()
	return []Part{{Name: "blocks", DType: tensor.U8, Shape: []int{t.rows, t.cols / n * size}, Data: t.data}}
}

func (t *blockTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

// MulAdd rounds the activations of few tokens to int8, as intTerm's does, where a kernel multiplies by the packed blocks.
func (t *blockTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if t.f.kernel == nil || in.X.Rows > fewTokens || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	n, size := t.f.dt.Block()
	rowBytes := t.cols / n * size
	for i, x := range in.Q8() {
		t.f.kernel(y.Row(i)[r0:r1], t.data[r0*rowBytes:r1*rowBytes], r1-r0, t.cols, x)
	}
}

func (t *blockTerm) readRow(dst []float32, r int) {
	n, size := t.f.dt.Block()
	rowBytes := t.cols / n * size
	row := t.data[r*rowBytes : (r+1)*rowBytes]
	b := blockScratches.Get().(*blockScratch)
	defer blockScratches.Put(b)
	for c := 0; c < t.cols; c += n {
		t.f.decode(dst[c:c+n], row[:size], b)
		row = row[size:]
	}
}

func (f *blockFormat) decode(dst []float32, block []byte, b *blockScratch) {
	f.affines(block, &b.a)
	if f.levels == 256 {
		kernels.ScaleInt8(dst, block[2:34], b.a[0].scale, 0, 0)
		return
	}
	if f.nibbles > 0 {
		kernels.ScaleNibbles(dst[:32], block[f.nibbles:], b.a[0].scale, -f.bias, b.a[0].offset)
		return
	}
	f.unpack(&b.codes, block)
	for s := range len(dst) / f.sub {
		lo, hi := s*f.sub, (s+1)*f.sub
		kernels.ScaleCodes(dst[lo:hi], b.codes[lo:hi], b.a[s].scale, -f.bias, b.a[s].offset)
	}
}

// Fit gives the reference encoder's scales, so that RoundAll's bytes equal llama-quantize's without an importance matrix.
func (c blockCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := checkFit(c, w, importance); err != nil {
		return nil, err
	}
	n, size := c.dt.Block()
	t := &blockTerm{c.blockFormat, w.Rows, w.Cols, make([]byte, c.Size(w.Rows, w.Cols))}
	g := &blockGrid{term: t, rules: make([]rounding, w.Rows*(w.Cols/c.sub))}
	rules := g.rules
	data := t.data
	var rule [maxSubBlocks]rounding
	var codes [maxBlock]uint8
	for r := range w.Rows {
		row := w.Row(r)
		for col := 0; col < w.Cols; col += n {
			x, block := row[col:col+n], data[:size]
			c.fit(block, x, &rule, &codes)
			if !c.finiteScales(block) {
				return nil, weightError(x, r, col, c.Name(), errTooLarge)
			}
			for s := range n / c.sub {
				if rule[s].kind == keep {
					c.pack(block, &codes)
				}
			}
			if o.Search {
				var weights []float32
				if importance != nil {
					weights = importance[col : col+n]
				}
				c.improve(block, x, weights, &rule)
			}
			copy(rules[:n/c.sub], rule[:])
			rules, data = rules[n/c.sub:], data[size:]
		}
	}
	return g, nil
}

// improve searches better scales and, if the error becomes smaller, replaces those in block and the rules.
func (f *blockFormat) improve(block []byte, x, weights []float32, rule *[maxSubBlocks]rounding) {
	before := f.blockLoss(block, x, weights, rule)
	if before == 0 {
		return
	}
	_, size := f.dt.Block()
	var buf [maxBlock]byte
	candidate := buf[:size]
	copy(candidate, block)
	f.search(f, candidate, x, weights)
	if !f.finiteScales(candidate) {
		return
	}
	nearest := f.nearestRules(candidate, len(x)/f.sub)
	if f.blockLoss(candidate, x, weights, &nearest) < before {
		copy(block, candidate)
		*rule = nearest
	}
}

// nearestRules returns the rules that round to the value nearest by the stored scales.
func (f *blockFormat) nearestRules(block []byte, subs int) (rule [maxSubBlocks]rounding) {
	var a [maxSubBlocks]affine
	f.affines(block, &a)
	for s := range subs {
		rule[s] = rounding{kind: keep}
		if a[s].scale != 0 {
			rule[s] = rounding{kind: byDivision, a: -a[s].offset, b: a[s].scale}
		}
	}
	return rule
}

// blockLoss returns Σ weights·(x - Ŵ)² of x rounded by rule.
func (f *blockFormat) blockLoss(block []byte, x, weights []float32, rule *[maxSubBlocks]rounding) (sum float64) {
	var a [maxSubBlocks]affine
	f.affines(block, &a)
	var codes [maxBlock]uint8
	for s := range len(x) / f.sub {
		if rule[s].kind != keep {
			f.codes(codes[s*f.sub:], rule[s], x[s*f.sub:(s+1)*f.sub])
		}
		for i := s * f.sub; i < (s+1)*f.sub; i++ {
			v := a[s].offset
			if rule[s].kind != keep {
				v += float32(a[s].scale * float32(int(codes[i])-f.bias))
			}
			d := float64(x[i] - v)
			w := 1.0
			if weights != nil {
				w = float64(weights[i])
			}
			sum += float64(d * d * w)
		}
	}
	return sum
}

func (f *blockFormat) finiteScales(block []byte) bool {
	var a [maxSubBlocks]affine
	f.affines(block, &a)
	n, _ := f.dt.Block()
	for s := range n / f.sub {
		if a[s].scale-a[s].scale != 0 || a[s].offset-a[s].offset != 0 {
			return false
		}
	}
	return true
}

// blockGrid rounds to the scales already in term's blocks.
type blockGrid struct {
	term  *blockTerm
	rules []rounding // (rows, sub-blocks)
	codes []uint8    // (rows, cols), made by the first Round
}

func (g *blockGrid) Step() int { return 1 }

func (g *blockGrid) Round(w tensor.Mat, c int) {
	g.unpacked()
	g.round(w, c, 0)
}

func (g *blockGrid) Bands() []Band {
	g.unpacked()
	return rowBands(g.term.rows, 1, g.round)
}

// unpacked makes codes, if there are none yet, of what the blocks hold.
func (g *blockGrid) unpacked() {
	if g.codes != nil {
		return
	}
	t, f := g.term, g.term.f
	g.codes = make([]uint8, t.rows*t.cols)
	n, _ := f.dt.Block()
	var codes [maxBlock]uint8
	g.eachBlock(func(r, col int, block []byte) {
		f.unpack(&codes, block)
		copy(g.codes[r*t.cols+col:][:n], codes[:])
	})
}

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *blockGrid) round(w tensor.Mat, c, r0 int) {
	t, f := g.term, g.term.f
	n, size := f.dt.Block()
	var a [maxSubBlocks]affine
	for r := range w.Rows {
		at := (r0+r)*t.cols + c
		p := g.rules[at/f.sub]
		v := &w.Data[r*w.Stride+c]
		if p.kind != keep {
			f.codes(g.codes[at:][:1], p, w.Data[r*w.Stride+c:][:1])
		}
		f.affines(t.data[at/n*size:][:size], &a)
		s := c % n / f.sub
		*v = float32(a[s].scale*float32(int(g.codes[at])-f.bias)) + a[s].offset
	}
}

// eachBlock calls visit for every block in order.
func (g *blockGrid) eachBlock(visit func(r, col int, block []byte)) {
	t := g.term
	n, size := t.f.dt.Block()
	data := t.data
	for r := range t.rows {
		for col := 0; col < t.cols; col += n {
			visit(r, col, data[:size])
			data = data[size:]
		}
	}
}

func (g *blockGrid) RoundAll(w tensor.Mat) {
	t, f := g.term, g.term.f
	g.codes = nil
	b := blockScratches.Get().(*blockScratch)
	defer blockScratches.Put(b)
	n, _ := f.dt.Block()
	g.eachBlock(func(r, col int, block []byte) {
		rules := g.rules[(r*t.cols+col)/f.sub:][:n/f.sub]
		x := w.Row(r)[col : col+n]
		kept := false
		for _, p := range rules {
			kept = kept || p.kind == keep
		}
		if kept {
			f.unpack(&b.codes, block)
		}
		for s, p := range rules {
			if p.kind != keep {
				f.codes(b.codes[s*f.sub:], p, x[s*f.sub:(s+1)*f.sub])
			}
		}
		f.pack(block, &b.codes)
	})
}

func (g *blockGrid) Pack() Term {
	t := g.term
	if g.codes != nil {
		var codes [maxBlock]uint8
		n, _ := t.f.dt.Block()
		g.eachBlock(func(r, col int, block []byte) {
			copy(codes[:n], g.codes[r*t.cols+col:])
			t.f.pack(block, &codes)
		})
		g.codes = nil
	}
	return t
}

func f16At(block []byte, at int) float32 {
	return tensor.F16ToFloat32(binary.LittleEndian.Uint16(block[at:]))
}

func putF16(block []byte, at int, v float32) {
	binary.LittleEndian.PutUint16(block[at:], tensor.Float32ToF16(v))
}
