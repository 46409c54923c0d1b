package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packed emits products of rows whose codes must first be put together in the order of the columns. Formats say how; the
// rest is shared: 64 columns (with AVX2, 32) at once give sums of 4 columns each, which are scaled and added up.
func packed(c *build.Context) {
	tables := map[string]operand.Mem{}
	for _, vnni := range []bool{false, true} {
		for _, f := range []func(*build.Context, bool) format{q6K, q5K, q3K, q2K, q50, q51, q41} {
			matvecFunction(c, vnni, tables, f)
		}
		for _, width := range []int{2, 3, 5, 6} {
			matvecFunction(c, vnni, tables, func(*build.Context, bool) format { return denseGroups(width, vnni) })
		}
	}
}

// unpacker gives the unsigned codes of a step in the order of the columns.
type unpacker struct {
	begin  func(m *matvecEmitter)                       // loads constants
	wide   func(m *matvecEmitter, q int) reg.VecVirtual // columns 64q … 64q+63
	narrow func(m *matvecEmitter, b int) reg.VecVirtual // columns 32b … 32b+31, for AVX2
}

// blocks32 completes a format whose scales are of 32 columns.
func (u unpacker) blocks32(f format, vnni bool) format {
	f.wide = vnni
	var spreads [4]operand.Op
	f.begin = func(m *matvecEmitter) {
		for q := 0; vnni && q < 4; q++ {
			spreads[q] = m.keep(m.spread(fmt.Sprintf("halfScales%d", q), func(lane int) int { return 2*q + lane/8 }))
		}
		u.begin(m)
	}
	f.accumulate = func(m *matvecEmitter, scale reg.VecVirtual, acc []reg.VecVirtual) {
		if vnni {
			for q := range 4 {
				codes, sum, s := u.wide(m, q), m.ZMM(), m.ZMM()
				m.VPXORD(sum, sum, sum)
				m.VPDPBUSD(operand.Mem{Base: m.codes, Disp: 64 * q}, codes, sum)
				m.VCVTDQ2PS(sum, sum)
				m.VPERMPS(scale.AsZ(), spreads[q], s)
				m.VFMADD231PS(s, sum, acc[q%2])
			}
			return
		}
		halves := m.fours(scale)
		for b := range 8 {
			codes, s := u.narrow(m, b), m.YMM()
			m.VPMADDUBSW(operand.Mem{Base: m.codes, Disp: 32 * b}, codes, codes)
			m.VPMADDWD(m.ones, codes, codes)
			m.VCVTDQ2PS(codes, codes)
			m.VPERMILPS(operand.Imm(uint64(b%4*0x55)), halves[b/4], s)
			m.VFMADD231PS(s, codes, acc[b%4])
		}
	}
	return f
}

// sixteens is what formats have whose scales are of 16 columns: bias is taken from codes, or the step has minima.
type sixteens struct {
	unpacker
	bias int
	// scales returns those of blocks 0 … 7 and 8 … 15, and the same of minima or nil.
	scales func(m *matvecEmitter) (scale, minimum [2]reg.VecVirtual)
}

// blocks16 completes a format whose scales are of 16 columns. Sums of 4 activations, which a bias or minimum multiplies, are
// products with a constant.
func (u sixteens) blocks16(f format, vnni bool) format {
	var bias operand.Op
	f.wide = vnni
	var spreads [4]operand.Op
	f.begin = func(m *matvecEmitter) {
		for q := 0; vnni && q < 4; q++ {
			spreads[q] = m.keep(m.spread(fmt.Sprintf("quarterScales%d", q), func(lane int) int { return 4*q + lane/4 }))
		}
		bias = m.keep(word(m.Context, m.width(), uint32(max(1, u.bias)*0x01010101)))
		u.begin(m)
	}
	f.step = func(m *matvecEmitter, scales reg.Register, acc []reg.VecVirtual) {
		scale, minimum := u.scales(m)
		m.activationScales(scales, scale, minimum)
		if !vnni {
			for b := range 8 {
				u.narrowStep(m, b, bias, scale[b/4], minimum[b/4], acc[b%4])
			}
			return
		}
		joined := [2]reg.VecVirtual{m.join(scale), m.join(minimum)}
		for q := range 4 {
			u.wideStep(m, q, [2]operand.Op{bias, spreads[q]}, joined, acc[q%2])
		}
	}
	return f
}

func (u sixteens) wideStep(m *matvecEmitter, q int, constants [2]operand.Op, scales [2]reg.VecVirtual, acc reg.VecVirtual) {
	codes, x, sum, other, s := u.wide(m, q), m.ZMM(), m.ZMM(), m.ZMM(), m.ZMM()
	m.VMOVDQU64(operand.Mem{Base: m.codes, Disp: 64 * q}, x)
	m.VPXORD(sum, sum, sum)
	m.VPXORD(other, other, other)
	m.VPDPBUSD(x, codes, sum)
	m.VPDPBUSD(x, constants[0], other)
	if u.bias != 0 {
		m.VPSUBD(other, sum, sum)
	}
	m.VCVTDQ2PS(sum, sum)
	m.VPERMPS(scales[0], constants[1], s)
	m.VFMADD231PS(s, sum, acc)
	if scales[1] != nil {
		least := m.ZMM()
		m.VCVTDQ2PS(other, other)
		m.VPERMPS(scales[1], constants[1], least)
		m.VFNMADD231PS(least, other, acc)
	}
}

