package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// convert emits conversions between float32 and the two 16-bit floats, 16 elements a step.
func convert(c *build.Context) {
	for _, width := range []int{32, 64} {
		conversion(c, "f16ToF32x", width, 2, 4, func(src, dst operand.Mem) {
			v := vecOf(c, width)
			c.VCVTPH2PS(src, v)
			c.VMOVUPS(v, dst)
		})
		conversion(c, "bf16ToF32x", width, 2, 4, func(src, dst operand.Mem) {
			v := vecOf(c, width)
			c.VPMOVZXWD(src, v)
			c.VPSLLD(operand.Imm(16), v, v)
			c.VMOVUPS(v, dst)
		})
		conversion(c, "f32ToF16x", width, 4, 2, func(src, dst operand.Mem) {
			v := vecOf(c, width)
			c.VMOVUPS(src, v)
			c.VCVTPS2PH(operand.Imm(0), v, dst)
		})
	}
	f32ToBF16x256(c)
	f32ToBF16x512(c)
}

// conversion emits a loop over blocks of 16 elements of from bytes each to elements of to bytes each.
func conversion(c *build.Context, name string, width, from, to int, step func(src, dst operand.Mem)) {
	c.Function(fmt.Sprintf("%s%d", name, width*8))
	c.Pragma("noescape")
	types := map[int]string{2: "*byte", 4: "*float32"}
	c.SignatureExpr(fmt.Sprintf("func(dst %s, src %s, blocks int)", types[to], types[from]))
	c.Doc("converts 16*blocks elements.")
	dst := c.Load(c.Param("dst"), c.GP64())
	src := c.Load(c.Param("src"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	c.Label("loop")
	lanes := width / 4
	for i := 0; i < 16; i += lanes {
		step(operand.Mem{Base: src, Disp: i * from}, operand.Mem{Base: dst, Disp: i * to})
	}
	c.ADDQ(operand.Imm(uint64(16*from)), src)
	c.ADDQ(operand.Imm(uint64(16*to)), dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

// word returns a vector with v in each 32-bit lane.
func word(c *build.Context, width int, v uint32) reg.VecVirtual {
	g, x := c.GP32(), vecOf(c, width)
	c.MOVL(operand.U32(v), g)
	c.VMOVD(g, x.AsX())
	c.VPBROADCASTD(x.AsX(), x)
	return x
}

// roundBF16 emits (bits + 0x7fff + (bits>>16 & 1)) >> 16, and bits>>16 | 0x40 for NaNs.
func roundBF16(c *build.Context, width int, bits, half, one reg.VecVirtual) (rounded, upper reg.VecVirtual) {
	upper, rounded = vecOf(c, width), vecOf(c, width)
	c.VPSRLD(operand.Imm(16), bits, upper)
	if width == 64 {
		c.VPANDD(one, upper, rounded)
	} else {
		c.VPAND(one, upper, rounded)
	}
	c.VPADDD(bits, rounded, rounded)
	c.VPADDD(half, rounded, rounded)
	c.VPSRLD(operand.Imm(16), rounded, rounded)
	return rounded, upper
}

const unordered = 3 // VCMPPS predicate: either operand is a NaN

func f32ToBF16x512(c *build.Context) {
	var half, one, quiet reg.VecVirtual
	begin := func() { half, one, quiet = word(c, 64, 0x7fff), word(c, 64, 1), word(c, 64, 0x40) }
	bf16Function(c, "f32ToBF16x512", begin, func(src, dst reg.Register) {
		bits, nan := c.ZMM(), c.K()
		c.VMOVUPS(operand.Mem{Base: src}, bits)
		rounded, upper := roundBF16(c, 64, bits, half, one)
		c.VCMPPS(operand.Imm(unordered), bits, bits, nan)
		c.VPORD(quiet, upper, nan, rounded)
		c.VPMOVDW(rounded, operand.Mem{Base: dst})
	})
}

func f32ToBF16x256(c *build.Context) {
	var half, one, quiet reg.VecVirtual
	begin := func() { half, one, quiet = word(c, 32, 0x7fff), word(c, 32, 1), word(c, 32, 0x40) }
	bf16Function(c, "f32ToBF16x256", begin, func(src, dst reg.Register) {
		var out [2]reg.VecVirtual
		for i := range out {
			bits, nan := c.YMM(), c.YMM()
			c.VMOVUPS(operand.Mem{Base: src, Disp: 32 * i}, bits)
			rounded, upper := roundBF16(c, 32, bits, half, one)
			c.VCMPPS(operand.Imm(unordered), bits, bits, nan)
			c.VPOR(quiet, upper, upper)
			c.VPBLENDVB(nan, upper, rounded, rounded)
			out[i] = rounded
		}
		c.VPACKUSDW(out[1], out[0], out[0])
		c.VPERMQ(operand.Imm(0xd8), out[0], out[0])
		c.VMOVDQU(out[0], operand.Mem{Base: dst})
	})
}

func bf16Function(c *build.Context, name string, begin func(), step func(src, dst reg.Register)) {
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *byte, src *float32, blocks int)")
	c.Doc("converts 16*blocks elements.")
	dst := c.Load(c.Param("dst"), c.GP64())
	src := c.Load(c.Param("src"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	begin()
	c.Label("loop")
	step(src, dst)
	c.ADDQ(operand.Imm(64), src)
	c.ADDQ(operand.Imm(32), dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}
