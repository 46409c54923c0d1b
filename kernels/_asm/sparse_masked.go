package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A plan (kernels.maskedPlan) begins with windows, and goes on with shifts.
const (
	maskedWindows = 0  // which bytes each quadword of 8 codes needs
	maskedShifts  = 64 // shifts to 64 codes that begin at bit 0 … 7
)

// maskedArrange512 emits what products read of the activations.
func maskedArrange512(c *build.Context) {
	c.Function("maskedArrangex512")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *byte, x *int8, steps int, bias uint32)")
	c.Doc("maskedArrange writes, for each 256 of x, minus the bias, in each byte of bias, times the sums of each four as int32, and then the 256.")
	dst, x, steps := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("x"), c.GP64()), c.Load(c.Param("steps"), c.GP64())
	bias, zero := c.ZMM(), c.ZMM()
	c.VPBROADCASTD(c.Load(c.Param("bias"), c.GP32()), bias)
	c.VPXORD(zero, zero, zero)
	c.Label("step")
	for i := range 4 {
		v, sum := c.ZMM(), c.ZMM()
		c.VMOVDQU64(operand.Mem{Base: x, Disp: 64 * i}, v)
		c.VMOVDQA64(zero, sum)
		c.VPDPBUSD(v, bias, sum)
		c.VPSUBD(sum, zero, sum)
		c.VMOVDQU64(sum, operand.Mem{Base: dst, Disp: 64 * i})
		c.VMOVDQU64(v, operand.Mem{Base: dst, Disp: 256 + 64*i})
	}
	c.ADDQ(operand.U32(256), x)
	c.ADDQ(operand.U32(512), dst)
	c.DECQ(steps)
	c.JNZ(operand.LabelRef("step"))
	c.VZEROUPPER()
	c.RET()
}

// maskedFunction512 emits the product of rows of which a mask says what is stored (kernels.Masked): a word's codes are expanded among
// codes of zero. Codes of fewer than 8 bits, narrow, are windows of bits first. It needs AVX-512 VBMI2, narrow ones VBMI too.
func maskedFunction512(c *build.Context, tables map[string]operand.Mem, narrow bool) {
	name, args := "matvecMaskedBytesx512", ""
	if narrow {
		name, args = "matvecMaskedBitsx512", "bits int, plan *byte, "
	}
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(y *float32, mask *byte, maskBytes int, starts *uint32, codes *byte, bias, rows, steps int, " + args + "x *byte, scales *float32, " + groupArgs + ")")
	c.Doc("matvecMasked adds rows of codes that masks place, scaled by groups, times int8 activations to y.")
	m := &maskedEmitter{sparseRows: sparseRows{matvecEmitter: &matvecEmitter{Context: c, vnni: true, tables: tables}}, narrow: narrow}
	m.groupSpread = c.Load(c.Param("spread"), c.GP64())
	m.zero, m.bias = c.ZMM(), c.ZMM()
	c.VPXORD(m.zero, m.zero, m.zero)
	c.VPBROADCASTB(c.Load(c.Param("bias"), c.GP64()).(reg.GPVirtual).As32(), m.bias)
	if narrow {
		m.plan = c.Load(c.Param("plan"), c.GP64())
		m.windows, m.codeMask = c.ZMM(), c.ZMM()
		c.VMOVDQU64(operand.Mem{Base: m.plan, Disp: maskedWindows}, m.windows)
		c.VPADDB(m.bias, m.bias, m.codeMask) // 2^bits - 1
		ones := c.ZMM()
		c.VPTERNLOGD(operand.Imm(0xff), ones, ones, ones)
		c.VPADDB(ones, m.codeMask, m.codeMask)
	}
	for i := range m.blockScale {
		m.blockScale[i] = m.spread(fmt.Sprintf("maskedScale%d", i), func(lane int) int { return 2*i + lane/8 })
	}
	m.mask, m.w, m.at = c.GP64(), c.GP64(), c.GP64()
	acc := m.accumulators(2)
	m.rowLoop(acc, func() {
		c.Load(c.Param("mask"), m.mask)
		c.Load(c.Param("codes"), m.w)
		c.Load(c.Param("starts"), m.at)
		c.MOVL(operand.Mem{Base: m.at}, m.at.As32())
		c.ADDQ(m.at, m.w)
		if narrow {
			c.XORQ(m.at, m.at)
		}
	}, func() {
		m.step(acc)
		c.ADDQ(operand.Imm(32), m.mask)
		c.ADDQ(operand.U32(512), m.codes)
	}, map[string]operand.Op{"mask": m.address("maskBytes"), "starts": operand.Imm(4)}, "mask", "starts")
}

// maskedEmitter holds the registers of one function.
type maskedEmitter struct {
	sparseRows
	narrow      bool
	mask, first reg.Register
	at          reg.GPVirtual // bits of the row's codes that were used, of narrow ones
	bits, plan  reg.Register
	bias        reg.VecVirtual
	windows     reg.VecVirtual
	codeMask    reg.VecVirtual
	blockScale  [4]reg.VecVirtual
}