func (u sixteens) narrowStep(m *matvecEmitter, b int, bias operand.Op, scale, minimum, acc reg.VecVirtual) {
	codes, x, other, at, s := u.narrow(m, b), m.YMM(), m.YMM(), m.YMM(), m.YMM()
	m.VMOVDQU(operand.Mem{Base: m.codes, Disp: 32 * b}, x)
	m.VPMADDUBSW(x, codes, codes)
	m.VPMADDUBSW(x, bias, other)
	if u.bias != 0 {
		m.VPSUBW(other, codes, codes)
	}
	m.VPMADDWD(m.ones, codes, codes)
	m.VCVTDQ2PS(codes, codes)
	m.VMOVDQU(m.words32(fmt.Sprintf("pairOfScales%d", b%4), 8, func(lane int) int { return b%4*2 + lane/4 }), at)
	m.VPERMPS(scale, at, s)
	m.VFMADD231PS(s, codes, acc)
	if minimum != nil {
		m.VPMADDWD(m.ones, other, other)
		m.VCVTDQ2PS(other, other)
		m.VPERMPS(minimum, at, s)
		m.VFNMADD231PS(s, other, acc)
	}
}

// activationScales multiplies scales and minima of 16 columns by those of the activations, giving 0 where these are 0.
func (m *matvecEmitter) activationScales(scales reg.Register, factors ...[2]reg.VecVirtual) {
	for half := range 2 {
		activation, at, valid := m.YMM(), m.YMM(), m.YMM()
		m.VMOVDQU(m.words32(fmt.Sprintf("twice%d", half), 8, func(lane int) int { return 4*half + lane/2 }), at)
		m.VPERMPS(operand.Mem{Base: scales}, at, activation)
		m.VXORPS(valid, valid, valid)
		const notEqual = 4
		mask := m.K()
		if m.vnni {
			m.VCMPPS(operand.Imm(notEqual), activation, valid, mask)
		} else {
			m.VCMPPS(operand.Imm(notEqual), activation, valid, valid)
		}
		for _, f := range factors {
			if f[half] == nil {
				continue
			}
			if m.vnni {
				m.VMULPS_Z(activation, f[half], mask, f[half])
			} else {
				m.VMULPS(activation, f[half], f[half])
				m.VANDPS(valid, f[half], f[half])
			}
		}
	}
}

// join puts two vectors of 8 side by side; nil gives nil.
func (m *matvecEmitter) join(v [2]reg.VecVirtual) reg.VecVirtual {
	if v[0] == nil {
		return nil
	}
	out := m.ZMM()
	m.VINSERTF64X4(operand.Imm(1), v[1], v[0].AsZ(), out)
	return out
}

// keep moves a constant, with AVX-512, to a register that instructions of AVX cannot name, so that those they can are free.
func (m *matvecEmitter) keep(v reg.VecVirtual) operand.Op {
	if !m.vnni {
		return v
	}
	z := [...]reg.VecPhysical{reg.Z31, reg.Z30, reg.Z29, reg.Z28, reg.Z27, reg.Z26, reg.Z25, reg.Z24, reg.Z23, reg.Z22, reg.Z21, reg.Z20}[m.kept]
	m.kept++
	m.VMOVDQA64(v, z)
	return z
}

// splat returns v in every 32-bit lane: a register, with AVX2 memory, which has few registers.
func (m *matvecEmitter) splat(v uint32) operand.Op {
	if m.vnni {
		return m.keep(word(m.Context, 64, v))
	}
	return m.words32(fmt.Sprintf("splat%08x", v), 8, func(int) int { return int(v) })
}

// halves64 returns a ZMM whose lower four 64-bit lanes are low and the others high: counts of shifts.
func (m *matvecEmitter) halves64(low, high int) operand.Op {
	return m.keep(m.spread(fmt.Sprintf("halves%dand%d", low, high), func(lane int) int {
		if lane%2 == 1 {
			return 0
		}
		if lane < 8 {
			return low
		}
		return high
	}))
}

// moveBits shifts bytes of v left by n, right for negative n. What crosses from byte to byte must be masked away.
func (m *matvecEmitter) moveBits(n int, v reg.VecVirtual) {
	switch {
	case n > 0:
		m.VPSLLW(operand.Imm(uint64(n)), v, v)
	case n < 0:
		m.VPSRLW(operand.Imm(uint64(-n)), v, v)
	}
}

// load32 returns 32 bytes at disp of the step: with AVX-512 twice, side by side.
func (m *matvecEmitter) load32(disp int) reg.VecVirtual {
	at := operand.Mem{Base: m.w, Disp: disp}
	if m.vnni {
		z := m.ZMM()
		m.VBROADCASTI64X4(at, z)
		return z
	}
	y := m.YMM()
	m.VMOVDQU(at, y)
	return y
}

// or3 is the truth table of a | b&c.
const or3 = 0xf8
