package main

import (
	"go/types"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// encode emits what rounds float32 to codes and back. It is bound by memory with AVX2 already, so there is no wider version.
func encode(c *build.Context) {
	extremeBits(c)
	minMax(c)
	roundCodes(c, false)
	roundCodes(c, true)
	scaleCodes(c, "scaleCodesx256", c.VPMOVZXBD)
	scaleCodes(c, "scaleInt8x256", c.VPMOVSXBD)
	scaleNibbles(c)
}

// broadcast returns a vector with the 32-bit argument called name in each lane.
func broadcast(c *build.Context, name string) reg.VecVirtual {
	p, err := c.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := c.YMM()
	if p.Type == types.Typ[types.Float32] {
		c.VBROADCASTSS(p.Addr, v)
		return v
	}
	g := c.GP32()
	c.MOVL(p.Addr, g)
	c.VMOVD(g, v.AsX())
	c.VPBROADCASTD(v.AsX(), v)
	return v
}

// fold reduces a vector to its lowest lane with op.
func fold(c *build.Context, v reg.VecVirtual, op func(a, b, dst operand.Op)) reg.VecVirtual {
	h, s := c.XMM(), v.AsX().(reg.VecVirtual)
	c.VEXTRACTI128(operand.Imm(1), v, h)
	op(h, s, s)
	c.VPSHUFD(operand.Imm(0x4e), s, h)
	op(h, s, s)
	c.VPSHUFD(operand.Imm(0xb1), s, h)
	op(h, s, s)
	return s
}

func extremeBits(c *build.Context) {
	c.Function("extremeBitsx256")
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, blocks int) (positive int32, negative uint32)")
	c.Doc("returns the largest bit pattern of 32*blocks floats, signed (at least 0) and unsigned.")
	x := c.Load(c.Param("x"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	var p, q [2]reg.VecVirtual
	for i := range p {
		p[i], q[i] = c.YMM(), c.YMM()
		c.VPXOR(p[i], p[i], p[i])
		c.VPXOR(q[i], q[i], q[i])
	}
	c.Label("loop")
	for i := range 4 {
		v := c.YMM()
		c.VMOVDQU(operand.Mem{Base: x, Disp: 32 * i}, v)
		c.VPMAXSD(v, p[i%2], p[i%2])
		c.VPMAXUD(v, q[i%2], q[i%2])
	}
	c.ADDQ(operand.U32(128), x)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VPMAXSD(p[1], p[0], p[0])
	c.VPMAXUD(q[1], q[0], q[0])
	signed := fold(c, p[0], func(a, b, d operand.Op) { c.VPMAXSD(a, b, d) })
	unsigned := fold(c, q[0], func(a, b, d operand.Op) { c.VPMAXUD(a, b, d) })
	a, b := c.GP32(), c.GP32()
	c.VMOVD(signed, a)
	c.VMOVD(unsigned, b)
	c.Store(a, c.ReturnIndex(0))
	c.Store(b, c.ReturnIndex(1))
	c.VZEROUPPER()
	c.RET()
}

func minMax(c *build.Context) {
	c.Function("minMaxx256")
	c.Pragma("noescape")
	c.SignatureExpr("func(x *float32, blocks int) (lo, hi float32)")
	c.Doc("returns the smallest and the largest of 32*blocks floats.")
	x := c.Load(c.Param("x"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	var lo, hi [2]reg.VecVirtual
	for i := range lo {
		lo[i], hi[i] = c.YMM(), c.YMM()
		c.VMOVUPS(operand.Mem{Base: x}, lo[i])
		c.VMOVUPS(operand.Mem{Base: x}, hi[i])
	}
	c.Label("loop")
	for i := range 4 {
		v := c.YMM()
		c.VMOVUPS(operand.Mem{Base: x, Disp: 32 * i}, v)
		c.VMINPS(v, lo[i%2], lo[i%2])
		c.VMAXPS(v, hi[i%2], hi[i%2])
	}
	c.ADDQ(operand.U32(128), x)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VMINPS(lo[1], lo[0], lo[0])
	c.VMAXPS(hi[1], hi[0], hi[0])
	c.Store(fold(c, lo[0], func(a, b, d operand.Op) { c.VMINPS(a, b, d) }), c.ReturnIndex(0))
	c.Store(fold(c, hi[0], func(a, b, d operand.Op) { c.VMAXPS(a, b, d) }), c.ReturnIndex(1))
	c.VZEROUPPER()
	c.RET()
}

// roundCodes emits kernels.Rounding on blocks of 32, packed to bytes or nibbles.
func roundCodes(c *build.Context, nibbles bool) {
	name := "roundCodesx256"
	if nibbles {
		name = "roundNibblesx256"
	}
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *byte, x *float32, inverse float32, low, high, base int32, blocks int)")
	c.Doc("rounds 32*blocks floats to codes and packs them.")
	dst := c.Load(c.Param("dst"), c.GP64())
	x := c.Load(c.Param("x"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	inverse, low, high, base := broadcast(c, "inverse"), broadcast(c, "low"), broadcast(c, "high"), broadcast(c, "base")
	magic, mask := word(c, 32, 0x4b400000), word(c, 32, 0xff)
	order := c.YMM()
	c.VMOVDQU(laneOrder(c), order)
	c.Label("loop")
	var v [4]reg.VecVirtual
	for i := range v {
		v[i] = c.YMM()
		c.VMULPS(operand.Mem{Base: x, Disp: 32 * i}, inverse, v[i])
		c.VADDPS(magic, v[i], v[i])
		c.VPMAXSD(low, v[i], v[i])
		c.VPMINSD(high, v[i], v[i])
		c.VPSUBD(base, v[i], v[i])
		if !nibbles {
			c.VPAND(mask, v[i], v[i])
		}
	}
	if nibbles {
		for i := range 2 {
			c.VPSLLD(operand.Imm(4), v[i+2], v[i+2])
			c.VPOR(v[i+2], v[i], v[i])
		}
	}
	c.VPACKUSDW(v[1], v[0], v[0])
	if nibbles {
		c.VPACKUSWB(v[0], v[0], v[0])
		c.VPERMD(v[0], order, v[0])
		c.VMOVDQU(v[0].AsX(), operand.Mem{Base: dst})
		c.ADDQ(operand.Imm(16), dst)
	} else {
		c.VPACKUSDW(v[3], v[2], v[2])
		c.VPACKUSWB(v[2], v[0], v[0])
		c.VPERMD(v[0], order, v[0])
		c.VMOVDQU(v[0], operand.Mem{Base: dst})
		c.ADDQ(operand.Imm(32), dst)
	}
	c.ADDQ(operand.U32(128), x)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

var laneOrders = map[*build.Context]operand.Mem{}

// laneOrder returns the read-only order of double words that undoes packing within 128-bit lanes.
func laneOrder(c *build.Context) operand.Mem {
	if m, ok := laneOrders[c]; ok {
		return m
	}
	m := c.StaticGlobal("laneOrder")
	c.DataAttributes(rodata)
	for _, p := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		c.AppendDatum(operand.U32(p))
	}
	laneOrders[c] = m
	return m
}

// scaleCodes emits the decoding of bytes, widened by widen.
func scaleCodes(c *build.Context, name string, widen func(ops ...operand.Op)) {
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, codes *byte, scale float32, offset int32, add float32, blocks int)")
	c.Doc("sets dst[i] = scale*(codes[i]+offset) + add for i < 16*blocks.")
	dst := c.Load(c.Param("dst"), c.GP64())
	codes := c.Load(c.Param("codes"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	scale, offset, add := broadcast(c, "scale"), broadcast(c, "offset"), broadcast(c, "add")
	c.Label("loop")
	for i := range 2 {
		v := c.YMM()
		widen(operand.Mem{Base: codes, Disp: 8 * i}, v)
		c.VPADDD(offset, v, v)
		c.VCVTDQ2PS(v, v)
		c.VMULPS(scale, v, v)
		c.VADDPS(add, v, v)
		c.VMOVUPS(v, operand.Mem{Base: dst, Disp: 32 * i})
	}
	c.ADDQ(operand.Imm(16), codes)
	c.ADDQ(operand.Imm(64), dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

func scaleNibbles(c *build.Context) {
	c.Function("scaleNibblesx256")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, packed *byte, scale float32, offset int32, add float32, blocks int)")
	c.Doc("sets dst to scale*(code+offset) + add of blocks of 32 codes in 16 bytes.")
	dst := c.Load(c.Param("dst"), c.GP64())
	packed := c.Load(c.Param("packed"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	scale, offset, add, nibble := broadcast(c, "scale"), broadcast(c, "offset"), broadcast(c, "add"), word(c, 32, 15)
	c.Label("loop")
	for i := range 2 {
		low, high := c.YMM(), c.YMM()
		c.VPMOVZXBD(operand.Mem{Base: packed, Disp: 8 * i}, low)
		c.VPSRLD(operand.Imm(4), low, high)
		c.VPAND(nibble, low, low)
		for h, v := range []reg.VecVirtual{low, high} {
			c.VPADDD(offset, v, v)
			c.VCVTDQ2PS(v, v)
			c.VMULPS(scale, v, v)
			c.VADDPS(add, v, v)
			c.VMOVUPS(v, operand.Mem{Base: dst, Disp: 64*h + 32*i})
		}
	}
	c.ADDQ(operand.Imm(16), packed)
	c.ADDQ(operand.U32(128), dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}
