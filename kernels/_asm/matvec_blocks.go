package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// accumulator is the type of format.accumulate.
type accumulator func(m *matvecEmitter, scale reg.VecVirtual, acc []reg.VecVirtual)

func (m *matvecEmitter) width() int {
	if m.vnni {
		return 64
	}
	return 32
}

// fours returns scales 0…3 and 4…7 in both 128-bit lanes each.
func (m *matvecEmitter) fours(scale reg.VecVirtual) [2]reg.VecVirtual {
	halves := [2]reg.VecVirtual{m.YMM(), m.YMM()}
	m.VPERM2F128(operand.Imm(0x00), scale, scale, halves[0])
	m.VPERM2F128(operand.Imm(0x11), scale, scale, halves[1])
	return halves
}

func (m *matvecEmitter) beginSigned() {
	if m.vnni {
		m.zero = m.YMM()
		m.VPXOR(m.zero, m.zero, m.zero)
	}
}

// signedBlocks accumulates int8 weights, block b at stride*b + start.
func signedBlocks(stride, start int) accumulator {
	return func(m *matvecEmitter, scale reg.VecVirtual, acc []reg.VecVirtual) {
		halves := m.fours(scale)
		for b := range 8 {
			isum, s := m.signedDot(operand.Mem{Base: m.w, Disp: stride*b + start}, b), m.YMM()
			m.VCVTDQ2PS(isum, isum)
			m.VPERMILPS(operand.Imm(uint64(b%4*0x55)), halves[b/4], s)
			m.VFMADD231PS(s, isum, acc[b%4])
		}
	}
}

// signedDot returns 8 partial sums of 32 int8 weights at mem times block b of the activations, which are never -128: the
// weight's sign is moved to the activation.
func (m *matvecEmitter) signedDot(mem operand.Mem, b int) reg.VecVirtual {
	w, magnitude, signed, sum := m.YMM(), m.YMM(), m.YMM(), m.YMM()
	m.VMOVDQU(mem, w)
	m.VPABSB(w, magnitude)
	m.VMOVDQU(operand.Mem{Base: m.codes, Disp: 32 * b}, signed)
	if m.vnni {
		negative := m.K()
		m.VPMOVB2M(w, negative)
		m.VPSUBB(signed, m.zero, negative, signed)
		m.VPXOR(sum, sum, sum)
		m.VPDPBUSD(signed, magnitude, sum)
		return sum
	}
	m.VPSIGNB(w, signed, signed)
	m.VPMADDUBSW(signed, magnitude, sum)
	m.VPMADDWD(m.ones, sum, sum)
	return sum
}

// stripBlocks accumulates strips of 32 bytes after 16 bytes of scales: low nibbles are a block and high nibbles the next.
func stripBlocks(m *matvecEmitter, scale reg.VecVirtual, acc []reg.VecVirtual) {
	if !m.vnni {
		halves := m.fours(scale)
		for p := range 4 {
			low, high := m.YMM(), m.YMM()
			m.VMOVDQU(operand.Mem{Base: m.w, Disp: 16 + 32*p}, low)
			m.VPSRLW(operand.Imm(4), low, high)
			for i, codes := range []reg.VecVirtual{low, high} {
				b, s := 2*p+i, m.YMM()
				m.VPAND(m.nibble, codes, codes)
				m.VPMADDUBSW(operand.Mem{Base: m.codes, Disp: 32 * b}, codes, codes)
				m.VPMADDWD(m.ones, codes, codes)
				m.VCVTDQ2PS(codes, codes)
				m.VPERMILPS(operand.Imm(uint64(b%4*0x55)), halves[b/4], s)
				m.VFMADD231PS(s, codes, acc[p%2+2*i])
			}
		}
		return
	}
	for q := range 2 {
		low, high, a := m.ZMM(), m.ZMM(), m.ZMM()
		m.VMOVDQU64(operand.Mem{Base: m.w, Disp: 16 + 64*q}, low)
		m.VPSRLW(operand.Imm(4), low, high)
		m.VMOVDQU64(operand.Mem{Base: m.codes, Disp: 128 * q}, a)
		for i, codes := range []reg.VecVirtual{low, high} {
			x, sum, s := m.ZMM(), m.ZMM(), m.ZMM()
			m.VPANDD(m.nibble, codes, codes)
			m.VSHUFI64X2(operand.Imm(uint64(0x44+0xaa*i)), operand.Mem{Base: m.codes, Disp: 128*q + 64}, a, x)
			m.VPXORD(sum, sum, sum)
			m.VPDPBUSD(x, codes, sum)
			m.VCVTDQ2PS(sum, sum)
			m.VPERMPS(scale.AsZ(), m.spreads[2*q+i], s)
			m.VFMADD231PS(s, sum, acc[i])
		}
	}
}

// spread returns a register of 16 lane numbers.
func (m *matvecEmitter) spread(name string, at func(lane int) int) reg.VecVirtual {
	z := m.ZMM()
	m.VMOVDQU64(m.words32(name, 16, at), z)
	return z
}

// words32 returns a table of n 32-bit numbers in the file's read-only data, words16 one of 16-bit numbers.
func (m *matvecEmitter) words32(name string, n int, at func(int) int) operand.Mem {
	return m.table(name, n, func(i int) operand.Constant { return operand.U32(at(i)) })
}

func (m *matvecEmitter) words16(name string, n int, at func(int) int) operand.Mem {
	return m.table(name, n, func(i int) operand.Constant { return operand.U16(at(i)) })
}

func (m *matvecEmitter) table(name string, n int, at func(int) operand.Constant) operand.Mem {
	if mem, ok := m.tables[name]; ok {
		return mem
	}
	mem := m.StaticGlobal(name)
	m.DataAttributes(rodata)
	for i := range n {
		m.AppendDatum(at(i))
	}
	m.tables[name] = mem
	return mem
}
