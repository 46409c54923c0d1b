package kernels

import (
	"encoding/binary"
	"math/bits"
)

// A trellis tile is 256 weights in a ring of 16·rate bits (rate in sixteenths of a bit a weight), bit n being bit n&7 of byte n>>3.
// Step t has the state of l bits that begins at bit ⌊t·rate/16⌋ and goes on at the ring's start where it reaches its end: the
// bit-shift trellis of Tseng et al., "QTIP: Quantization with Trellises and Incoherence Processing" (2024), with a step that
// varies, tail-biting, least significant bit first. The 256 weights are 4 groups of 64: 16 rows × 4 columns, row by row. A tile of a
// band of 64 rows has its groups one below the other; that of a band of 32, two below each other and then two to their right;
// that of a band of 16, side by side.
const (
	trellisTile  = 256
	trellisGroup = 64
)

// TrellisMinRate and TrellisMaxRate bound rates, in sixteenths of a bit per weight.
const (
	TrellisMinRate = 16
	TrellisMaxRate = 128
)

// TrellisDecoder multiplies by tiles of one trellis code. It does not change once made; any number of goroutines may use it.
type TrellisDecoder struct {
	l, rate int
	kind    trellisKind
	values  []int8 // of each state, 2^l
	lut     []int8 // of each index
	plan    *trellisPlan
	wide    trellisPath
}

// trellisKind says how a state becomes the index of an entry.
type trellisKind uint8

const (
	trellisDirect trellisKind = iota
	trellisHashed
	trellisLinear
)

// NewTrellisDecoder returns the decoder of tiles whose states have l bits, 7 … 16, at rate sixteenths of a bit per weight. The value of
// state s is lut[s], lut holding 2^l; or if hashed, l being 16, lut[(s·(s+c) mod 2^16) >> (16-q)], lut holding 2^q, q in 1 … 15.
func NewTrellisDecoder(l, rate int, hashed bool, c uint16, lut []int8) *TrellisDecoder {
	if !hashed {
		d := newTrellisDecoder(l, rate, trellisDirect, lut, l, func(s uint16) int { return int(s) })
		if d.wide == trellisLUTMirror {
			d.plan.setLinear([]uint16{1, 2, 4, 8, 16, 32, 64, 128}, true)
		}
		return d
	}
	q := log2(len(lut))
	if l != 16 || q < 1 || q > 15 {
		panic("kernels: hashed trellis without 16 bits of state, or with a table that is no power of two")
	}
	d := newTrellisDecoder(l, rate, trellisHashed, lut, q, func(s uint16) int { return int(s * (s + c) >> (16 - q)) })
	d.plan.hash = c
	return d
}

// NewLinearTrellisDecoder is NewTrellisDecoder for a code whose index is linear in the state over GF(2), a convolutional code as of
// Marcellin and Fischer, "Trellis coded quantization of memoryless and Gauss-Markov sources" (1990): bit i of the index is the parity of
// s & rows[i], rows being 1 … 8 masks of l bits, and lut holds 2^len(rows).
func NewLinearTrellisDecoder(l, rate int, rows []uint16, lut []int8) *TrellisDecoder {
	if len(rows) < 1 || len(rows) > 8 {
		panic("kernels: linear trellis of no or more than 8 index bits")
	}
	for _, row := range rows {
		if int(row)>>l != 0 {
			panic("kernels: linear trellis that looks at more bits than a state has")
		}
	}
	d := newTrellisDecoder(l, rate, trellisLinear, lut, len(rows), func(s uint16) (index int) {
		for i, row := range rows {
			index |= bits.OnesCount16(s&row) & 1 << i
		}
		return index
	})
	d.plan.setLinear(rows, d.wide == trellisLinearMirror)
	return d
}

// newTrellisDecoder makes a decoder whose indices have q bits.
func newTrellisDecoder(l, rate int, kind trellisKind, lut []int8, q int, index func(s uint16) int) *TrellisDecoder {
	if l < 7 || l > 16 || rate < TrellisMinRate || rate > TrellisMaxRate {
		panic("kernels: trellis of a length or rate that does not exist")
	}
	if len(lut) != 1<<q {
		panic("kernels: trellis table of another length than its indices need")
	}
	d := &TrellisDecoder{l: l, rate: rate, kind: kind, lut: lut, values: lut, plan: newTrellisPlan(rate, lut)}
	d.wide = d.widePath()
	if kind != trellisDirect {
		d.values = make([]int8, 1<<l)
		for s := range d.values {
			d.values[s] = lut[index(uint16(s))]
		}
	}
	return d
}

// log2 returns q if n = 2^q, or -1.
func log2(n int) int {
	if n < 1 || n&(n-1) != 0 {
		return -1
	}
	return bits.Len(uint(n)) - 1
}

// TileBytes is the size of a tile of 256 weights.
func (d *TrellisDecoder) TileBytes() int { return 2 * d.rate }

