package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// q50, q51 and q41 are GGML's types of 32 columns: d; a minimum; fifth bits [4]; nibbles [16], the low ones the first 16 columns.
func q50(_ *build.Context, vnni bool) format {
	return nibbles32(format{name: "matvecQ50", doc: "matvecQ50 adds rows of Q5_0 times int8 activations to y.", offset: 16,
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) { return m.halfScales(22), nil }}, 22, 2, vnni)
}

func q51(_ *build.Context, vnni bool) format {
	return nibbles32(format{name: "matvecQ51", doc: "matvecQ51 adds rows of Q5_1 times int8 activations to y.", scales: scaleAndAdded(24)}, 24, 4, vnni)
}

func q41(_ *build.Context, vnni bool) format {
	return nibbles32(format{name: "matvecQ41", doc: "matvecQ41 adds rows of Q4_1 times int8 activations to y.", scales: scaleAndAdded(20)}, 20, 0, vnni)
}

// scaleAndAdded returns the scales and, with their signs changed, the numbers that are added to codes.
func scaleAndAdded(stride int) func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) {
	return func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) {
		lo, hi := m.YMM(), m.YMM() // d and the number of each block, of blocks 0, 1, 4, 5 and 2, 3, 6, 7
		for i, v := range []reg.VecVirtual{lo, hi} {
			other := m.XMM()
			for j, x := range []reg.VecVirtual{v.AsX().(reg.VecVirtual), other} {
				first := operand.Mem{Base: m.w, Disp: (4*j + 2*i) * stride}
				m.VMOVD(first, x)
				m.VPINSRD(operand.Imm(1), first.Offset(stride), x, x)
			}
			m.VPUNPCKLQDQ(other, v.AsX(), v.AsX())
			m.VCVTPH2PS(v.AsX(), v) // d, m, d, m of the first two; the same of the other two
		}
		scale, added := m.YMM(), m.YMM()
		m.VSHUFPS(operand.Imm(0x88), hi, lo, scale)
		m.VSHUFPS(operand.Imm(0xdd), hi, lo, added)
		m.VXORPS(m.words32("signs", 8, func(int) int { return 1 << 31 }), added, added)
		return scale, added
	}
}

// nibbles32 completes a format of blocks of stride bytes that end with 16 bytes of nibbles and have fifth bits at fifth, if not 0.
func nibbles32(f format, stride, fifth int, vnni bool) format {
	f.stepBytes = 8 * stride
	var nibble, bit operand.Op
	var counts operand.Op
	var second reg.Register
	u := unpacker{
		begin: func(m *matvecEmitter) {
			nibble, bit = m.splat(0x0f0f0f0f), m.splat(0x10101010)
			if vnni {
				counts = m.keep(m.spread("nibbleCounts", func(lane int) int { return lane / 4 % 2 * 4 }))
				upper := m.GP32()
				second = m.K()
				m.MOVL(operand.U32(0xff00), upper)
				m.KMOVW(upper, second)
			}
		},
		wide: func(m *matvecEmitter, q int) reg.VecVirtual {
			codes := m.ZMM()
			at := operand.Mem{Base: m.w, Disp: 2*q*stride + stride - 16}
			m.VBROADCASTI32X4(at, codes)
			m.VBROADCASTI32X4(at.Offset(stride), second, codes)
			m.VPSRLVD(counts, codes, codes)
			m.VPANDD(nibble, codes, codes)
			if fifth != 0 {
				low, high := m.K(), m.K()
				m.KMOVD(operand.Mem{Base: m.w, Disp: 2*q*stride + fifth}, low)
				m.KMOVD(operand.Mem{Base: m.w, Disp: 2*q*stride + stride + fifth}, high)
				m.KUNPCKDQ(low, high, low)
				m.VPADDB(bit, codes, low, codes)
			}
			return codes
		},
		narrow: func(m *matvecEmitter, b int) reg.VecVirtual {
			codes := m.YMM()
			m.VBROADCASTI128(operand.Mem{Base: m.w, Disp: b*stride + stride - 16}, codes)
			m.VPSRLVD(m.words32("nibbleCountsHalf", 8, func(lane int) int { return lane / 4 % 2 * 4 }), codes, codes)
			m.VPAND(nibble, codes, codes)
			if fifth != 0 {
				high := m.YMM()
				m.VPBROADCASTD(operand.Mem{Base: m.w, Disp: b*stride + fifth}, high)
				m.VPSHUFB(m.words32("byteOfBit", 8, func(lane int) int { return lane / 2 * 0x01010101 }), high, high)
				select1 := m.YMM()
				m.VMOVDQU(m.words32("bitOfByte", 8, func(lane int) int { return [2]int{0x08040201, 0x80402010}[lane%2] }), select1)
				m.VPAND(select1, high, high)
				m.VPCMPEQB(select1, high, high)
				m.VPAND(bit, high, high)
				m.VPOR(high, codes, codes)
			}
			return codes
		},
	}
	return u.blocks32(f, vnni)
}

