package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maskedFloats512 emits the product of rows of floats of which a mask says what is stored with float32 activations: dot's sums of what
// expands to a row, in its order. Elements of two bytes need AVX-512 VBMI2.
func maskedFloats512(c *build.Context, name string, size int, widen func(half reg.VecVirtual) reg.VecVirtual) {
	c.Function("matvecMasked" + name + "x512")
	c.Pragma("noescape")
	c.SignatureExpr("func(y *float32, mask *byte, starts *uint32, data *byte, x *float32, rows, words int)")
	c.Doc("matvecMasked" + name + " adds rows of words of 64 columns that masks place, times activations, to y.")
	y, mask, starts := c.Load(c.Param("y"), c.GP64()), c.Load(c.Param("mask"), c.GP64()), c.Load(c.Param("starts"), c.GP64())
	data, rows := c.Load(c.Param("data"), c.GP64()), c.Load(c.Param("rows"), c.GP64())
	acc := [4]reg.VecVirtual{c.ZMM(), c.ZMM(), c.ZMM(), c.ZMM()}
	c.Label("row")
	at, x, words := c.GP64(), c.Load(c.Param("x"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	c.MOVL(operand.Mem{Base: starts}, at.As32())
	c.ADDQ(data, at)
	for _, a := range acc {
		c.VXORPS(a.AsY(), a.AsY(), a.AsY())
	}
	c.Label("word")
	c.PREFETCHNTA(operand.Mem{Base: at, Disp: prefetchAhead})
	c.PREFETCHNTA(operand.Mem{Base: at, Disp: prefetchAhead + 64})
	step := 4 / size
	for i := 0; i < 4; i += step {
		bits, k, v := c.GP32(), c.K(), c.ZMM()
		if size == 4 {
			c.MOVWLZX(operand.Mem{Base: mask, Disp: 2 * i}, bits)
			c.KMOVW(bits, k)
			c.VEXPANDPS_Z(operand.Mem{Base: at}, k, v)
			c.VFMADD231PS(operand.Mem{Base: x, Disp: 64 * i}, v, acc[i])
		} else {
			c.MOVL(operand.Mem{Base: mask, Disp: 2 * i}, bits)
			c.KMOVD(bits, k)
			c.VPEXPANDW_Z(operand.Mem{Base: at}, k, v)
			upper := c.YMM()
			c.VEXTRACTI64X4(operand.Imm(1), v, upper)
			for j, half := range []reg.VecVirtual{v.AsY().(reg.VecVirtual), upper} {
				c.VFMADD231PS(operand.Mem{Base: x, Disp: 64 * (i + j)}, widen(half), acc[i+j])
			}
		}
		c.POPCNTL(bits, bits)
		c.LEAQ(operand.Mem{Base: at, Index: bits.As64(), Scale: uint8(size)}, at)
	}
	c.ADDQ(operand.Imm(8), mask)
	c.ADDQ(operand.U32(256), x)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	c.VADDPS(acc[2], acc[0], acc[0])
	c.VADDPS(acc[3], acc[1], acc[1])
	c.VADDPS(acc[1], acc[0], acc[0])
	low, upper := acc[0].AsY().(reg.VecVirtual), c.YMM()
	c.VEXTRACTF64X4(operand.Imm(1), acc[0], upper)
	c.VADDPS(upper, low, low)
	sum := horizontalSum(c, low)
	c.VADDSS(operand.Mem{Base: y}, sum, sum)
	c.VMOVSS(sum, operand.Mem{Base: y})
	c.ADDQ(operand.Imm(4), y)
	c.ADDQ(operand.Imm(4), starts)
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// dotColumns512 emits Σ values[i]·x[column i] for blocks of 256 columns, whose elements are taken 16 at a time.
func dotColumns512(c *build.Context) {
	c.Function("dotColumnsx512")
	c.Pragma("noescape")
	c.SignatureExpr("func(sums *[16]float32, values *float32, columns, counts *byte, x *float32, blocks int)")
	c.Doc("dotColumns adds the products of values with the columns of x that the lowest bytes in columns say, counts of each 256, to sums.")
	values, columns, counts := c.Load(c.Param("values"), c.GP64()), c.Load(c.Param("columns"), c.GP64()), c.Load(c.Param("counts"), c.GP64())
	x, blocks := c.Load(c.Param("x"), c.GP64()), c.Load(c.Param("blocks"), c.GP64())
	sum, all, sums := c.ZMM(), c.GP32(), c.Load(c.Param("sums"), c.GP64())
	c.VMOVUPS(operand.Mem{Base: sums}, sum)
	c.MOVL(operand.U32(0xffff), all)
	c.Label("block")
	n, k, gathered := c.GP64(), c.K(), c.K()
	c.MOVWQZX(operand.Mem{Base: counts}, n)
	c.CMPQ(n, operand.Imm(16))
	c.JB(operand.LabelRef("rest"))
	take := func(count operand.Op) {
		column, v := c.ZMM(), c.ZMM()
		c.VPMOVZXBD_Z(operand.Mem{Base: columns}, k, column)
		c.VXORPS(v.AsY(), v.AsY(), v.AsY())
		c.KMOVW(k, gathered)
		c.VGATHERDPS(operand.Mem{Base: x, Index: column, Scale: 4}, gathered, v)
		c.VMULPS_Z(operand.Mem{Base: values}, v, k, v)
		c.VADDPS(v, sum, k, sum)
		c.ADDQ(count, columns)
	}
	c.KMOVW(all, k)
	c.Label("whole")
	take(operand.Imm(16))
	c.ADDQ(operand.Imm(64), values)
	c.SUBQ(operand.Imm(16), n)
	c.CMPQ(n, operand.Imm(16))
	c.JAE(operand.LabelRef("whole"))
	c.Label("rest")
	c.TESTQ(n, n)
	c.JZ(operand.LabelRef("next"))
	bits := c.GP32()
	c.BZHIL(n.As32(), all, bits)
	c.KMOVW(bits, k)
	take(n)
	c.LEAQ(operand.Mem{Base: values, Index: n, Scale: 4}, values.(reg.GPVirtual))
	c.Label("next")
	c.ADDQ(operand.Imm(2), counts)
	c.ADDQ(operand.U32(1024), x)
	c.DECQ(blocks)
	c.JNZ(operand.LabelRef("block"))
	c.VMOVUPS(sum, operand.Mem{Base: sums})
	c.VZEROUPPER()
	c.RET()
}
