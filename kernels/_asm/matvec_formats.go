package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// q80 is GGML's Q8_0: 34 bytes for 32 columns, a binary16 scale and 32 int8 codes.
func q80(*build.Context, bool) format {
	return format{
		name: "matvecQ80", doc: "matvecQ80 adds rows of Q8_0 times int8 activations to y.", stepBytes: 8 * 34,
		begin: func(m *matvecEmitter) { m.beginSigned() },
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) {
			return m.halfScales(34), nil
		},
		accumulate: signedBlocks(34, 2),
	}
}

// q40 is GGML's Q4_0: 18 bytes for 32 columns, a binary16 scale and 32 codes of 4 bits, stored plus 8.
func q40(vnni bool) nibbleFormat {
	return nibbleFormat{
		name: "matvecQ40", doc: "matvecQ40 adds rows of Q4_0 times int8 activations to y.", stride: 18, start: 2,
		begin: func(m *matvecEmitter) {
			if vnni { // all 8 scales lie in 128 bytes, and so do the codes of 4 blocks
				m.words, m.quads = m.ZMM(), m.ZMM()
				m.VMOVDQU(m.words16("scaleWordsQ40", 8, func(b int) int { return 9 * b }), m.words.AsX())
				m.VMOVDQU64(m.words16("codeWordsQ40", 32, func(i int) int { return 9*(i/8) + 1 + i%8 }), m.quads)
			}
		},
		scales: func(m *matvecEmitter) reg.VecVirtual {
			if !vnni {
				return m.halfScales(18)
			}
			words, out := m.ZMM(), m.YMM()
			m.VMOVDQU64(m.weights(0), words)
			m.VPERMT2W(m.weights(64), m.words, words)
			m.VCVTPH2PS(words.AsX(), out)
			return out
		},
	}
}

// int8Groups is rows of int8 codes, and a binary16 scale a group.
func int8Groups(*build.Context, bool) format {
	return format{
		name: "matvecInt8", doc: "matvecInt8 adds rows of int8 codes, scaled by groups, times int8 activations to y.", stepBytes: 256, grouped: true,
		begin:      func(m *matvecEmitter) { m.beginSigned() },
		scales:     func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) { return m.groupedScales(), nil },
		accumulate: signedBlocks(32, 0),
	}
}

// int4Groups is rows of blocks of 16 bytes for 32 columns, codes stored plus 8, and a binary16 scale a group.
func int4Groups() nibbleFormat {
	return nibbleFormat{
		name: "matvecInt4", doc: "matvecInt4 adds rows of 4-bit codes, scaled by groups, times int8 activations to y.", stride: 16, grouped: true,
		scales: (*matvecEmitter).groupedScales,
	}
}

// q4K is GGML's Q4_K: 144 bytes for 256 columns; binary16 d and dmin, 8 scales and 8 minima of 6 bits in 12 bytes, and four
// strips of 32 bytes whose low nibbles are one block and whose high nibbles are the next.
func q4K(_ *build.Context, vnni bool) format {
	return format{
		name: "matvecQ4K", doc: "matvecQ4K adds rows of Q4_K times int8 activations to y.", stepBytes: 144,
		begin: func(m *matvecEmitter) {
			m.nibble = word(m.Context, m.width(), 0x0f0f0f0f)
			for i := 0; vnni && i < 4; i++ { // of blocks 0 and 2, 1 and 3, 4 and 6, 5 and 7
				m.spreads = append(m.spreads, m.spread(fmt.Sprintf("stripScales%d", i), func(lane int) int { return i/2*4 + i%2 + lane/8*2 }))
			}
		},
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) {
			a, b, d := m.GP32(), m.GP32(), m.GP32()
			m.MOVL(operand.Mem{Base: m.w, Disp: 4}, a)  // scales 0…3, and upper bits of scales 4…7
			m.MOVL(operand.Mem{Base: m.w, Disp: 8}, b)  // minima 0…3, and upper bits of minima 4…7
			m.MOVL(operand.Mem{Base: m.w, Disp: 12}, d) // lower bits of scales and minima 4…7
			high := m.GP32()
			m.MOVL(d, high)
			m.SHRL(operand.Imm(4), high)
			return m.sixBits(a, d, 0), m.sixBits(b, high, 2)
		},
		accumulate: stripBlocks, wide: vnni,
	}
}

// sixBits returns 8 numbers of 6 bits, the first four in the bytes of low and the others of the lower nibbles of nibbles and
// the upper two bits of low, times the binary16 at byte half of the block.
func (m *matvecEmitter) sixBits(low, nibbles reg.GPVirtual, half int) reg.VecVirtual {
	first, second := m.GP64(), m.GP64()
	m.MOVL(low, second.As32())
	m.MOVL(low, first.As32())
	m.ANDL(operand.U32(0x3f3f3f3f), first.As32())
	m.SHRL(operand.Imm(2), second.As32())
	m.ANDL(operand.U32(0x30303030), second.As32())
	m.ANDL(operand.U32(0x0f0f0f0f), nibbles)
	m.ORL(nibbles, second.As32())
	m.SHLQ(operand.Imm(32), second)
	m.ORQ(second, first)
	numbers, scale := m.YMM(), m.YMM()
	m.VMOVQ(first, numbers.AsX())
	m.VPMOVZXBD(numbers.AsX(), numbers)
	m.VCVTDQ2PS(numbers, numbers)
	m.VPBROADCASTW(operand.Mem{Base: m.w, Disp: half}, scale.AsX())
	m.VCVTPH2PS(scale.AsX(), scale)
	m.VMULPS(scale, numbers, numbers)
	return numbers
}

// groupedScales loads the step's group scales and gives each block its own.
func (m *matvecEmitter) groupedScales() reg.VecVirtual {
	load, halves, out := m.XMM(), m.XMM(), m.YMM()
	m.VMOVDQU(operand.Mem{Base: m.groupSpread}, load)
	at := m.scaleRow
	if at.Base == nil {
		at.Base = m.groupScales
	}
	m.VPMASKMOVD(at, load, halves)
	m.VPSHUFB(operand.Mem{Base: m.groupSpread, Disp: 16}, halves, halves)
	m.VCVTPH2PS(halves, out)
	return out
}
