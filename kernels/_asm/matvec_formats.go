package main

import (
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
		dot: func(m *matvecEmitter, b int) reg.VecVirtual {
			return m.signedDot(operand.Mem{Base: m.w, Disp: 34*b + 2}, b)
		},
	}
}

// q40 is GGML's Q4_0: 18 bytes for 32 columns, a binary16 scale and 32 codes of 4 bits, stored plus 8.
func q40(c *build.Context, vnni bool) format {
	var positions operand.Mem
	if vnni { // all 8 scales lie in 128 bytes
		positions = c.StaticGlobal("scaleWordsQ40")
		c.DataAttributes(rodata)
		for b := range 8 {
			c.AppendDatum(operand.U16(9 * b))
		}
	}
	return format{
		name: "matvecQ40", doc: "matvecQ40 adds rows of Q4_0 times int8 activations to y.", stepBytes: 8 * 18, offset: 8,
		begin: func(m *matvecEmitter) {
			m.beginNibbles()
			if vnni {
				m.words = m.ZMM()
				m.VMOVDQU(positions, m.words.AsX())
			}
		},
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) {
			if !vnni {
				return m.halfScales(18), nil
			}
			words, out := m.ZMM(), m.YMM()
			m.VMOVDQU64(operand.Mem{Base: m.w}, words)
			m.VPERMT2W(operand.Mem{Base: m.w, Disp: 64}, m.words, words)
			m.VCVTPH2PS(words.AsX(), out)
			return out, nil
		},
		dot: func(m *matvecEmitter, b int) reg.VecVirtual {
			return m.unsignedDot(m.nibbles(operand.Mem{Base: m.w, Disp: 18*b + 2}), b)
		},
	}
}

// int8Groups is rows of int8 codes, and a binary16 scale a group.
func int8Groups(*build.Context, bool) format {
	return format{
		name: "matvecInt8", doc: "matvecInt8 adds rows of int8 codes, scaled by groups, times int8 activations to y.", stepBytes: 256, grouped: true,
		begin:  func(m *matvecEmitter) { m.beginSigned() },
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) { return m.groupedScales(), nil },
		dot: func(m *matvecEmitter, b int) reg.VecVirtual {
			return m.signedDot(operand.Mem{Base: m.w, Disp: 32 * b}, b)
		},
	}
}

// int4Groups is rows of blocks of 16 bytes for 32 columns, codes stored plus 8, and a binary16 scale a group.
func int4Groups(*build.Context, bool) format {
	return format{
		name: "matvecInt4", doc: "matvecInt4 adds rows of 4-bit codes, scaled by groups, times int8 activations to y.", stepBytes: 128, grouped: true, offset: 8,
		begin:  func(m *matvecEmitter) { m.beginNibbles() },
		scales: func(m *matvecEmitter) (reg.VecVirtual, reg.VecVirtual) { return m.groupedScales(), nil },
		dot: func(m *matvecEmitter, b int) reg.VecVirtual {
			return m.unsignedDot(m.nibbles(operand.Mem{Base: m.w, Disp: 16 * b}), b)
		},
	}
}

// q4K is GGML's Q4_K: 144 bytes for 256 columns; binary16 d and dmin, 8 scales and 8 minima of 6 bits in 12 bytes, and four
// strips of 32 bytes whose low nibbles are one block and whose high nibbles are the next.
func q4K(*build.Context, bool) format {
	return format{
		name: "matvecQ4K", doc: "matvecQ4K adds rows of Q4_K times int8 activations to y.", stepBytes: 144,
		begin: func(m *matvecEmitter) { m.nibble = word(m.Context, 32, 0x0f0f0f0f) },
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
		dot: func(m *matvecEmitter, b int) reg.VecVirtual {
			codes := m.YMM()
			if b%2 == 0 {
				m.highNibbles = m.YMM()
				m.VMOVDQU(operand.Mem{Base: m.w, Disp: 16 + 16*b}, codes)
				m.VPSRLW(operand.Imm(4), codes, m.highNibbles)
				m.VPAND(m.nibble, codes, codes)
				m.VPAND(m.nibble, m.highNibbles, m.highNibbles)
				return m.unsignedDot(codes, b)
			}
			return m.unsignedDot(m.highNibbles, b)
		},
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

func (m *matvecEmitter) beginSigned() {
	if m.vnni {
		m.zero = m.YMM()
		m.VPXOR(m.zero, m.zero, m.zero)
	}
}

func (m *matvecEmitter) beginNibbles() {
	m.nibble = word(m.Context, 32, 0x0f0f0f0f)
	four := m.GP64()
	x := m.XMM()
	m.MOVQ(operand.U32(4), four)
	m.VMOVQ(four, x)
	m.VPBROADCASTQ(x, x)
	m.shift = m.YMM()
	m.VPXOR(m.shift, m.shift, m.shift)
	m.VINSERTI128(operand.Imm(1), x, m.shift, m.shift)
}

// nibbles returns the low nibbles of the 16 bytes at mem, then the high ones.
func (m *matvecEmitter) nibbles(mem operand.Mem) reg.VecVirtual {
	codes := m.YMM()
	m.VBROADCASTI128(mem, codes)
	m.VPSRLVQ(m.shift, codes, codes)
	m.VPAND(m.nibble, codes, codes)
	return codes
}

// groupedScales loads the step's group scales and gives each block its own.
func (m *matvecEmitter) groupedScales() reg.VecVirtual {
	halves, out := m.XMM(), m.YMM()
	m.VPMASKMOVD(operand.Mem{Base: m.groupScales}, m.loadMask, halves)
	m.VPSHUFB(m.dup, halves, halves)
	m.VCVTPH2PS(halves, out)
	return out
}
