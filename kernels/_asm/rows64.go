package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rows64 emits products of four rows of float64 with vectors on either side, in one reading of the rows.
func rows64(c *build.Context) {
	for _, width := range []int{32, 64} {
		rowsTimes64(c, width, true, false)
		rowsTimes64(c, width, false, true)
		rowsTimes64(c, width, true, true)
	}
}

// rowsTimes64 takes 8 columns at a time. dots: the sums of row times v, in 8 partial sums each; adds: p += f·rows, in their order.
func rowsTimes64(c *build.Context, width int, dots, adds bool) {
	const rows = 4
	name, params, what := "", "a *float64, ld int", ""
	switch {
	case dots && adds:
		name, params, what = "dotsAddRows64", "out *[4]float64, v, p *float64, f *[4]float64, "+params, "both"
	case dots:
		name, params, what = "dotRows64", "out *[4]float64, v *float64, "+params, "out[r] = the sum of a[r*ld+j]*v[j]"
	default:
		name, params, what = "addRows64", "p *float64, f *[4]float64, "+params, "p[j] += f[r]*a[r*ld+j] for each r"
	}
	if what == "both" {
		what = "out[r] = the sum of a[r*ld+j]*v[j] and p[j] += f[r]*a[r*ld+j] for each r"
	}
	c.Function(fmt.Sprintf("%sx%d", name, width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(" + params + ", blocks int)")
	c.Doc(fmt.Sprintf("%s computes %s, of four rows and 8*blocks columns.", name, what))
	var v, p reg.Register
	if dots {
		v = c.Load(c.Param("v"), c.GP64())
	}
	f := make([]reg.VecVirtual, rows)
	if adds {
		p = c.Load(c.Param("p"), c.GP64())
		from := c.Load(c.Param("f"), c.GP64())
		for r := range f {
			f[r] = vecOf(c, width)
			c.VBROADCASTSD(operand.Mem{Base: from, Disp: 8 * r}, f[r])
		}
	}
	var a [rows]reg.Register
	a[0] = c.Load(c.Param("a"), c.GP64())
	ld := c.Load(c.Param("ld"), c.GP64())
	for r := 1; r < rows; r++ {
		g := c.GP64()
		c.LEAQ(operand.Mem{Base: a[r-1], Index: ld, Scale: 8}, g)
		a[r] = g
	}
	n := c.Load(c.Param("blocks"), c.GP64())
	at := c.GP64()
	c.XORQ(at, at)
	vectors := 64 / width
	sums := make([]reg.VecVirtual, rows*vectors)
	if dots {
		for i := range sums {
			sums[i] = vecOf(c, width)
			c.VXORPD(sums[i].AsY(), sums[i].AsY(), sums[i].AsY())
		}
	}
	x, vv, pv := vecOf(c, width), vecOf(c, width), vecOf(c, width)
	mem := func(base reg.Register, i int) operand.Mem {
		return operand.Mem{Base: base, Index: at, Scale: 1, Disp: i * width}
	}
	c.Label("loop")
	for i := range vectors {
		if dots {
			c.VMOVUPD(mem(v, i), vv)
		}
		if adds {
			c.VMOVUPD(mem(p, i), pv)
		}
		for r := range rows {
			c.VMOVUPD(mem(a[r], i), x)
			if dots {
				c.VFMADD231PD(x, vv, sums[r*vectors+i])
			}
			if adds {
				c.VFMADD231PD(x, f[r], pv)
			}
		}
		if adds {
			c.VMOVUPD(pv, mem(p, i))
		}
	}
	c.ADDQ(operand.Imm(64), at)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	if dots {
		out := c.Load(c.Param("out"), c.GP64())
		for r := range rows {
			sumOf8(c, sums[r*vectors:(r+1)*vectors], operand.Mem{Base: out, Disp: 8 * r})
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// sumOf8 stores the sum of 8 partial sums, halves added to halves.
func sumOf8(c *build.Context, sums []reg.VecVirtual, to operand.Mem) {
	low := sums[0].AsY()
	if len(sums) == 2 {
		c.VADDPD(sums[1], sums[0], low)
	} else {
		high := c.YMM()
		c.VEXTRACTF64X4(operand.Imm(1), sums[0], high)
		c.VADDPD(high, low, low)
	}
	h, s := c.XMM(), sums[0].AsX()
	c.VEXTRACTF128(operand.Imm(1), low, h)
	c.VADDPD(h, s, s)
	c.VPERMILPD(operand.U8(1), s, h)
	c.VADDSD(h, s, s)
	c.VMOVSD(s, to)
}
