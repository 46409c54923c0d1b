package kernels

import (
	"encoding/binary"
	"sync"
)

// groupFormat is a layout of codes whose scales are apart.
type groupFormat struct {
	rowBytes func(cols int) int
	step     int // bytes of codes in a step
	slack    int // that vector kernels may read beyond the last step
	sumOrder
	unpack func(dst *[Q8Block]uint8, codes []byte, b int) // block b of a row; anything beyond its end
	run    func(l level, k *rowKernel, rows int)          // vectorised
}

var formatInt8 = groupFormat{
	rowBytes: func(cols int) int { return cols },
	step:     stepColumns,
	sumOrder: sumOrder{sub: Q8Block, bias: 128},
	unpack: func(dst *[Q8Block]uint8, codes []byte, b int) {
		unpackInt8(dst[:], codes[b*Q8Block:min(len(codes), (b+1)*Q8Block)])
	},
	run: runInt8,
}

var formatInt4 = groupFormat{
	rowBytes: func(cols int) int { return (cols + 31) / 32 * 16 },
	step:     stepColumns / 2,
	sumOrder: sumOrder{sub: Q8Block, bias: 8, places: inQuarters},
	unpack:   func(dst *[Q8Block]uint8, codes []byte, b int) { unpackNibbles(dst[:], codes[16*b:]) },
	run:      runInt4,
}

// groupSpread says how a step's group scales are loaded and which of them each of its 8 blocks has.
type groupSpread struct {
	step  int      // bytes of scales that a step moves on
	load  int      // bytes of scales that a step reads
	table [32]byte // a mask of the 4-byte words to load, and for each block the two bytes of its scale
}

var (
	spread32  = newSpread(1, 16)
	spread64  = newSpread(2, 8)
	spread128 = newSpread(4, 4)
	spread256 = newSpread(8, 2)
	spreadRow = newSpread(8, 0)
)

func newSpread(blocksInGroup, step int) *groupSpread {
	s := &groupSpread{step: step, load: max(4, step)}
	for i := range s.load {
		s.table[i] = 0xff
	}
	for b := range 8 {
		at := byte(b / blocksInGroup * 2)
		s.table[16+2*b], s.table[17+2*b] = at, at+1
	}
	return s
}

// spreadOf returns nil for groups the vector kernels do not know.
func spreadOf(group, cols int) *groupSpread {
	switch {
	case group == cols:
		return spreadRow
	case group == 32:
		return spread32
	case group == 64:
		return spread64
	case group == 128:
		return spread128
	case group == 256:
		return spread256
	}
	return nil
}

func matVecGroups(l level, f *groupFormat, y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	if group <= 0 || group >= cols {
		group = cols
	}
	if rows <= 0 || cols <= 0 {
		return
	}
	rowBytes, rowScales := f.rowBytes(cols), (cols+group-1)/group*2
	if group != cols && group%Q8Block != 0 {
		panic("kernels: mat-vec group that is not a multiple of 32")
	}
	if len(y) < rows || len(codes) < rows*rowBytes || len(scales) < rows*rowScales || !x.holds(cols) {
		panic("kernels: mat-vec slice shorter than its shape")
	}
	spread := spreadOf(group, cols)
	if l == generic || spread == nil {
		for r := range rows {
			y[r] += f.row(codes[r*rowBytes:(r+1)*rowBytes], scales[r*rowScales:], cols, group, &x)
		}
		return
	}
	steps := (cols + stepColumns - 1) / stepColumns
	span, scaleSpan := steps*f.step+f.slack, (steps-1)*spread.step+spread.load
	k := getRowKernel()
	defer k.free()
	*k = rowKernel{y: y, w: codes, rowBytes: rowBytes, steps: steps, x: x, scales: scales, rowScales: rowScales, spread: spread}
	direct := min(rowsWithin(len(codes), rowBytes, span, rows), rowsWithin(len(scales), rowScales, scaleSpan, rows))
	if direct > 0 {
		f.run(l, k, direct)
	}
	if direct == rows {
		return
	}
	padded := getPadded(span + scaleSpan)
	defer paddedPool.Put(padded)
	for r := direct; r < rows; r++ {
		k.y, k.w, k.scales = y[r:], (*padded)[:span], (*padded)[span:]
		copy(k.w, codes[r*rowBytes:(r+1)*rowBytes])
		copy(k.scales, scales[r*rowScales:(r+1)*rowScales])
		f.run(l, k, 1)
	}
}

// row is the definition: one row's product, block after block.
func (f *groupFormat) row(codes, scales []byte, cols, group int, x *Q8) float32 {
	var sum rowSum
	var block [Q8Block]uint8
	var scale [1]float32
	for b := 0; b*Q8Block < cols; b++ {
		scale[0] = F16ToFloat32(binary.LittleEndian.Uint16(scales[b*Q8Block/group*2:]))
		f.unpack(&block, codes, b)
		sum.block(&f.sumOrder, b, &block, scale[:], nil, x)
	}
	return sum.sum()
}

// paddedPool recycles copies of last rows that kernels may read beyond; what is in the padding never matters.
var paddedPool = sync.Pool{New: func() any { return new([]byte) }}

func getPadded(n int) *[]byte {
	p := paddedPool.Get().(*[]byte)
	if cap(*p) < n {
		*p = make([]byte, n)
	}
	*p = (*p)[:n]
	return p
}
