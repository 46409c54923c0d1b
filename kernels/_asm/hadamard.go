package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// hadamard emits the stages of the fast Walsh–Hadamard transform and the flipping of signs.
func hadamard(c *build.Context) {
	for _, width := range []int{32, 64} {
		hadamardRuns(c, width)
		hadamardStages(c, width, 2)
		hadamardStages(c, width, 4)
		flipSigns(c, width)
	}
}

// broadcastParam loads a float32 parameter into every lane.
func broadcastParam(c *build.Context, name string, width int) reg.VecVirtual {
	m, err := c.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := vecOf(c, width)
	c.VBROADCASTSS(m.Addr, v)
	return v
}

// hadamardRuns emits stages 1, 2, 4 and 8 of runs of 16 numbers. Inside a vector, lane i becomes (partner + v) where bit h of i is
// clear and (partner - v) where it is set.
func hadamardRuns(c *build.Context, width int) {
	c.Function(fmt.Sprintf("hadamardRuns%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, runs int, scale float32)")
	c.Doc("hadamardRuns multiplies each run of 16 numbers by the Hadamard matrix of 16, and by scale.")
	x := c.Load(c.Param("x"), c.GP64())
	runs := c.Load(c.Param("runs"), c.GP64())
	scale := broadcastParam(c, "scale", width)
	var masks [4]reg.Register
	if width == 64 {
		for i, m := range []uint32{0xaaaa, 0xcccc, 0xf0f0, 0xff00} {
			g, k := c.GP32(), c.K()
			c.MOVL(operand.U32(m), g)
			c.KMOVW(g, k)
			masks[i] = k
		}
	}
	c.Label("run")
	if width == 64 {
		v := c.ZMM()
		c.VMOVUPS(operand.Mem{Base: x}, v)
		for i := range 4 {
			v = stage512(c, v, i, masks[i])
		}
		c.VMULPS(scale, v, v)
		c.VMOVUPS(v, operand.Mem{Base: x})
	} else {
		v := []reg.VecVirtual{c.YMM(), c.YMM()}
		for i := range v {
			c.VMOVUPS(operand.Mem{Base: x, Disp: 32 * i}, v[i])
			for s := range 3 {
				v[i] = stage256(c, v[i], s)
			}
		}
		butterfly(c, v, 1)
		for i := range v {
			c.VMULPS(scale, v[i], v[i])
			c.VMOVUPS(v[i], operand.Mem{Base: x, Disp: 32 * i})
		}
	}
	c.ADDQ(operand.Imm(64), x)
	c.DECQ(runs)
	c.JNZ(operand.LabelRef("run"))
	c.VZEROUPPER()
	c.RET()
}

// stage512 returns v after the stage of distance 1<<i.
func stage512(c *build.Context, v reg.VecVirtual, i int, mask reg.Register) reg.VecVirtual {
	partner, out := c.ZMM(), c.ZMM()
	switch i {
	case 0:
		c.VPERMILPS(operand.U8(0xb1), v, partner)
	case 1:
		c.VPERMILPS(operand.U8(0x4e), v, partner)
	case 2:
		c.VSHUFF32X4(operand.U8(0xb1), v, v, partner)
	case 3:
		c.VSHUFF32X4(operand.U8(0x4e), v, v, partner)
	}
	c.VADDPS(v, partner, out)
	c.VSUBPS(v, partner, mask, out)
	return out
}

// stage256 returns v after the stage of distance 1<<i.
func stage256(c *build.Context, v reg.VecVirtual, i int) reg.VecVirtual {
	partner, sum := c.YMM(), c.YMM()
	blend := []uint8{0xaa, 0xcc, 0xf0}[i]
	switch i {
	case 0:
		c.VPERMILPS(operand.U8(0xb1), v, partner)
	case 1:
		c.VPERMILPS(operand.U8(0x4e), v, partner)
	case 2:
		c.VPERM2F128(operand.U8(1), v, v, partner)
	}
	c.VADDPS(v, partner, sum)
	c.VSUBPS(v, partner, partner)
	c.VBLENDPS(operand.U8(blend), partner, sum, sum)
	return sum
}

// butterfly runs the stage of distance h among vectors.
func butterfly(c *build.Context, v []reg.VecVirtual, h int) {
	for i := range v {
		if i&h == 0 {
			sum := c.YMM()
			if v[i].Size() == 64 {
				sum = c.ZMM()
			}
			c.VADDPS(v[i+h], v[i], sum)
			c.VSUBPS(v[i+h], v[i], v[i+h])
			v[i] = sum
		}
	}
}

// hadamardStages emits log2(radix) stages, of distances h, 2h …, h = 16·span.
func hadamardStages(c *build.Context, width, radix int) {
	name := map[int]string{2: "Pairs", 4: "Quads"}[radix]
	c.Function(fmt.Sprintf("hadamard%s%d", name, width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, groups, span int, scale float32)")
	c.Doc(fmt.Sprintf("hadamard%s multiplies, in each group of %d·h numbers with h = 16·span, those h apart by the Hadamard matrix of %d, and by scale.", name, radix, radix))
	x := c.Load(c.Param("x"), c.GP64())
	groups := c.Load(c.Param("groups"), c.GP64())
	span := c.Load(c.Param("span"), c.GP64())
	scale := broadcastParam(c, "scale", width)
	stride := c.GP64()
	c.MOVQ(span, stride)
	c.SHLQ(operand.Imm(6), stride)
	at := make([]reg.GPVirtual, radix)
	for i := range at {
		at[i] = c.GP64()
	}
	c.Label("group")
	c.MOVQ(x, at[0])
	for i := 1; i < radix; i++ {
		c.LEAQ(operand.Mem{Base: at[i-1], Index: stride, Scale: 1}, at[i])
	}
	c.LEAQ(operand.Mem{Base: at[radix-1], Index: stride, Scale: 1}, x)
	left := c.GP64()
	c.MOVQ(span, left)
	c.Label("run")
	for d := 0; d < 64; d += width {
		v := make([]reg.VecVirtual, radix)
		for i := range v {
			v[i] = vecOf(c, width)
			c.VMOVUPS(operand.Mem{Base: at[i], Disp: d}, v[i])
		}
		for h := 1; h < radix; h *= 2 {
			butterfly(c, v, h)
		}
		for i := range v {
			c.VMULPS(scale, v[i], v[i])
			c.VMOVUPS(v[i], operand.Mem{Base: at[i], Disp: d})
		}
	}
	for _, a := range at {
		c.ADDQ(operand.Imm(64), a)
	}
	c.DECQ(left)
	c.JNZ(operand.LabelRef("run"))
	c.DECQ(groups)
	c.JNZ(operand.LabelRef("group"))
	c.VZEROUPPER()
	c.RET()
}

// flipSigns emits the negation of the numbers whose bit is set, 64 numbers and one word a turn.
func flipSigns(c *build.Context, width int) {
	c.Function(fmt.Sprintf("flipSigns%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, signs *uint64, runs int)")
	c.Doc("flipSigns negates x[i] where bit i of signs is set, for i < 64*runs.")
	x := c.Load(c.Param("x"), c.GP64())
	signs := c.Load(c.Param("signs"), c.GP64())
	runs := c.Load(c.Param("runs"), c.GP64())
	sign := word(c, width, 0x80000000)
	var shifts reg.VecVirtual
	if width == 32 {
		data := c.StaticGlobal("signShifts")
		c.DataAttributes(rodata)
		for i := range 8 { // moves bit i of a byte to the sign
			c.AppendDatum(operand.U32(31 - i))
		}
		shifts = c.YMM()
		c.VMOVDQU(data, shifts)
	}
	c.Label("run")
	for i := range 256 / width {
		v := vecOf(c, width)
		c.VMOVUPS(operand.Mem{Base: x, Disp: i * width}, v)
		if width == 64 {
			k := c.K()
			c.KMOVW(operand.Mem{Base: signs, Disp: 2 * i}, k)
			c.VPXORD(sign, v, k, v)
		} else {
			b := c.YMM()
			c.VPBROADCASTB(operand.Mem{Base: signs, Disp: i}, b)
			c.VPSLLVD(shifts, b, b)
			c.VPAND(sign, b, b)
			c.VXORPS(b, v, v)
		}
		c.VMOVUPS(v, operand.Mem{Base: x, Disp: i * width})
	}
	c.ADDQ(operand.U32(256), x)
	c.ADDQ(operand.Imm(8), signs)
	c.DECQ(runs)
	c.JNZ(operand.LabelRef("run"))
	c.VZEROUPPER()
	c.RET()
}
