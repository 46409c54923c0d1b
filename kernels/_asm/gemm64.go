package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemm64 emits float64 micro-kernels, as high as a vector has lanes and three vectors wide, of all smaller heights too, and what
// packs their panels.
func gemm64(c *build.Context) {
	for _, width := range []int{64, 32} {
		for rows := 1; rows <= width/8; rows++ {
			tile64(c, rows, width)
		}
		widen64(c, width)
	}
	transpose64(c)
}

// tile64 emits a micro-kernel: each element of the rows × (3 vectors) tile at c takes the products a[p*lanes+i]·b[p*3*lanes+j]
// in the order of p by fused multiply-adds. Row i+1 of the tile is ldc + i·grow elements after row i.
func tile64(c *build.Context, rows, width int) {
	const vectors = 3
	lanes := width / 8
	name := fmt.Sprintf("gemm64x%dx%d", width*8, rows)
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(k int, a, b, c *float64, ldc, grow int)")
	c.Doc(fmt.Sprintf("%s adds the products of k columns of packed panels of A (%d numbers a column, %d used) and B (%d) to the tile at c.", name, lanes, rows, vectors*lanes))
	k := c.Load(c.Param("k"), c.GP64())
	a := c.Load(c.Param("a"), c.GP64())
	b := c.Load(c.Param("b"), c.GP64())
	acc := make([][vectors]reg.VecVirtual, rows)
	// walk calls f for each vector of the tile.
	walk := func(f func(i, v int, m operand.Mem)) {
		at, ldc, grow := c.Load(c.Param("c"), c.GP64()), c.Load(c.Param("ldc"), c.GP64()), c.Load(c.Param("grow"), c.GP64())
		for i := range rows {
			for v := range vectors {
				f(i, v, operand.Mem{Base: at, Disp: v * width})
			}
			if i+1 < rows {
				c.LEAQ(operand.Mem{Base: at, Index: ldc, Scale: 8}, at)
				c.ADDQ(grow, ldc)
			}
		}
	}
	walk(func(i, v int, m operand.Mem) {
		acc[i][v] = vecOf(c, width)
		c.VMOVUPD(m, acc[i][v])
	})
	var bv [vectors]reg.VecVirtual
	for v := range bv {
		bv[v] = vecOf(c, width)
	}
	av := []reg.VecVirtual{vecOf(c, width)}
	if width == 64 {
		av = append(av, vecOf(c, width))
	}
	column := func(u int) {
		for v := range bv {
			c.VMOVUPD(operand.Mem{Base: b, Disp: (u*vectors + v) * width}, bv[v])
		}
		for i := range rows {
			x := av[i%len(av)]
			c.VBROADCASTSD(operand.Mem{Base: a, Disp: 8 * (u*lanes + i)}, x)
			for v := range bv {
				c.VFMADD231PD(bv[v], x, acc[i][v])
			}
		}
	}
	const unroll = 4
	c.SUBQ(operand.Imm(unroll), k)
	c.JL(operand.LabelRef("rest"))
	c.Label("loop")
	for u := range unroll {
		column(u)
	}
	c.ADDQ(operand.U32(unroll*width), a)
	c.ADDQ(operand.U32(unroll*vectors*width), b)
	c.SUBQ(operand.Imm(unroll), k)
	c.JGE(operand.LabelRef("loop"))
	c.Label("rest")
	c.ADDQ(operand.Imm(unroll), k)
	c.JZ(operand.LabelRef("store"))
	c.Label("single")
	column(0)
	c.ADDQ(operand.U32(width), a)
	c.ADDQ(operand.U32(vectors*width), b)
	c.DECQ(k)
	c.JNZ(operand.LabelRef("single"))
	c.Label("store")
	walk(func(i, v int, m operand.Mem) { c.VMOVUPD(acc[i][v], m) })
	c.VZEROUPPER()
	c.RET()
}

// widen64 emits the packing of float32: one vector of float64 a row.
func widen64(c *build.Context, width int) {
	c.Function(fmt.Sprintf("widen64x%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float64, dstStride int, src *float32, srcStride, rows int)")
	c.Doc(fmt.Sprintf("widen64x%d writes dst[r*dstStride+i] = src[r*srcStride+i] for i < %d and r < rows.", width*8, width/8))
	dst := c.Load(c.Param("dst"), c.GP64())
	ds := c.Load(c.Param("dstStride"), c.GP64())
	src := c.Load(c.Param("src"), c.GP64())
	ss := c.Load(c.Param("srcStride"), c.GP64())
	n := c.Load(c.Param("rows"), c.GP64())
	v := vecOf(c, width)
	c.Label("loop")
	c.VCVTPS2PD(operand.Mem{Base: src}, v)
	c.VMOVUPD(v, operand.Mem{Base: dst})
	c.LEAQ(operand.Mem{Base: src, Index: ss, Scale: 4}, src)
	c.LEAQ(operand.Mem{Base: dst, Index: ds, Scale: 8}, dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

// transpose64 emits dst[p*dstStride+i] = src[i*srcStride+p] with the bits of sign changed, for i < 4, p < 4*blocks.
func transpose64(c *build.Context) {
	c.Function("transpose64")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float64, dstStride int, src *float64, srcStride, blocks int, sign uint64)")
	c.Doc("transpose64 writes dst[p*dstStride+i] = src[i*srcStride+p] for i < 4 and p < 4*blocks, with the bits of sign changed.")
	dst := c.Load(c.Param("dst"), c.GP64())
	ds := c.Load(c.Param("dstStride"), c.GP64())
	src := c.Load(c.Param("src"), c.GP64())
	ss := c.Load(c.Param("srcStride"), c.GP64())
	n := c.Load(c.Param("blocks"), c.GP64())
	m, err := c.Param("sign").Resolve()
	if err != nil {
		panic(err)
	}
	sign := c.YMM()
	c.VBROADCASTSD(m.Addr, sign)
	c.SHLQ(operand.Imm(3), ds)
	c.SHLQ(operand.Imm(3), ss)
	ss3, ds3 := c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: ss, Index: ss, Scale: 2}, ss3)
	c.LEAQ(operand.Mem{Base: ds, Index: ds, Scale: 2}, ds3)
	at := func(base, third, stride reg.Register, i int) operand.Mem {
		switch i {
		case 0:
			return operand.Mem{Base: base}
		case 3:
			return operand.Mem{Base: base, Index: third, Scale: 1}
		}
		return operand.Mem{Base: base, Index: stride, Scale: uint8(i)}
	}
	c.Label("loop")
	var x, t [4]reg.VecVirtual
	for i := range x {
		x[i] = c.YMM()
		c.VXORPD(at(src, ss3, ss, i), sign, x[i])
	}
	for i := 0; i < 4; i += 2 {
		t[i], t[i+1] = c.YMM(), c.YMM()
		c.VUNPCKLPD(x[i+1], x[i], t[i])   // columns 0 and 2 of two rows
		c.VUNPCKHPD(x[i+1], x[i], t[i+1]) // columns 1 and 3
	}
	for i := range x {
		y := c.YMM()
		c.VPERM2F128(operand.Imm(uint64(0x20+0x11*(i/2))), t[2+i%2], t[i%2], y)
		c.VMOVUPD(y, at(dst, ds3, ds, i))
	}
	c.ADDQ(operand.Imm(32), src)
	c.LEAQ(operand.Mem{Base: dst, Index: ds, Scale: 4}, dst)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}