// BandBytes is the size of a band of bandRows rows (16, 32 or 64) and cols columns, padded to whole tiles.
func (d *TrellisDecoder) BandBytes(bandRows, cols int) int {
	width := trellisTile / bandRows
	return (cols + width - 1) / width * d.TileBytes()
}

// MatVec adds W·x to y: W is one band of bandRows rows (16, 32 or 64; those beyond len(y) are left out) and cols columns, row r times
// scales[r], tiles along the columns in tiles. Each 32 columns' integer product is multiplied by x's scale, these are summed from
// left to right, and the sum is multiplied by the row's scale, every operation rounded to float32 on its own: the same bits at
// every level.
func (d *TrellisDecoder) MatVec(y, scales []float32, tiles []byte, bandRows, cols int, x Q8) {
	d.matVec(chosen, y, scales, tiles, bandRows, cols, x)
}

func (d *TrellisDecoder) matVec(l level, y, scales []float32, tiles []byte, bandRows, cols int, x Q8) {
	d.check(len(y), scales, tiles, bandRows, cols)
	if !x.holds(cols) {
		panic("kernels: trellis mat-vec of fewer activations than columns")
	}
	var sums [64]float32
	if p := trellisPathOf(l, d); p == trellisPlain {
		d.bandSums(&sums, tiles, bandRows, cols, x)
	} else {
		d.bandSumsBy(p, &sums, tiles, bandRows, cols, x)
	}
	for r := range y {
		y[r] += float32(sums[r] * scales[r])
	}
}

// DecodeBand writes the band MatVec multiplies by to dst, row-major with stride floats from row to row: rows rows, columns [c0, c1),
// each entry of the table times its row's scale. c0 is a multiple of the tile's width 256/bandRows.
func (d *TrellisDecoder) DecodeBand(dst []float32, stride, rows int, scales []float32, tiles []byte, bandRows, c0, c1 int) {
	d.decodeBand(chosen, dst, stride, rows, scales, tiles, bandRows, c0, c1)
}

func (d *TrellisDecoder) decodeBand(l level, dst []float32, stride, rows int, scales []float32, tiles []byte, bandRows, c0, c1 int) {
	d.check(rows, scales, tiles, bandRows, c1)
	width := trellisTile / bandRows
	if c0 < 0 || c0 > c1 || c0%width != 0 || stride < c1-c0 || rows > 0 && len(dst) < (rows-1)*stride+c1-c0 {
		panic("kernels: trellis decoding to a slice shorter than its shape")
	}
	if p := trellisPathOf(l, d); p != trellisPlain {
		d.decodeBandBy(p, dst, stride, rows, scales, tiles, bandRows, c0, c1)
		return
	}
	var values [trellisTile]int8
	for c := c0; c < c1; c += width {
		d.decodeTile(&values, tiles[c/width*d.TileBytes():])
		for i, v := range values {
			if r, at := trellisPlace(bandRows, i); r < rows && c+at < c1 {
				dst[r*stride+c+at-c0] = float32(v) * scales[r]
			}
		}
	}
}

func (d *TrellisDecoder) check(rows int, scales []float32, tiles []byte, bandRows, cols int) {
	if bandRows != 16 && bandRows != 32 && bandRows != 64 || rows > bandRows || rows < 0 || cols < 0 {
		panic("kernels: trellis band of a shape that does not exist")
	}
	if len(scales) < rows || len(tiles) < d.BandBytes(bandRows, cols) {
		panic("kernels: trellis slice shorter than its shape")
	}
}

// trellisPlace returns the row and column of weight i of a tile.
func trellisPlace(bandRows, i int) (row, col int) {
	group, stack := i/trellisGroup, bandRows/16
	return group%stack*16 + i%trellisGroup/4, group/stack*4 + i%4
}

// decodeTile writes the 256 entries of the table that a tile stands for, in the order of steps.
func (d *TrellisDecoder) decodeTile(dst *[trellisTile]int8, tile []byte) {
	var ring [2*TrellisMaxRate + 8]byte // the tile and its start once more
	n := copy(ring[:], tile[:d.TileBytes()])
	copy(ring[n:], tile[:8])
	mask := uint32(1)<<d.l - 1
	for t := range dst {
		bit := t * d.rate >> 4
		dst[t] = d.values[binary.LittleEndian.Uint32(ring[bit>>3:])>>(bit&7)&mask]
	}
}

// bandSums is the plain product without the rows' scales.
func (d *TrellisDecoder) bandSums(sums *[64]float32, tiles []byte, bandRows, cols int, x Q8) {
	width, size := trellisTile/bandRows, d.TileBytes()
	var values [trellisTile]int8
	for block := 0; block < cols; block += Q8Block {
		var dots [64]int32
		for c := block; c < min(block+Q8Block, cols); c += width {
			d.decodeTile(&values, tiles[c/width*size:])
			for i, v := range values {
				r, at := trellisPlace(bandRows, i)
				dots[r] += int32(v) * int32(x.Codes[c+at])
			}
		}
		for r, dot := range dots[:bandRows] {
			sums[r] += float32(float32(dot) * x.Scales[block/Q8Block])
		}
	}
}
