package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// arranged is the bytes of what arrange makes of 128 columns: first halves of four blocks, second halves, what sums start from, scales.
const arranged = 256

// arrange emits what products with 4-bit codes need of the activations, once for all rows: four blocks' halves side by side, -128 times the sums of
// four columns j and j+4 (numbers are stored plus 16384, 128 times 128), and each block's scale four times.
func arrange(c *build.Context, data map[string]operand.Mem) {
	c.Function("arrangex512")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *byte, x *int8, scales *float32, steps int)")
	c.Doc("arrangex512 prepares 128 activations a step for tablesRow4x512.")
	m := &matvecEmitter{Context: c, vnni: true, tables: data}
	dst, x := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("x"), c.GP64())
	scales, steps := c.Load(c.Param("scales"), c.GP64()), c.Load(c.Param("steps"), c.GP64())
	bias, zero := word(c, 64, 0x80808080), c.ZMM()
	c.VPXORD(zero, zero, zero)
	four := m.spread("blockOfLane", func(lane int) int { return lane / 4 })
	c.Label("step")
	a, first, second, sum, scale := c.ZMM(), c.ZMM(), c.ZMM(), c.ZMM(), c.ZMM()
	c.VMOVDQU64(operand.Mem{Base: x}, a)
	rest := operand.Mem{Base: x, Disp: 64}
	c.VSHUFI64X2(operand.Imm(0x88), rest, a, first)
	c.VSHUFI64X2(operand.Imm(0xdd), rest, a, second)
	c.VPXORD(sum, sum, sum)
	c.VPDPBUSD(first, bias, sum)
	c.VPDPBUSD(second, bias, sum)
	c.VPSUBD(sum, zero, sum)
	c.VBROADCASTF32X4(operand.Mem{Base: scales}, scale)
	c.VPERMPS(scale, four, scale)
	for i, v := range []reg.VecVirtual{first, second, sum, scale} {
		c.VMOVDQU64(v, operand.Mem{Base: dst, Disp: 64 * i})
	}
	c.ADDQ(operand.U32(arranged), dst)
	c.ADDQ(operand.U32(128), x)
	c.ADDQ(operand.Imm(16), scales)
	c.DECQ(steps)
	c.JNZ(operand.LabelRef("step"))
	c.VZEROUPPER()
	c.RET()
}

// tablesNibbles emits the product of a row of 4-bit codes. Numbers plus 16384 are parted into their upper 8 and lower 7 bits, looked up apart.
func tablesNibbles(c *build.Context, data map[string]operand.Mem) {
	c.Function("tablesRow4x512")
	c.Pragma("noescape")
	c.SignatureExpr("func(codes *byte, entries *int16, scales *float32, ranges, steps, last int, x *byte) float32")
	c.Doc("tablesRow4x512 returns the product of a row of codes of 4 bits: ranges-1 of steps steps of 128 columns, and one of last.")
	t := &tablesEmitter{matvecEmitter: &matvecEmitter{Context: c, vnni: true, tables: data}, width: 4}
	t.w = c.Load(c.Param("codes"), c.GP64())
	entries, scales := c.Load(c.Param("entries"), c.GP64()), c.Load(c.Param("scales"), c.GP64())
	ranges, x := c.Load(c.Param("ranges"), c.GP64()), c.Load(c.Param("x"), c.GP64())
	nibble := word(c, 64, 0x0f0f0f0f)
	total := t.zeros()
	c.Label("range")
	steps := c.Load(c.Param("last"), c.GP64())
	c.CMPQ(ranges, operand.Imm(1))
	c.JE(operand.LabelRef("steps"))
	c.Load(c.Param("steps"), steps)
	c.Label("steps")
	table, low := c.YMM(), c.YMM()
	upper, lower := c.ZMM(), c.ZMM()
	c.VMOVDQU(t.words32("plus16384", 8, func(int) int { return 0x40004000 }), table)
	c.VPADDW(operand.Mem{Base: entries}, table, table)
	c.VPAND(t.words32("low7", 8, func(int) int { return 0x007f007f }), table, low)
	c.VPSRLW(operand.Imm(7), table, table)
	for _, v := range []struct{ words, bytes reg.VecVirtual }{{table, upper}, {low, lower}} {
		c.VPMOVWB(v.words, v.bytes.AsX())
		c.VSHUFI32X4(operand.Imm(0), v.bytes, v.bytes, v.bytes)
	}
	acc := t.zeros()[0]
	c.Label("step")
	c.PREFETCHNTA(operand.Mem{Base: t.w, Disp: prefetchAhead})
	first, second, sum := c.ZMM(), c.ZMM(), c.ZMM()
	c.VMOVDQU64(operand.Mem{Base: t.w}, first)
	c.VPSRLW(operand.Imm(4), first, second)
	c.VPANDD(nibble, first, first)
	c.VPANDD(nibble, second, second)
	c.VMOVDQU64(operand.Mem{Base: x, Disp: 128}, sum)
	for i, numbers := range []reg.VecVirtual{upper, lower} {
		for half, codes := range []reg.VecVirtual{first, second} {
			v, a := c.ZMM(), c.ZMM()
			c.VPSHUFB(codes, numbers, v)
			c.VMOVDQU64(operand.Mem{Base: x, Disp: 64 * half}, a)
			c.VPDPBUSD(a, v, sum)
		}
		if i == 0 {
			c.VPSLLD(operand.Imm(7), sum, sum)
		}
	}
	c.VCVTDQ2PS(sum, sum)
	c.VFMADD231PS(operand.Mem{Base: x, Disp: 192}, sum, acc)
	c.ADDQ(operand.Imm(64), t.w)
	c.ADDQ(operand.U32(arranged), x)
	c.DECQ(steps)
	c.JNZ(operand.LabelRef("step"))
	scale := c.ZMM()
	c.VBROADCASTSS(operand.Mem{Base: scales}, scale)
	c.VFMADD231PS(scale, acc, total[0])
	c.ADDQ(operand.Imm(32), entries)
	c.ADDQ(operand.Imm(4), scales)
	c.DECQ(ranges)
	c.JNZ(operand.LabelRef("range"))
	t.finish(total)
}
