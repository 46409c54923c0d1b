package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemm emits the micro-kernels of all heights and the packing transposes.
func gemm(c *build.Context) {
	for mr := 1; mr <= 12; mr++ {
		gemmTile(c, fmt.Sprintf("gemm512x%d", mr), mr, 12, 64)
	}
	for mr := 1; mr <= 6; mr++ {
		gemmTile(c, fmt.Sprintf("gemm256x%d", mr), mr, 6, 32)
	}
	transpose8(c)
	transpose4(c)
}

// gemmTile emits a micro-kernel: the mr × (2 vectors) tile c += Σ over p of a[p*panel+i]·b[p*ldb+j], each element summed from
// zero in the order of p by fused multiply-adds and added to c once.
func gemmTile(c *build.Context, name string, mr, panel, width int) {
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(k int, a, b *float32, ldb int, c *float32, ldc int)")
	c.Doc(fmt.Sprintf("%s adds the product of k columns of a packed panel of A (%d floats a column, %d used) and of B (%d floats of each row of ldb) to the tile at c.", name, panel, mr, 2*width/4))
	vec := func() reg.VecVirtual {
		if width == 64 {
			return c.ZMM()
		}
		return c.YMM()
	}
	k := c.Load(c.Param("k"), c.GP64())
	a := c.Load(c.Param("a"), c.GP64())
	b := c.Load(c.Param("b"), c.GP64())
	ldb := c.Load(c.Param("ldb"), c.GP64())
	dst := c.Load(c.Param("c"), c.GP64())
	ldc := c.Load(c.Param("ldc"), c.GP64())
	acc := make([][2]reg.VecVirtual, mr)
	for i := range acc {
		acc[i] = [2]reg.VecVirtual{vec(), vec()}
		c.VXORPS(acc[i][0].AsY(), acc[i][0].AsY(), acc[i][0].AsY())
		c.VXORPS(acc[i][1].AsY(), acc[i][1].AsY(), acc[i][1].AsY())
	}
	b0, b1 := vec(), vec()
	av := []reg.VecVirtual{vec(), vec()}
	column := func(u int) {
		c.VMOVUPS(operand.Mem{Base: b}, b0)
		c.VMOVUPS(operand.Mem{Base: b, Disp: width}, b1)
		c.ADDQ(ldb, b)
		for i := range mr {
			x := av[i%2]
			c.VBROADCASTSS(operand.Mem{Base: a, Disp: 4 * (u*panel + i)}, x)
			c.VFMADD231PS(b0, x, acc[i][0])
			c.VFMADD231PS(b1, x, acc[i][1])
		}
	}
	const unroll = 4
	c.SHLQ(operand.Imm(2), ldb)
	c.SUBQ(operand.Imm(unroll), k)
	c.JL(operand.LabelRef("rest"))
	c.Label("loop")
	for u := range unroll {
		column(u)
	}
	c.ADDQ(operand.U32(unroll*panel*4), a)
	c.SUBQ(operand.Imm(unroll), k)
	c.JGE(operand.LabelRef("loop"))
	c.Label("rest")
	c.ADDQ(operand.Imm(unroll), k)
	c.JZ(operand.LabelRef("store"))
	c.Label("single")
	column(0)
	c.ADDQ(operand.U32(panel*4), a)
	c.DECQ(k)
	c.JNZ(operand.LabelRef("single"))
	c.Label("store")
	c.SHLQ(operand.Imm(2), ldc)
	for i := range mr {
		for h := range 2 {
			m := operand.Mem{Base: dst, Disp: h * width}
			c.VADDPS(m, acc[i][h], acc[i][h])
			c.VMOVUPS(acc[i][h], m)
		}
		if i+1 < mr {
			c.ADDQ(ldc, dst)
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// transpose8 emits dst[p*dstStride+i] = src[i*srcStride+p] for i < 8, p < 8*blocks.
func transpose8(c *build.Context) {
	c.Function("transpose8")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, dstStride int, src *float32, srcStride, blocks int)")
	c.Doc("transpose8 writes dst[p*dstStride+i] = src[i*srcStride+p] for i < 8 and p < 8*blocks.")
	dst := c.Load(c.Param("dst"), c.GP64())
	ds := c.Load(c.Param("dstStride"), c.GP64())
	src := c.Load(c.Param("src"), c.GP64())
	ss := c.Load(c.Param("srcStride"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	c.SHLQ(operand.Imm(2), ds)
	c.SHLQ(operand.Imm(2), ss)
	// Rows 0…7 are reached from two bases with offsets 0, 1, 2 strides and a third and sixth from src3 = src + 3 strides.
	src3, src6, dst3, dst6 := c.GP64(), c.GP64(), c.GP64(), c.GP64()
	third := func(base, stride, out reg.Register) {
		c.LEAQ(operand.Mem{Base: base, Index: stride, Scale: 2}, out)
		c.ADDQ(stride, out)
	}
	third(src, ss, src3)
	third(src3, ss, src6)
	third(dst, ds, dst3)
	third(dst3, ds, dst6)
	at := func(base [3]reg.Register, stride reg.Register, i int) operand.Mem {
		m := operand.Mem{Base: base[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = stride, uint8(i%3)
		}
		return m
	}
	c.Label("loop")
	var x, t, u [8]reg.VecVirtual
	for i := range 8 {
		x[i] = c.YMM()
		c.VMOVUPS(at([3]reg.Register{src, src3, src6}, ss, i), x[i])
	}
	for i := 0; i < 8; i += 2 {
		t[i], t[i+1] = c.YMM(), c.YMM()
		c.VUNPCKLPS(x[i+1], x[i], t[i])
		c.VUNPCKHPS(x[i+1], x[i], t[i+1])
	}
	for i := 0; i < 8; i += 4 {
		for j := range 2 {
			u[i+2*j], u[i+2*j+1] = c.YMM(), c.YMM()
			c.VUNPCKLPD(t[i+2+j], t[i+j], u[i+2*j])
			c.VUNPCKHPD(t[i+2+j], t[i+j], u[i+2*j+1])
		}
	}
	for i := range 8 {
		y := c.YMM()
		c.VPERM2F128(operand.Imm(uint64(0x20+0x11*(i/4))), u[4+i%4], u[i%4], y)
		c.VMOVUPS(y, at([3]reg.Register{dst, dst3, dst6}, ds, i))
	}
	for _, r := range []reg.Register{src, src3, src6} {
		c.ADDQ(operand.Imm(32), r)
	}
	for _, r := range []reg.Register{dst, dst3, dst6} {
		c.LEAQ(operand.Mem{Base: r, Index: ds, Scale: 8}, r)
	}
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

// transpose4 emits dst[p*dstStride+i] = src[i*srcStride+p] for i < 4, p < 4*blocks.
func transpose4(c *build.Context) {
	c.Function("transpose4")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, dstStride int, src *float32, srcStride, blocks int)")
	c.Doc("transpose4 writes dst[p*dstStride+i] = src[i*srcStride+p] for i < 4 and p < 4*blocks.")
	dst := c.Load(c.Param("dst"), c.GP64())
	ds := c.Load(c.Param("dstStride"), c.GP64())
	src := c.Load(c.Param("src"), c.GP64())
	ss := c.Load(c.Param("srcStride"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	c.SHLQ(operand.Imm(2), ds)
	c.SHLQ(operand.Imm(2), ss)
	at := func(base, third, stride reg.Register, i int) operand.Mem {
		if i == 3 {
			return operand.Mem{Base: base, Index: third, Scale: 1}
		}
		m := operand.Mem{Base: base}
		if i > 0 {
			m.Index, m.Scale = stride, uint8(i)
		}
		return m
	}
	ss3, ds3 := c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: ss, Index: ss, Scale: 2}, ss3)
	c.LEAQ(operand.Mem{Base: ds, Index: ds, Scale: 2}, ds3)
	c.Label("loop")
	var x, t [4]reg.VecVirtual
	for i := range 4 {
		x[i] = c.XMM()
		c.VMOVUPS(at(src, ss3, ss, i), x[i])
	}
	for i := 0; i < 4; i += 2 {
		t[i], t[i+1] = c.XMM(), c.XMM()
		c.VUNPCKLPS(x[i+1], x[i], t[i])
		c.VUNPCKHPS(x[i+1], x[i], t[i+1])
	}
	for i := range 4 {
		y := c.XMM()
		if i%2 == 0 {
			c.VUNPCKLPD(t[2+i/2], t[i/2], y)
		} else {
			c.VUNPCKHPD(t[2+i/2], t[i/2], y)
		}
		c.VMOVUPS(y, at(dst, ds3, ds, i))
	}
	c.ADDQ(operand.Imm(16), src)
	c.LEAQ(operand.Mem{Base: dst, Index: ds, Scale: 4}, dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.RET()
}
