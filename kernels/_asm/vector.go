package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vector emits dot and axpy. Both levels keep the same 64 partial sums, so they agree bit for bit.
func vector(c *build.Context) {
	for _, width := range []int{32, 64} {
		dot(c, width)
		axpy(c, width)
	}
	dots(c)
}

func vecOf(c *build.Context, width int) reg.VecVirtual {
	if width == 64 {
		return c.ZMM()
	}
	return c.YMM()
}

// dot emits Σ a[i]·b[i] for i < 16*blocks with 64 fused partial sums.
func dot(c *build.Context, width int) {
	c.Function(fmt.Sprintf("dot%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(a, b *float32, blocks int) float32")
	c.Doc("dot returns the sum of a[i]*b[i] over i < 16*blocks.")
	a := c.Load(c.Param("a"), c.GP64())
	b := c.Load(c.Param("b"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	acc := make([]reg.VecVirtual, 256/width)
	for i := range acc {
		acc[i] = vecOf(c, width)
		c.VXORPS(acc[i].AsY(), acc[i].AsY(), acc[i].AsY())
	}
	x := vecOf(c, width)
	step := func(i int) {
		c.VMOVUPS(operand.Mem{Base: a, Disp: i * width}, x)
		c.VFMADD231PS(operand.Mem{Base: b, Disp: i * width}, x, acc[i])
	}
	c.SUBQ(operand.Imm(4), n)
	c.JL(operand.LabelRef("rest"))
	c.Label("loop")
	for i := range acc {
		step(i)
	}
	c.ADDQ(operand.U32(256), a)
	c.ADDQ(operand.U32(256), b)
	c.SUBQ(operand.Imm(4), n)
	c.JGE(operand.LabelRef("loop"))
	c.Label("rest")
	c.ADDQ(operand.Imm(4), n)
	c.JZ(operand.LabelRef("sum"))
	c.Label("single")
	for i := range 64 / width {
		step(i)
	}
	c.ADDQ(operand.Imm(64), a)
	c.ADDQ(operand.Imm(64), b)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("single"))
	c.Label("sum")
	for half := len(acc) / 2; half > 0; half /= 2 {
		for i := range half {
			c.VADDPS(acc[i+half], acc[i], acc[i])
		}
		if half*width == 64 { // the same 16 sums are left at both levels
			break
		}
	}
	low, high := acc[0].AsY(), c.YMM()
	if width == 64 {
		c.VEXTRACTF64X4(operand.Imm(1), acc[0], high)
		c.VADDPS(high, low, low)
	} else {
		c.VADDPS(acc[1], low, low)
	}
	h := c.XMM()
	s := acc[0].AsX()
	c.VEXTRACTF128(operand.Imm(1), low, h)
	c.VADDPS(h, s, s)
	c.VMOVHLPS(s, s, h)
	c.VADDPS(h, s, s)
	c.VMOVSHDUP(s, h)
	c.VADDSS(h, s, s)
	c.Store(s, c.ReturnIndex(0))
	c.VZEROUPPER()
	c.RET()
}

// dots emits four of dot's sums of one b, which is read once, in the same order: 16 registers of partial sums.
func dots(c *build.Context) {
	const tokens, width = 4, 64
	c.Function("dots512")
	c.Pragma("noescape")
	c.SignatureExpr("func(out *[4]float32, a *float32, stride int, b *float32, blocks int)")
	c.Doc("dots512 sets out[t] to the sum of a[t*stride/4+i]*b[i] over i < 16*blocks, as dot512 adds; stride is in bytes.")
	out := c.Load(c.Param("out"), c.GP64())
	first := c.Load(c.Param("a"), c.GP64())
	stride := c.Load(c.Param("stride"), c.GP64())
	b := c.Load(c.Param("b"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	rows := [tokens]reg.Register{first, c.GP64(), c.GP64(), c.GP64()}
	var acc [tokens][4]reg.VecVirtual
	for t := range rows {
		if t > 0 {
			c.LEAQ(operand.Mem{Base: rows[t-1], Index: stride, Scale: 1}, rows[t])
		}
		for i := range acc[t] {
			acc[t][i] = c.ZMM()
			c.VXORPS(acc[t][i].AsY(), acc[t][i].AsY(), acc[t][i].AsY())
		}
	}
	step := func(i int) {
		v := c.ZMM()
		c.VMOVUPS(operand.Mem{Base: b, Disp: i * width}, v)
		for t := range rows {
			c.VFMADD231PS(operand.Mem{Base: rows[t], Disp: i * width}, v, acc[t][i])
		}
	}
	advance := func(bytes uint32) {
		c.ADDQ(operand.U32(bytes), b)
		for t := range rows {
			c.ADDQ(operand.U32(bytes), rows[t])
		}
	}
	c.SUBQ(operand.Imm(4), n)
	c.JL(operand.LabelRef("rest"))
	c.Label("loop")
	for i := range 4 {
		step(i)
	}
	advance(4 * width)
	c.SUBQ(operand.Imm(4), n)
	c.JGE(operand.LabelRef("loop"))
	c.Label("rest")
	c.ADDQ(operand.Imm(4), n)
	c.JZ(operand.LabelRef("sum"))
	c.Label("single")
	step(0)
	advance(width)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("single"))
	c.Label("sum")
	for t := range acc {
		sums := acc[t]
		c.VADDPS(sums[2], sums[0], sums[0])
		c.VADDPS(sums[3], sums[1], sums[1])
		c.VADDPS(sums[1], sums[0], sums[0])
		c.VMOVSS(halve(c, sums[0]), operand.Mem{Base: out, Disp: 4 * t})
	}
	c.VZEROUPPER()
	c.RET()
}

// halve adds the upper half of 16 sums to the lower until one is left.
func halve(c *build.Context, v reg.VecVirtual) reg.Register {
	low, high, h, s := v.AsY(), c.YMM(), c.XMM(), v.AsX()
	c.VEXTRACTF64X4(operand.Imm(1), v, high)
	c.VADDPS(high, low, low)
	c.VEXTRACTF128(operand.Imm(1), low, h)
	c.VADDPS(h, s, s)
	c.VMOVHLPS(s, s, h)
	c.VADDPS(h, s, s)
	c.VMOVSHDUP(s, h)
	c.VADDSS(h, s, s)
	return s
}

// axpy emits y[i] += alpha·x[i] for i < 16*blocks, product and sum rounded separately as the definition does.
func axpy(c *build.Context, width int) {
	c.Function(fmt.Sprintf("axpy%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(y *float32, alpha float32, x *float32, blocks int)")
	c.Doc("axpy adds alpha*x[i] to y[i] for i < 16*blocks, rounding the product and the sum.")
	y := c.Load(c.Param("y"), c.GP64())
	x := c.Load(c.Param("x"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	alpha := vecOf(c, width)
	m, err := c.Param("alpha").Resolve()
	if err != nil {
		panic(err)
	}
	c.VBROADCASTSS(m.Addr, alpha)
	step := func(i int) {
		v := vecOf(c, width)
		c.VMULPS(operand.Mem{Base: x, Disp: i * width}, alpha, v)
		c.VADDPS(operand.Mem{Base: y, Disp: i * width}, v, v)
		c.VMOVUPS(v, operand.Mem{Base: y, Disp: i * width})
	}
	c.SUBQ(operand.Imm(4), n)
	c.JL(operand.LabelRef("rest"))
	c.Label("loop")
	for i := range 256 / width {
		step(i)
	}
	c.ADDQ(operand.U32(256), x)
	c.ADDQ(operand.U32(256), y)
	c.SUBQ(operand.Imm(4), n)
	c.JGE(operand.LabelRef("loop"))
	c.Label("rest")
	c.ADDQ(operand.Imm(4), n)
	c.JZ(operand.LabelRef("done"))
	c.Label("single")
	for i := range 64 / width {
		step(i)
	}
	c.ADDQ(operand.Imm(64), x)
	c.ADDQ(operand.Imm(64), y)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("single"))
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}
