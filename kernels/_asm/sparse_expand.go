package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expandBytes256 emits expandBytes512 without expansion instructions: a table of 8 bytes for each byte of a mask says which of the next
// source bytes goes to each of 8 columns, 128 to one that is not stored. It reads 8 bytes of src for each 8 columns.
func expandBytes256(c *build.Context) {
	c.Function("expandBytesx256")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src, mask *byte, words int, fill uint64, table *[256][8]byte)")
	c.Doc("expandBytes puts src's bytes where mask has ones, of 64 columns a word, and fill elsewhere.")
	dst, src := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("src"), c.GP64())
	mask, words := c.Load(c.Param("mask"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	table := c.Load(c.Param("table"), c.GP64())
	fill, eight := c.XMM(), c.XMM()
	c.VMOVQ(c.Load(c.Param("fill"), c.GP64()), fill)
	c.VPBROADCASTB(fill, fill)
	g := c.GP64()
	c.MOVQ(operand.U64(0x0808080808080808), g)
	c.VMOVQ(g, eight)
	c.VPSLLDQ(operand.Imm(8), eight, eight) // the upper 8 columns are those of the upper 8 bytes
	c.Label("word")
	for i := range 4 {
		v, at := c.XMM(), c.XMM()
		for half := range 2 {
			bits := c.GP32()
			c.MOVBLZX(operand.Mem{Base: mask, Disp: 2*i + half}, bits)
			from := operand.Mem{Base: table, Index: bits.As64(), Scale: 8}
			if half == 0 {
				c.VMOVQ(from, at)
				c.VMOVQ(operand.Mem{Base: src}, v)
			} else {
				c.VPINSRQ(operand.Imm(1), from, at, at)
				c.VPINSRQ(operand.Imm(1), operand.Mem{Base: src}, v, v)
			}
			c.POPCNTL(bits, bits)
			c.ADDQ(bits.As64(), src)
		}
		c.VPADDB(eight, at, at)
		c.VPSHUFB(at, v, v)
		c.VPBLENDVB(at, fill, v, v)
		c.VMOVDQU(v, operand.Mem{Base: dst, Disp: 16 * i})
	}
	c.ADDQ(operand.Imm(8), mask)
	c.ADDQ(operand.Imm(64), dst)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	c.RET()
}

// expandFloats256 is expandBytes256 for floats.
func expandFloats256(c *build.Context) {
	c.Function("expandFloatsx256")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src *float32, mask *byte, words int, table *[256][8]byte)")
	c.Doc("expandFloats puts src's numbers where mask has ones, of 64 columns a word, and 0 elsewhere.")
	dst, src := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("src"), c.GP64())
	mask, words := c.Load(c.Param("mask"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	table := c.Load(c.Param("table"), c.GP64())
	c.Label("word")
	for i := range 8 {
		bits, at, pruned, v := c.GP32(), c.YMM(), c.YMM(), c.YMM()
		c.MOVBLZX(operand.Mem{Base: mask, Disp: i}, bits)
		c.VPMOVSXBD(operand.Mem{Base: table, Index: bits.As64(), Scale: 8}, at)
		c.VPSRAD(operand.Imm(31), at, pruned)
		c.VPERMPS(operand.Mem{Base: src}, at, v)
		c.VANDNPS(v, pruned, v)
		c.VMOVUPS(v, operand.Mem{Base: dst, Disp: 32 * i})
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

// unpackBits512 emits the unpacking of a row's codes to a byte each, 64 a turn. It needs AVX-512 VBMI.
func unpackBits512(c *build.Context) {
	c.Function("unpackBitsx512")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src *byte, codes, bytes, bits int, plan *byte)")
	c.Doc("unpackBits writes codes of bits bits each, which take bytes bytes of src, to dst; plan is a maskedPlan.")
	dst, src := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("src"), c.GP64())
	codes, bytes := c.Load(c.Param("codes"), c.GP64()), c.Load(c.Param("bytes"), c.GP64())
	step, plan := c.Load(c.Param("bits"), c.GP64()), c.Load(c.Param("plan"), c.GP64())
	windows, shifts, mask, all, full := c.ZMM(), c.ZMM(), c.ZMM(), c.GP64(), c.GP64()
	c.VMOVDQU64(operand.Mem{Base: plan, Disp: maskedWindows}, windows)
	c.VMOVDQU64(operand.Mem{Base: plan, Disp: maskedShifts}, shifts)
	c.MOVQ(operand.U64(^uint64(0)), all)
	lowest := c.GP64()
	c.BZHIQ(step, all, lowest)
	c.VPBROADCASTB(lowest.As32(), mask)
	c.MOVQ(operand.U32(64), full)
	c.SHLQ(operand.Imm(3), step) // bytes of 64 codes
	some := func(left reg.GPVirtual) reg.GPVirtual {
		n, k := c.GP64(), c.GP64()
		c.MOVQ(left, n)
		c.CMPQ(n, full)
		c.CMOVQGT(full, n)
		c.BZHIQ(n, all, k)
		return k
	}
	c.Label("some")
	in, out, v := c.K(), c.K(), c.ZMM()
	c.KMOVQ(some(bytes.(reg.GPVirtual)), in)
	c.KMOVQ(some(codes.(reg.GPVirtual)), out)
	c.VMOVDQU8_Z(operand.Mem{Base: src}, in, v)
	c.VPERMB(v, windows, v)
	c.VPMULTISHIFTQB(v, shifts, v)
	c.VPANDD(mask, v, v)
	c.VMOVDQU8(v, out, operand.Mem{Base: dst})
	c.ADDQ(step, src)
	c.SUBQ(step, bytes)
	c.ADDQ(operand.Imm(64), dst)
	c.SUBQ(operand.Imm(64), codes)
	c.JG(operand.LabelRef("some"))
	c.VZEROUPPER()
	c.RET()
}