// denseGroups is rows of codes of width bits one after another, and a binary16 scale a group. Two codes and what precedes them in
// their first byte fit in a word for these widths: words are gathered, shifted to their upper ends, and parted.
func denseGroups(width int, vnni bool) format {
	name := fmt.Sprintf("matvecInt%d", width)
	low := uint32(1<<width - 1)
	var positions, shuffle, counts, even, all operand.Op
	count := func(i int) int { return 16 - 2*width - 2*i*width%8 } // of word i: to the upper end
	u := unpacker{
		begin: func(m *matvecEmitter) {
			if !vnni {
				return
			}
			positions = m.keep(m.spread(fmt.Sprintf("dwords%d", width), func(i int) int { return min(15, i/4*2*width/4+i%4) }))
			shuffle = m.keep(m.spread(fmt.Sprintf("bytes%d", width), func(i int) int { return denseBytes(width, i%4, i/4*2*width%4) }))
			counts = m.keep(m.spread(fmt.Sprintf("counts%d", width), func(i int) int { return count(2*i%8) | count((2*i+1)%8)<<16 }))
			even, all = m.splat(0x00ff00ff), m.splat(low*0x01010101)
		},
		wide: func(m *matvecEmitter, q int) reg.VecVirtual {
			words, first := m.ZMM(), m.ZMM()
			m.VPERMD(operand.Mem{Base: m.w, Disp: 8 * width * q}, positions, words)
			m.VPSHUFB(shuffle, words, words)
			m.VPSLLVW(counts, words, words)
			m.VPSRLW(operand.Imm(uint64(16-2*width)), words, first)
			m.VPSRLW(operand.Imm(uint64(8-width)), words, words)
			const choose = 0xd8 // bits of b where c has ones, else of a
			m.VPTERNLOGD(operand.Imm(choose), even, first, words)
			m.VPANDD(all, words, words)
			return words
		},
		narrow: func(m *matvecEmitter, b int) reg.VecVirtual {
			words, first := m.YMM(), m.YMM()
			at := operand.Mem{Base: m.w, Disp: 4 * width * b}
			m.VBROADCASTI128(at, words)
			m.VINSERTI128(operand.Imm(1), at.Offset(2*width), words, words)
			m.VPSHUFB(m.words32(fmt.Sprintf("halfBytes%d", width), 8, func(i int) int { return denseBytes(width, i%4, 0) }), words, words)
			m.VPMULLW(m.words32(fmt.Sprintf("factors%d", width), 8, func(i int) int { return 1<<count(2*i%8) | 1<<count((2*i+1)%8)<<16 }), words, words)
			m.VPSRLW(operand.Imm(uint64(16-2*width)), words, first)
			m.VPSRLW(operand.Imm(uint64(8-width)), words, words)
			m.VPAND(m.splat(low*0x00010001), first, first)
			m.VPAND(m.splat(low*0x01000100), words, words)
			m.VPOR(first, words, words)
			return words
		},
	}
	return u.blocks32(format{name: name, doc: fmt.Sprintf("%s adds rows of dense codes of %d bits, scaled by groups, times int8 activations to y.", name, width),
		stepBytes: 32 * width, grouped: true, offset: 1 << (width - 1),
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) { return m.groupedScales(), nil }}, vnni)
}

// denseBytes returns the positions of the bytes of words 2·pair and 2·pair+1 of 8, the first code's at byte start.
func denseBytes(width, pair, start int) int {
	v := 0
	for i := range 2 {
		at := start + (2*pair+i)*2*width/8
		v |= (at | (at+1)<<8) << (16 * i)
	}
	return v
}
