package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exponential emits the loops of exp.go, 16 elements a step. Products and sums are rounded separately, as the definitions do, so
// that every level gives the same bytes. Constants come from a table of 16 copies each, in the order of expTable.
func exponential(c *build.Context) {
	for _, width := range []int{32, 64} {
		maximum(c, width)
		expSum(c, width)
		siluMul(c, width)
	}
}

// expConstants holds what the exponential needs in registers; table is the base of the rest.
type expConstants struct {
	table  reg.Register
	lo, hi reg.VecVirtual
}

func loadExpConstants(c *build.Context, width int) expConstants {
	k := expConstants{table: c.Load(c.Param("table"), c.GP64()), lo: vecOf(c, width), hi: vecOf(c, width)}
	c.VMOVUPS(k.at(0), k.lo)
	c.VMOVUPS(k.at(1), k.hi)
	return k
}

func (k expConstants) at(i int) operand.Mem { return operand.Mem{Base: k.table, Disp: 64 * i} }

// exp emits e^t and returns the register that holds it; t is clamped in place.
func (k expConstants) exp(c *build.Context, width int, t reg.VecVirtual) reg.VecVirtual {
	n, m, p := vecOf(c, width), vecOf(c, width), vecOf(c, width)
	c.VMAXPS(t, k.lo, t)
	c.VMINPS(t, k.hi, t)
	c.VMULPS(k.at(2), t, n)
	c.VADDPS(k.at(3), n, n)
	c.VSUBPS(k.at(3), n, m)
	c.VMULPS(k.at(4), m, p)
	c.VSUBPS(p, t, t)
	c.VMULPS(k.at(5), m, p)
	c.VADDPS(p, t, t) // r
	c.VMOVUPS(k.at(6), p)
	for i := 7; i <= 11; i++ {
		c.VMULPS(t, p, p)
		c.VADDPS(k.at(i), p, p)
	}
	c.VMULPS(t, p, p)
	c.VMULPS(t, p, p)
	c.VADDPS(t, p, p)
	c.VADDPS(k.at(12), p, p)
	c.VPSLLD(operand.Imm(23), n, n)
	c.VPADDD(n, p, p)
	return p
}

// maximum emits the 16 partial maxima of max.
func maximum(c *build.Context, width int) {
	c.Function(fmt.Sprintf("max%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, tops *float32, blocks int)")
	c.Doc("raises tops[i%16] to x[i] for i < 16*blocks.")
	x := c.Load(c.Param("x"), c.GP64())
	tops := c.Load(c.Param("tops"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	top := make([]reg.VecVirtual, 64/width)
	for i := range top {
		top[i] = vecOf(c, width)
		c.VMOVUPS(operand.Mem{Base: tops, Disp: i * width}, top[i])
	}
	c.Label("loop")
	for i := range top {
		c.VMAXPS(operand.Mem{Base: x, Disp: i * width}, top[i], top[i])
	}
	c.ADDQ(operand.Imm(64), x)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	for i := range top {
		c.VMOVUPS(top[i], operand.Mem{Base: tops, Disp: i * width})
	}
	c.VZEROUPPER()
	c.RET()
}

// expSum emits x = e^(x−shift) and its 16 partial sums.
func expSum(c *build.Context, width int) {
	c.Function(fmt.Sprintf("expSum%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, shift float32, sums, table *float32, blocks int)")
	c.Doc("replaces x[i] by e^(x[i]-shift) and adds it to sums[i%16] for i < 16*blocks.")
	x := c.Load(c.Param("x"), c.GP64())
	sums := c.Load(c.Param("sums"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	k := loadExpConstants(c, width)
	shift := vecOf(c, width)
	m, err := c.Param("shift").Resolve()
	if err != nil {
		panic(err)
	}
	c.VBROADCASTSS(m.Addr, shift)
	sum := make([]reg.VecVirtual, 64/width)
	for i := range sum {
		sum[i] = vecOf(c, width)
		c.VMOVUPS(operand.Mem{Base: sums, Disp: i * width}, sum[i])
	}
	c.Label("loop")
	for i := range sum {
		t := vecOf(c, width)
		c.VMOVUPS(operand.Mem{Base: x, Disp: i * width}, t)
		c.VSUBPS(shift, t, t)
		p := k.exp(c, width, t)
		c.VADDPS(p, sum[i], sum[i])
		c.VMOVUPS(p, operand.Mem{Base: x, Disp: i * width})
	}
	c.ADDQ(operand.Imm(64), x)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	for i := range sum {
		c.VMOVUPS(sum[i], operand.Mem{Base: sums, Disp: i * width})
	}
	c.VZEROUPPER()
	c.RET()
}

// siluMul emits gate = gate/(1 + e^−gate)·up.
func siluMul(c *build.Context, width int) {
	c.Function(fmt.Sprintf("siluMul%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(gate, up, table *float32, blocks int)")
	c.Doc("replaces gate[i] by gate[i]/(1+e^-gate[i])*up[i] for i < 16*blocks.")
	g := c.Load(c.Param("gate"), c.GP64())
	up := c.Load(c.Param("up"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	k := loadExpConstants(c, width)
	zero := vecOf(c, width)
	c.VXORPS(zero.AsY(), zero.AsY(), zero.AsY())
	c.Label("loop")
	for i := range 64 / width {
		t := vecOf(c, width)
		c.VSUBPS(operand.Mem{Base: g, Disp: i * width}, zero, t)
		p := k.exp(c, width, t)
		c.VADDPS(k.at(12), p, p)
		v := vecOf(c, width)
		c.VMOVUPS(operand.Mem{Base: g, Disp: i * width}, v)
		c.VDIVPS(p, v, v)
		c.VMULPS(operand.Mem{Base: up, Disp: i * width}, v, v)
		c.VMOVUPS(v, operand.Mem{Base: g, Disp: i * width})
	}
	c.ADDQ(operand.Imm(64), g)
	c.ADDQ(operand.Imm(64), up)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}
