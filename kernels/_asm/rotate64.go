package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rotate64 emits what the eigensolver spends its time in, in float64: chains of rotations, dot products, updates of rank two. Lanes are
// independent and fuse what the plain definitions fuse.
func rotate64(c *build.Context) {
	for _, width := range []int{32, 64} {
		rotateChain64(c, width)
		dot64(c, width)
		rank2Sub64(c, width)
	}
}

// broadcast64 loads a float64 parameter into every lane.
func broadcast64(c *build.Context, name string, width int) reg.VecVirtual {
	m, err := c.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := vecOf(c, width)
	c.VBROADCASTSD(m.Addr, v)
	return v
}

// rotateChain64 carries the lower row of each pair in registers: after its turn it is stored, and the upper row is the next pair's lower one.
func rotateChain64(c *build.Context, width int) {
	c.Function(fmt.Sprintf("rotateChain64x%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(z *float64, step int, cs *float64, n int)")
	c.Doc("rotateChain64 turns n pairs of rows of 32 columns, from the row at z on upwards, step bytes from row to row.")
	z := c.Load(c.Param("z"), c.GP64())
	step := c.Load(c.Param("step"), c.GP64())
	cs := c.Load(c.Param("cs"), c.GP64())
	n := c.Load(c.Param("n"), c.GP64())
	carry := make([]reg.VecVirtual, 256/width)
	for i := range carry {
		carry[i] = vecOf(c, width)
		c.VMOVUPD(operand.Mem{Base: z, Disp: i * width}, carry[i])
	}
	above := c.GP64()
	c.Label("pair")
	cos, sin := vecOf(c, width), vecOf(c, width)
	c.VBROADCASTSD(operand.Mem{Base: cs}, cos)
	c.VBROADCASTSD(operand.Mem{Base: cs, Disp: 8}, sin)
	c.LEAQ(operand.Mem{Base: z, Index: step, Scale: 1}, above)
	for i := range carry {
		a, b, t := vecOf(c, width), vecOf(c, width), vecOf(c, width)
		c.VMOVUPD(operand.Mem{Base: above, Disp: i * width}, a)
		c.VMULPD(cos, carry[i], b)
		c.VMULPD(sin, carry[i], t)
		c.VFMADD231PD(sin, a, b)
		c.VMOVUPD(b, operand.Mem{Base: z, Disp: i * width})
		c.VFMSUB213PD(t, cos, a) // a ← cos·a − t
		c.VMOVAPD(a, carry[i])
	}
	c.MOVQ(above, z)
	c.ADDQ(operand.Imm(16), cs)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("pair"))
	for i := range carry {
		c.VMOVUPD(carry[i], operand.Mem{Base: z, Disp: i * width})
	}
	c.VZEROUPPER()
	c.RET()
}

// dot64 keeps 32 partial sums at both levels.
func dot64(c *build.Context, width int) {
	c.Function(fmt.Sprintf("dot64x%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(x, y *float64, blocks int) float64")
	c.Doc("dot64 returns the sum of x[i]*y[i] over i < 32*blocks.")
	x := c.Load(c.Param("x"), c.GP64())
	y := c.Load(c.Param("y"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	acc := make([]reg.VecVirtual, 256/width)
	for i := range acc {
		acc[i] = vecOf(c, width)
		c.VXORPD(acc[i].AsY(), acc[i].AsY(), acc[i].AsY())
	}
	v := vecOf(c, width)
	c.Label("loop")
	for i := range acc {
		c.VMOVUPD(operand.Mem{Base: x, Disp: i * width}, v)
		c.VFMADD231PD(operand.Mem{Base: y, Disp: i * width}, v, acc[i])
	}
	c.ADDQ(operand.U32(256), x)
	c.ADDQ(operand.U32(256), y)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	for half := len(acc) / 2; half > 0; half /= 2 {
		for i := range half {
			c.VADDPD(acc[i+half], acc[i], acc[i])
		}
	}
	low := acc[0].AsY()
	if width == 64 {
		high := c.YMM()
		c.VEXTRACTF64X4(operand.Imm(1), acc[0], high)
		c.VADDPD(high, low, low)
	}
	h, s := c.XMM(), acc[0].AsX()
	c.VEXTRACTF128(operand.Imm(1), low, h)
	c.VADDPD(h, s, s)
	c.VPERMILPD(operand.U8(1), s, h)
	c.VADDSD(h, s, s)
	c.Store(s, c.ReturnIndex(0))
	c.VZEROUPPER()
	c.RET()
}

func rank2Sub64(c *build.Context, width int) {
	c.Function(fmt.Sprintf("rank2Sub64x%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(y *float64, fx float64, x *float64, gw float64, w *float64, blocks int)")
	c.Doc("rank2Sub64 subtracts fx*x[i], then gw*w[i], from y[i] for i < 32*blocks.")
	y := c.Load(c.Param("y"), c.GP64())
	x := c.Load(c.Param("x"), c.GP64())
	w := c.Load(c.Param("w"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	f, g := broadcast64(c, "fx", width), broadcast64(c, "gw", width)
	c.Label("loop")
	for i := range 256 / width {
		v := vecOf(c, width)
		c.VMOVUPD(operand.Mem{Base: y, Disp: i * width}, v)
		c.VFNMADD231PD(operand.Mem{Base: x, Disp: i * width}, f, v)
		c.VFNMADD231PD(operand.Mem{Base: w, Disp: i * width}, g, v)
		c.VMOVUPD(v, operand.Mem{Base: y, Disp: i * width})
	}
	for _, p := range []reg.Register{y, x, w} {
		c.ADDQ(operand.U32(256), p)
	}
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}
