package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// q6K is GGML's Q6_K: 210 bytes for 256 columns: low nibbles [128], high pairs of bits [64], 16 int8 scales, d.
func q6K(_ *build.Context, vnni bool) format {
	var nibble, pair operand.Op
	var up, down operand.Op
	u := unpacker{
		begin: func(m *matvecEmitter) {
			nibble, pair = m.splat(0x0f0f0f0f), m.splat(0x30303030)
			if vnni {
				up, down = m.halves64(4, 2), m.halves64(0, 2)
			}
		},
		wide: func(m *matvecEmitter, q int) reg.VecVirtual {
			codes, high := m.ZMM(), m.load32(128+32*(q/2))
			m.VMOVDQU64(operand.Mem{Base: m.w, Disp: 64 * (q / 2)}, codes)
			if q%2 == 0 {
				m.VPSLLVQ(up, high, high)
			} else {
				m.VPSRLW(operand.Imm(4), codes, codes)
				m.VPSRLVQ(down, high, high)
			}
			m.VPANDD(nibble, codes, codes)
			m.VPTERNLOGD(operand.Imm(or3), pair, high, codes)
			return codes
		},
		narrow: func(m *matvecEmitter, b int) reg.VecVirtual {
			codes, high := m.load32(64*(b/4)+32*(b%2)), m.load32(128+32*(b/4))
			m.moveBits(-(b%4/2)*4, codes)
			m.VPAND(nibble, codes, codes)
			m.moveBits(4-b%4*2, high)
			m.VPAND(pair, high, high)
			m.VPOR(high, codes, codes)
			return codes
		},
	}
	s := sixteens{unpacker: u, bias: 32, scales: func(m *matvecEmitter) (scale, _ [2]reg.VecVirtual) {
		return m.byteScales(func(half int) operand.Op { return operand.Mem{Base: m.w, Disp: 192 + 8*half} }, 208), [2]reg.VecVirtual{}
	}}
	return s.blocks16(format{name: "matvecQ6K", doc: "matvecQ6K adds rows of Q6_K times int8 activations to y.", stepBytes: 210}, vnni)
}

// byteScales returns 16 signed bytes, 8 a half, times the binary16 at byte d of the step.
func (m *matvecEmitter) byteScales(bytes func(half int) operand.Op, d int) (scale [2]reg.VecVirtual) {
	factor := m.YMM()
	m.VPBROADCASTW(operand.Mem{Base: m.w, Disp: d}, factor.AsX())
	m.VCVTPH2PS(factor.AsX(), factor)
	for half := range 2 {
		scale[half] = m.YMM()
		m.VPMOVSXBD(bytes(half), scale[half])
		m.VCVTDQ2PS(scale[half], scale[half])
		m.VMULPS(factor, scale[half], scale[half])
	}
	return scale
}

// planeBits puts bit b of the bytes at disp, b the block of 32 columns, at bit position to of codes: a third or fifth bit.
type planeBits struct {
	disp, to int
	mask     operand.Op
	start    operand.Op
}

func (p *planeBits) begin(m *matvecEmitter) {
	p.mask = m.splat(uint32(1<<p.to) * 0x01010101)
	if m.vnni {
		p.start = m.halves64(p.to, p.to-1)
	}
}

func (p *planeBits) wide(m *matvecEmitter, q int, codes reg.VecVirtual) {
	plane := m.load32(p.disp)
	m.VPROLVQ(p.start, plane, plane)
	if q > 0 {
		m.VPRORQ(operand.Imm(uint64(2*q)), plane, plane)
	}
	m.VPTERNLOGD(operand.Imm(or3), p.mask, plane, codes)
}

func (p *planeBits) narrow(m *matvecEmitter, b int, codes reg.VecVirtual) {
	plane := m.load32(p.disp)
	m.moveBits(p.to-b, plane)
	m.VPAND(p.mask, plane, plane)
	m.VPOR(plane, codes, codes)
}

// q5K is GGML's Q5_K: Q4_K with a plane of 32 bytes of fifth bits before the nibbles; 176 bytes.
func q5K(c *build.Context, vnni bool) format {
	fifth := &planeBits{disp: 16, to: 4}
	var nibble operand.Op
	var counts operand.Op
	u := unpacker{
		begin: func(m *matvecEmitter) {
			nibble = m.splat(0x0f0f0f0f)
			if vnni {
				counts = m.halves64(0, 4)
			}
			fifth.begin(m)
		},
		wide: func(m *matvecEmitter, q int) reg.VecVirtual {
			codes := m.load32(48 + 32*q)
			m.VPSRLVQ(counts, codes, codes)
			m.VPANDD(nibble, codes, codes)
			fifth.wide(m, q, codes)
			return codes
		},
		narrow: func(m *matvecEmitter, b int) reg.VecVirtual {
			codes := m.load32(48 + 32*(b/2))
			m.moveBits(-b%2*4, codes)
			m.VPAND(nibble, codes, codes)
			fifth.narrow(m, b, codes)
			return codes
		},
	}
	return u.blocks32(format{name: "matvecQ5K", doc: "matvecQ5K adds rows of Q5_K times int8 activations to y.", stepBytes: 176,
		scales: q4K(c, vnni).scales}, vnni)
}

