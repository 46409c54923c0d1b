package kernels

import "sync"

// MatVecQ8_0 adds W·x to y: W is rows × cols in GGML's Q8_0 (cols a multiple of 32), rows one after another in w. It agrees with the
// float32 product of the decoded weights and x's int8 form within cols/32·2⁻²³ times the sum of the magnitudes of the blocks' products.
// Like all whose names begin with MatVec it gives the same bytes at every level (but for which NaN a NaN is).
func MatVecQ8_0(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ8_0, y, w, rows, cols, x)
}

// MatVecQ4_0 is MatVecQ8_0 for Q4_0.
func MatVecQ4_0(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ4_0, y, w, rows, cols, x)
}

// MatVecQ4_K is MatVecQ8_0 for Q4_K; cols is a multiple of 256.
func MatVecQ4_K(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ4_K, y, w, rows, cols, x)
}

// MatVecInt8 adds W·x to y: W is rows × cols int8 codes, row-major, each times its group's binary16 scale. Groups are of group
// columns, a multiple of 32; the last of a row may be shorter; group 0 or at least cols means one scale a row. scales holds the
// groups of one row after another. The error is as MatVecQ8_0's.
func MatVecInt8(y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	matVecGroups(chosen, &formatInt8, y, codes, scales, rows, cols, group, x)
}

// MatVecInt4 is MatVecInt8 for 4-bit codes stored plus 8: each 32 columns (the last may be fewer) are 16 bytes, byte j holding
// column j in its low and column j+16 in its high nibble.
func MatVecInt4(y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	matVecGroups(chosen, &formatInt4, y, codes, scales, rows, cols, group, x)
}

// stepColumns is what the vector kernels take at once. They may read whole steps beyond the end of a row.
const stepColumns = 256

// blockFormat is a layout of rows made of blocks that hold their scales.
type blockFormat struct {
	columns, bytes int // of one block
	sumOrder
	unpack func(u *unpacked, block []byte)
	run    func(l level, k *rowKernel, rows int) // vectorised
}

// unpacked is one block: the value of column i is scale·(code - bias - offset) - minimum, the scale and minimum those of its sub-block.
type unpacked struct {
	codes          [stepColumns]uint8
	scale, minimum [16]float32
}

// row is the definition: one row's product, block after block.
func (f *blockFormat) row(w []byte, x *Q8) float32 {
	var s rowSum
	var u unpacked
	for i := range len(w) / f.bytes {
		f.unpack(&u, w[i*f.bytes:(i+1)*f.bytes])
		for c := 0; c < f.columns; c += Q8Block {
			s.block(&f.sumOrder, (i*f.columns+c)/Q8Block, (*[Q8Block]uint8)(u.codes[c:]), u.scale[c/f.sub:], u.minimum[c/f.sub:], x)
		}
	}
	return s.sum()
}

// rowKernel is what a vector kernel is told: rows of steps steps each, in w.
type rowKernel struct {
	y         []float32
	w         []byte
	rowBytes  int
	steps     int
	x         Q8
	scales    []byte // of groups, if they are apart
	rowScales int    // bytes of scales in one row
	spread    *groupSpread
}

// rowKernels recycles rowKernels, which go to the heap because kernels are called through tables.
var rowKernels = sync.Pool{New: func() any { return new(rowKernel) }}

func getRowKernel() *rowKernel { return rowKernels.Get().(*rowKernel) }

func (k *rowKernel) free() {
	*k = rowKernel{} // it must not keep weights alive
	rowKernels.Put(k)
}

func matVecBlocks(l level, f *blockFormat, y []float32, w []byte, rows, cols int, x Q8) {
	rowBytes := cols / f.columns * f.bytes
	if cols%f.columns != 0 || rows < 0 || len(y) < rows || len(w) < rows*rowBytes || !x.holds(cols) {
		panic("kernels: mat-vec slice shorter than its shape, or a row of partial blocks")
	}
	if rows == 0 || cols == 0 {
		return
	}
	if l == generic {
		for r := range rows {
			y[r] += f.row(w[r*rowBytes:(r+1)*rowBytes], &x)
		}
		return
	}
	steps := (cols + stepColumns - 1) / stepColumns
	span := steps * (stepColumns / f.columns) * f.bytes // that a kernel reads of a row
	k := getRowKernel()
	defer k.free()
	*k = rowKernel{y: y, w: w, rowBytes: rowBytes, steps: steps, x: x}
	direct := rowsWithin(len(w), rowBytes, span, rows)
	if direct > 0 {
		f.run(l, k, direct)
	}
	if direct == rows {
		return
	}
	padded := getPadded(span)
	defer paddedPool.Put(padded)
	for r := direct; r < rows; r++ {
		copy(*padded, w[r*rowBytes:(r+1)*rowBytes])
		k.y, k.w = y[r:], *padded
		f.run(l, k, 1)
	}
}

// rowsWithin returns how many of the first rows can have span bytes read from their start without leaving the slice.
func rowsWithin(length, stride, span, rows int) int {
	if length < span {
		return 0
	}
	return min(rows, (length-span)/stride+1)
}

// holds reports whether x has codes for cols columns, padded to whole steps.
func (x Q8) holds(cols int) bool {
	blocks := (cols + stepColumns - 1) / stepColumns * (stepColumns / Q8Block)
	return cols >= 0 && len(x.Codes) >= blocks*Q8Block && len(x.Scales) >= blocks && len(x.Sums) >= blocks
}
