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
	if x.HasAVX512GFNI {
		return d.wide
	}
	switch d.wide {
	case trellisLinear7, trellisLinear8, trellisLinearMirror:
		return trellisNarrow
	case trellisLUTMirror:
		return trellisLUT8
	}
	return d.wide
}

// trellisBlocks adds the products of blocks blocks of 32 columns to sums. It reads up to 64 bytes beyond them.
func trellisBlocks(p trellisPath, d *TrellisDecoder, sums *[64]float32, tiles []byte, blocks int, codes []int8, scales []float32, totals []int32, h *trellisHeight) {
	if p == trellisNarrow {
		trellisNarrowBlocks(d, sums, tiles, blocks, codes, scales, h)
		return
	}
	call := d.call(tiles, blocks)
	call.sums, call.codes, call.scales, call.totals, call.height = &sums[0], &codes[0], &scales[0], &totals[0], h
	at := &call.plan
	switch p { // by name: what is called through a variable would make its arguments escape
	case trellisLUT7:
		trellisLut7x512(at)
	case trellisLUT8:
		trellisLut8x512(at)
	case trellisLinear7:
		trellisLinear7x512(at)
	case trellisLinear8:
		trellisLinear8x512(at)
	case trellisHash7:
		trellisHash7x512(at)
	case trellisHash8:
		trellisHash8x512(at)
	case trellisLUTMirror:
		trellisLutMirrorx512(at)
	case trellisLinearMirror:
		trellisLinearMirrorx512(at)
	case trellisHashMirror:
		trellisHashMirrorx512(at)
	}
}

// call is what all kernels are told.
func (d *TrellisDecoder) call(tiles []byte, n int) trellisCall {
	return trellisCall{plan: &d.plan.source[0][0], tiles: &tiles[0], rate: d.rate, wrap: ^uint64(0) << ((d.rate + 1) / 2), n: n}
}

// trellisNarrowBlocks decodes a block and then multiplies by it.
func trellisNarrowBlocks(d *TrellisDecoder, sums *[64]float32, tiles []byte, blocks int, codes []int8, scales []float32, h *trellisHeight) {
	var weights [8 * trellisTile]int8
	for b := range blocks {
		trellisBytes(trellisNarrow, d, &weights[0], tiles[b*h.tiles*d.TileBytes():], h.tiles)
		trellisDotx256(&sums[0], &weights[0], &codes[b*Q8Block], scales[b], &h.tiles)
	}
}

// trellisBytes writes the 256 entries of each of n tiles. It reads up to 64 bytes beyond them.
func trellisBytes(p trellisPath, d *TrellisDecoder, dst *int8, tiles []byte, n int) {
	if p == trellisNarrow {
		trellisDecodex256(dst, &tiles[0], d.rate, n, &d.values[0], 1<<d.l-1, &d.plan.source[0][0])
		return
	}
	call := d.call(tiles, n)
	call.bytes = dst
	at := &call.plan
	switch p {
	case trellisLUT7:
		trellisBytesLut7x512(at)
	case trellisLUT8:
		trellisBytesLut8x512(at)
	case trellisLinear7:
		trellisBytesLinear7x512(at)
	case trellisLinear8:
		trellisBytesLinear8x512(at)
	case trellisHash7:
		trellisBytesHash7x512(at)
	case trellisHash8:
		trellisBytesHash8x512(at)
	case trellisLUTMirror:
		trellisBytesLutMirrorx512(at)
	case trellisLinearMirror:
		trellisBytesLinearMirrorx512(at)
	case trellisHashMirror:
		trellisBytesHashMirrorx512(at)
	}
}

// trellisRows converts groups, step bytes apart, to rows rows of as many of cols columns (at most 32) as are whole vectors, and
// returns how many those are.
func trellisRows(p trellisPath, dst []float32, stride, rows int, weights []int8, step, cols int, scales []float32) int {
	unit := 16
	if p == trellisNarrow {
		unit = 8
	}
	switch n := cols / unit; {
	case n == 0:
	case unit == 8:
		trellisRowsx256(&dst[0], stride, rows, &weights[0], step, n, &scales[0])
	default:
		trellisRowsx512(&dst[0], stride, rows, &weights[0], step, n, &scales[0])
	}
	return cols / unit * unit
}