func (m *maskedEmitter) step(acc []reg.VecVirtual) {
	if !m.narrow {
		m.PREFETCHNTA(operand.Mem{Base: m.w, Disp: prefetchAhead})
		m.PREFETCHNTA(operand.Mem{Base: m.w, Disp: prefetchAhead + 64})
	}
	m.PREFETCHNTA(operand.Mem{Base: m.mask, Disp: prefetchAhead / 2})
	scale := m.stepScales()
	for q := range 4 {
		word, k, count := m.GP64(), m.K(), m.GP64()
		codes, sum, s := m.ZMM(), m.ZMM(), m.ZMM()
		m.MOVQ(operand.Mem{Base: m.mask, Disp: 8 * q}, word)
		m.KMOVQ(word, k)
		m.POPCNTQ(word, count)
		m.VMOVDQA64(m.bias, codes)
		if m.narrow {
			m.narrowCodes(q, k, codes)
			m.IMULQ(m.address("bits"), count)
			m.ADDQ(count, m.at)
		} else {
			m.VPEXPANDB(operand.Mem{Base: m.w}, k, codes)
			m.ADDQ(count, m.w)
		}
		m.VMOVDQU64(operand.Mem{Base: m.codes, Disp: 64 * q}, sum)
		m.VPDPBUSD(operand.Mem{Base: m.codes, Disp: 256 + 64*q}, codes, sum)
		m.VCVTDQ2PS(sum, sum)
		m.VPERMPS(scale.AsZ(), m.blockScale[q], s)
		m.VFMADD231PS(s, sum, acc[q%2])
	}
}

// narrowCodes expands the codes from bit m.at on.
func (m *maskedEmitter) narrowCodes(q int, k reg.Register, codes reg.VecVirtual) {
	from, shift := m.GP64(), m.GP64()
	m.MOVQ(m.at, from)
	m.SHRQ(operand.Imm(3), from)
	m.MOVL(m.at.As32(), shift.As32())
	m.ANDL(operand.Imm(7), shift.As32())
	m.SHLL(operand.Imm(6), shift.As32())
	packed, shifts := m.ZMM(), m.ZMM()
	if q%2 == 0 {
		m.PREFETCHNTA(operand.Mem{Base: m.w, Index: from, Scale: 1, Disp: prefetchAhead})
	}
	m.VPERMB(operand.Mem{Base: m.w, Index: from, Scale: 1}, m.windows, packed)
	m.VMOVDQU64(operand.Mem{Base: m.plan, Index: shift, Scale: 1, Disp: maskedShifts}, shifts)
	m.VPMULTISHIFTQB(packed, shifts, packed)
	m.VPANDD(m.codeMask, packed, packed)
	m.VPEXPANDB(packed, k, codes)
}

// expandFloats512 emits the expansion of words of 64 floats.
func expandFloats512(c *build.Context) {
	c.Function("expandFloatsx512")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src *float32, mask *byte, words int)")
	c.Doc("expandFloats puts src's numbers where mask has ones, of 64 columns a word, and 0 elsewhere.")
	dst, src := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("src"), c.GP64())
	mask, words := c.Load(c.Param("mask"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	c.Label("word")
	for i := range 4 {
		bits, k, v := c.GP32(), c.K(), c.ZMM()
		c.MOVWLZX(operand.Mem{Base: mask, Disp: 2 * i}, bits)
		c.KMOVW(bits, k)
		c.VEXPANDPS_Z(operand.Mem{Base: src}, k, v)
		c.VMOVUPS(v, operand.Mem{Base: dst, Disp: 64 * i})
		c.POPCNTL(bits, bits)
		c.LEAQ(operand.Mem{Base: src, Index: bits.As64(), Scale: 4}, src.(reg.GPVirtual))
	}
	c.ADDQ(operand.Imm(8), mask)
	c.ADDQ(operand.U32(256), dst)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	c.VZEROUPPER()
	c.RET()
}

// expandBytes512 emits the expansion of words of 64 bytes. It needs AVX-512 VBMI2.
func expandBytes512(c *build.Context) {
	c.Function("expandBytesx512")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src, mask *byte, words int, fill uint64)")
	c.Doc("expandBytes puts src's bytes where mask has ones, of 64 columns a word, and fill elsewhere.")
	dst, src := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("src"), c.GP64())
	mask, words := c.Load(c.Param("mask"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	fill := c.ZMM()
	c.VPBROADCASTB(c.Load(c.Param("fill"), c.GP64()).(reg.GPVirtual).As32(), fill)
	c.Label("word")
	word, k, v := c.GP64(), c.K(), c.ZMM()
	c.MOVQ(operand.Mem{Base: mask}, word)
	c.KMOVQ(word, k)
	c.VMOVDQA64(fill, v)
	c.VPEXPANDB(operand.Mem{Base: src}, k, v)
	c.VMOVDQU64(v, operand.Mem{Base: dst})
	c.POPCNTQ(word, word)
	c.ADDQ(word, src)
	c.ADDQ(operand.Imm(8), mask)
	c.ADDQ(operand.Imm(64), dst)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	c.VZEROUPPER()
	c.RET()
}
