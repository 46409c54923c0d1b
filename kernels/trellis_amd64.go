//go:build !noasm

package kernels

import "golang.org/x/sys/cpu"

// trellisPathOf returns the fastest way to multiply that a level and the CPU have for d: not every CPU of level avx512 has VBMI.
func trellisPathOf(l level, d *TrellisDecoder) trellisPath {
	x := &cpu.X86
	if l < avx2 {
		return trellisPlain
	}
	if l < avx512 || !x.HasAVX512VBMI || d.rate > trellisLongest {
		return trellisNarrow
	}
	switch {
	case d.kind == trellisHashed && len(d.lut) == 128:
		return trellisHash7
	case d.kind == trellisHashed && len(d.lut) == 256:
		return trellisHash8
	case d.kind == trellisLinear && len(d.lut) == 128 && x.HasAVX512GFNI:
		return trellisLinear7
	case d.kind == trellisLinear && len(d.lut) == 256 && x.HasAVX512GFNI:
		return trellisLinear8
	case d.kind == trellisDirect && d.l == 7:
		return trellisLUT7
	case d.kind == trellisDirect && d.l == 8:
		return trellisLUT8
	}
	return trellisNarrow
}

// trellisBlocks adds the products of blocks blocks of 32 columns to sums. It reads up to 64 bytes beyond them.
func trellisBlocks(p trellisPath, d *TrellisDecoder, sums *[64]float32, tiles []byte, blocks int, codes []int8, scales []float32, totals []int32, h *trellisHeight) {
	if p == trellisNarrow {
		trellisNarrowBlocks(d, sums, tiles, blocks, codes, scales, h)
		return
	}
	f := trellisLut7x512
	switch p {
	case trellisLUT8:
		f = trellisLut8x512
	case trellisLinear7:
		f = trellisLinear7x512
	case trellisLinear8:
		f = trellisLinear8x512
	case trellisHash7:
		f = trellisHash7x512
	case trellisHash8:
		f = trellisHash8x512
	}
	f(&sums[0], &tiles[0], d.rate, d.wrap(), blocks, &codes[0], &scales[0], &totals[0], &d.plan.source[0][0], &h.tiles)
}

// trellisNarrowBlocks decodes a block and then multiplies by it.
func trellisNarrowBlocks(d *TrellisDecoder, sums *[64]float32, tiles []byte, blocks int, codes []int8, scales []float32, h *trellisHeight) {
	var weights [8 * trellisTile]int8
	for b := range blocks {
		trellisBytes(trellisNarrow, d, &weights[0], tiles[b*h.tiles*d.TileBytes():], h.tiles)
		trellisDotx256(&sums[0], &weights[0], &codes[b*Q8Block], scales[b], &h.tiles)
	}
}

// wrap masks the bytes of a tile's last group that are its first again.
func (d *TrellisDecoder) wrap() uint64 { return ^uint64(0) << ((d.rate + 1) / 2) }

// trellisBytes writes the 256 entries of each of n tiles. It reads up to 64 bytes beyond them.
func trellisBytes(p trellisPath, d *TrellisDecoder, dst *int8, tiles []byte, n int) {
	if p == trellisNarrow {
		trellisDecodex256(dst, &tiles[0], d.rate, n, &d.values[0], 1<<d.l-1, &d.plan.source[0][0])
		return
	}
	f := trellisBytesLut7x512
	switch p {
	case trellisLUT8:
		f = trellisBytesLut8x512
	case trellisLinear7:
		f = trellisBytesLinear7x512
	case trellisLinear8:
		f = trellisBytesLinear8x512
	case trellisHash7:
		f = trellisBytesHash7x512
	case trellisHash8:
		f = trellisBytesHash8x512
	}
	f(dst, &tiles[0], d.rate, d.wrap(), n, &d.plan.source[0][0])
}

// trellisRows converts groups, step bytes apart, to rows rows of as many of cols columns (at most 32) as are whole vectors, and
// returns how many those are.
func trellisRows(p trellisPath, dst []float32, stride, rows int, weights []int8, step, cols int, scales []float32) int {
	f, unit := trellisRowsx256, 8
	if p != trellisNarrow {
		f, unit = trellisRowsx512, 16
	}
	if cols < unit {
		return 0
	}
	f(&dst[0], stride, rows, &weights[0], step, cols/unit, &scales[0])
	return cols / unit * unit
}
