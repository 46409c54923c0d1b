//go:build !noasm

package kernels

import "golang.org/x/sys/cpu"

// trellisPathOf returns the fastest way to multiply that a level and the CPU have for d: not every CPU of level avx512 has VBMI.
func trellisPathOf(l level, d *TrellisDecoder) trellisPath {
	x := &cpu.X86
	if l < avx512 || !x.HasAVX512VBMI || d.rate > trellisLongest {
		return trellisPlain
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
	return trellisPlain
}

// trellisBlocks adds the products of blocks blocks of 32 columns to sums. It reads up to 64 bytes beyond them.
func trellisBlocks(p trellisPath, d *TrellisDecoder, sums *[64]float32, tiles []byte, blocks int, codes []int8, scales []float32, totals []int32, h *trellisHeight) {
	wrap := ^uint64(0) << ((d.rate + 1) / 2)
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
	f(&sums[0], &tiles[0], d.rate, wrap, blocks, &codes[0], &scales[0], &totals[0], &d.plan.source[0][0], &h.tiles)
}