// twoBits unpacks 64 bytes at disp: byte 32h+l holds columns 128h + l, +32, +64, +96. third may be nil.
func twoBits(disp int, vnni bool, third *planeBits) unpacker {
	var low operand.Op
	var counts [2]operand.Op
	return unpacker{
		begin: func(m *matvecEmitter) {
			low = m.splat(0x03030303)
			if vnni {
				counts = [2]operand.Op{m.halves64(0, 2), m.halves64(4, 6)}
			}
			if third != nil {
				third.begin(m)
			}
		},
		wide: func(m *matvecEmitter, q int) reg.VecVirtual {
			codes := m.load32(disp + 32*(q/2))
			m.VPSRLVQ(counts[q%2], codes, codes)
			m.VPANDD(low, codes, codes)
			if third != nil {
				third.wide(m, q, codes)
			}
			return codes
		},
		narrow: func(m *matvecEmitter, b int) reg.VecVirtual {
			codes := m.load32(disp + 32*(b/4))
			m.moveBits(-b%4*2, codes)
			m.VPAND(low, codes, codes)
			if third != nil {
				third.narrow(m, b, codes)
			}
			return codes
		},
	}
}

// q3K is GGML's Q3_K: 110 bytes for 256 columns: third bits [32], two bits [64], 16 scales of 6 bits in 12 bytes, d.
func q3K(_ *build.Context, vnni bool) format {
	u := sixteens{unpacker: twoBits(32, vnni, &planeBits{disp: 0, to: 2}), bias: 4, scales: func(m *matvecEmitter) (scale, _ [2]reg.VecVirtual) {
		nibbles, high := m.XMM(), m.XMM()
		m.VMOVQ(operand.Mem{Base: m.w, Disp: 96}, nibbles)
		m.VPSRLW(operand.Imm(4), nibbles, high)
		m.VPUNPCKLQDQ(high, nibbles, nibbles)
		m.VPAND(m.words32("low4", 4, func(int) int { return 0x0f0f0f0f }), nibbles, nibbles)
		m.VPBROADCASTD(operand.Mem{Base: m.w, Disp: 104}, high)
		m.VPSRLVD(m.words32("byTwos", 4, func(i int) int { return 2 * i }), high, high)
		m.VPAND(m.words32("low2", 4, func(int) int { return 0x03030303 }), high, high)
		m.VPSLLW(operand.Imm(4), high, high)
		m.VPOR(high, nibbles, nibbles)
		m.VPSUBB(m.words32("bias32", 4, func(int) int { return 0x20202020 }), nibbles, nibbles)
		m.VPSRLDQ(operand.Imm(8), nibbles, high)
		return m.byteScales(func(half int) operand.Op { return [2]operand.Op{nibbles, high}[half] }, 108), [2]reg.VecVirtual{}
	}}
	return u.blocks16(format{name: "matvecQ3K", doc: "matvecQ3K adds rows of Q3_K times int8 activations to y.", stepBytes: 110}, vnni)
}

// q2K is GGML's Q2_K: 84 bytes for 256 columns: 16 scales and minima of 4 bits, two bits [64], d, dmin.
func q2K(_ *build.Context, vnni bool) format {
	u := sixteens{unpacker: twoBits(16, vnni, nil), scales: func(m *matvecEmitter) (scale, minimum [2]reg.VecVirtual) {
		for i, out := range []*[2]reg.VecVirtual{&scale, &minimum} {
			bytes, high := m.XMM(), m.XMM()
			m.VMOVDQU(operand.Mem{Base: m.w}, bytes)
			m.moveBits(-4*i, bytes)
			m.VPAND(m.words32("low4", 4, func(int) int { return 0x0f0f0f0f }), bytes, bytes)
			m.VPSRLDQ(operand.Imm(8), bytes, high)
			*out = m.byteScales(func(half int) operand.Op { return [2]operand.Op{bytes, high}[half] }, 80+2*i)
		}
		return scale, minimum
	}}
	return u.blocks16(format{name: "matvecQ2K", doc: "matvecQ2K adds rows of Q2_K times int8 activations to y.", stepBytes: 84}, vnni)
}
