package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quantize emits the rounding of activations to int8, a block of 32 a turn.
func quantize(c *build.Context) {
	c.Function("quantizeQ8x256")
	c.Pragma("noescape")
	c.SignatureExpr("func(codes *int8, scales *float32, sums *int32, x *float32, blocks int)")
	c.Doc("quantizeQ8x256 rounds blocks of 32 activations to int8 with a scale each.")
	codes := c.Load(c.Param("codes"), c.GP64())
	scales := c.Load(c.Param("scales"), c.GP64())
	sums := c.Load(c.Param("sums"), c.GP64())
	x := c.Load(c.Param("x"), c.GP64())
	blocks := c.Load(c.Param("blocks"), c.GP64())
	positive, ones := word(c, 32, 0x7fffffff), word(c, 32, 1)
	top127 := word(c, 32, math.Float32bits(127))
	positions := c.StaticGlobal("packedOrder")
	c.DataAttributes(rodata)
	for _, p := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} { // undoes the interleaving of 128-bit lanes
		c.AppendDatum(operand.U32(p))
	}
	order := c.YMM()
	c.VMOVDQU(positions, order)
	c.Label("block")
	var v [4]reg.VecVirtual
	for i := range v {
		v[i] = c.YMM()
		c.VMOVUPS(operand.Mem{Base: x, Disp: 32 * i}, v[i])
	}
	m := maxMagnitude(c, positive, v[:])
	top := c.GP32()
	c.VMOVD(m, top)
	c.CMPL(top, operand.U32(0x0d800000))
	c.JB(operand.LabelRef("zero"))
	c.CMPL(top, operand.U32(0x7f800000))
	c.JAE(operand.LabelRef("zero"))
	scale, inverse := c.XMM(), c.YMM()
	c.VDIVSS(top127.AsX(), m, scale)
	c.VMOVSS(scale, operand.Mem{Base: scales})
	c.VDIVSS(m, top127.AsX(), inverse.AsX())
	c.VBROADCASTSS(inverse.AsX(), inverse)
	for i := range v {
		c.VMULPS(inverse, v[i], v[i])
		c.VCVTPS2DQ(v[i], v[i])
	}
	c.VPACKSSDW(v[1], v[0], v[0])
	c.VPACKSSDW(v[3], v[2], v[2])
	words := c.YMM()
	c.VPADDW(v[0], v[2], words)
	ones16 := c.YMM()
	c.VPSLLD(operand.Imm(16), ones, ones16)
	c.VPOR(ones, ones16, ones16)
	c.VPMADDWD(ones16, words, words)
	high := c.XMM()
	c.VEXTRACTI128(operand.Imm(1), words, high)
	c.VPADDD(high, words.AsX(), high)
	low := c.XMM()
	c.VPSHUFD(operand.Imm(0x4e), high, low)
	c.VPADDD(low, high, high)
	c.VPSHUFD(operand.Imm(0xb1), high, low)
	c.VPADDD(low, high, high)
	c.VMOVD(high, operand.Mem{Base: sums})
	c.VPACKSSWB(v[2], v[0], v[0])
	c.VPERMD(v[0], order, v[0])
	c.VMOVDQU(v[0], operand.Mem{Base: codes})
	c.Label("next")
	c.ADDQ(operand.Imm(128), x)
	c.ADDQ(operand.Imm(32), codes)
	c.ADDQ(operand.Imm(4), scales)
	c.ADDQ(operand.Imm(4), sums)
	c.DECQ(blocks)
	c.JNZ(operand.LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
	c.Label("zero")
	none := c.YMM()
	c.VPXOR(none, none, none)
	c.VMOVDQU(none, operand.Mem{Base: codes})
	c.MOVL(operand.U32(0), operand.Mem{Base: sums})
	c.MOVL(operand.U32(0), operand.Mem{Base: scales})
	c.CMPL(top, operand.U32(0x7f800000))
	c.JB(operand.LabelRef("next"))
	c.MOVL(operand.U32(0x7fc00000), operand.Mem{Base: scales})
	c.JMP(operand.LabelRef("next"))
}

// maxMagnitude returns the largest of the vectors' magnitudes in the lowest lane. Magnitudes are compared as integers, so that
// NaNs are largest.
func maxMagnitude(c *build.Context, positive reg.VecVirtual, v []reg.VecVirtual) reg.VecVirtual {
	m := c.YMM()
	c.VPAND(positive, v[0], m)
	for _, x := range v[1:] {
		t := c.YMM()
		c.VPAND(positive, x, t)
		c.VPMAXUD(t, m, m)
	}
	high, low := c.XMM(), m.AsX()
	c.VEXTRACTI128(operand.Imm(1), m, high)
	c.VPMAXUD(high, low, high)
	t := c.XMM()
	c.VPSHUFD(operand.Imm(0x4e), high, t)
	c.VPMAXUD(t, high, high)
	c.VPSHUFD(operand.Imm(0xb1), high, t)
	c.VPMAXUD(t, high, high)
	return high
}
