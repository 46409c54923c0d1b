package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sign emits the kernels of matrices of signs. All keep the same 64 partial sums.
func sign(c *build.Context) {
	signSums512(c, 4)
	signSums512(c, 1)
	signSumsFour512(c)
	signSums256(c)
	for _, width := range []int{32, 64} {
		addSigned(c, width)
		multiply(c, width)
	}
}

// signSums512 emits the sums of some rows at a time: a masked addition for each 16 columns.
func signSums512(c *build.Context, together int) {
	c.Function(fmt.Sprintf("signSums%dx512", together))
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, signs *byte, stride int, z *float32, groups, words int)")
	c.Doc(fmt.Sprintf("signSums%d sets dst to sums of the z whose bits are set, of groups of %d rows of words of 64 columns.", together, together))
	dst, signs := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("signs"), c.GP64())
	stride, groups := c.Load(c.Param("stride"), c.GP64()), c.Load(c.Param("groups"), c.GP64())
	acc := make([][4]reg.VecVirtual, together)
	for r := range acc {
		for i := range acc[r] {
			acc[r][i] = c.ZMM()
		}
	}
	c.Label("group")
	at, third := c.GP64(), c.GP64()
	c.MOVQ(signs, at)
	if together > 1 {
		c.LEAQ(operand.Mem{Base: at, Index: stride, Scale: 2}, third)
		c.ADDQ(stride, third)
	}
	z, words := c.Load(c.Param("z"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	for r := range acc {
		for i := range acc[r] {
			c.VXORPS(acc[r][i].AsY(), acc[r][i].AsY(), acc[r][i].AsY())
		}
	}
	c.Label("word")
	var values [4]reg.VecVirtual
	for i := range values {
		values[i] = c.ZMM()
		c.VMOVUPS(operand.Mem{Base: z, Disp: 64 * i}, values[i])
	}
	for r := range acc {
		row := operand.Mem{Base: at}
		switch r {
		case 1:
			row = operand.Mem{Base: at, Index: stride, Scale: 1}
		case 2:
			row = operand.Mem{Base: at, Index: stride, Scale: 2}
		case 3:
			row = operand.Mem{Base: third}
		}
		for i, v := range values {
			k := c.K()
			c.KMOVW(row.Offset(2*i), k)
			c.VADDPS(v, acc[r][i], k, acc[r][i])
		}
	}
	c.ADDQ(operand.Imm(8), at)
	if together > 1 {
		c.ADDQ(operand.Imm(8), third)
	}
	c.ADDQ(operand.U32(256), z)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	for r := range acc {
		a := acc[r]
		c.VADDPS(a[2], a[0], a[0])
		c.VADDPS(a[3], a[1], a[1])
		c.VADDPS(a[1], a[0], a[0])
		low, upper := a[0].AsY().(reg.VecVirtual), c.YMM()
		c.VEXTRACTF64X4(operand.Imm(1), a[0], upper)
		c.VADDPS(upper, low, low)
		c.VMOVSS(horizontalSum(c, low), operand.Mem{Base: dst, Disp: 4 * r})
	}
	c.ADDQ(operand.Imm(uint64(4*together)), dst)
	for range together {
		c.ADDQ(stride, signs)
	}
	c.DECQ(groups)
	c.JNZ(operand.LabelRef("group"))
	c.VZEROUPPER()
	c.RET()
}

// signSumsFour512 emits the sums of four vectors at once, whose masks are the same: a load of 16 bits for four masked additions.
func signSumsFour512(c *build.Context) {
	c.Function("signSumsFourx512")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, signs *byte, stride int, z *float32, dstStep, zStep, rows, words int)")
	c.Doc("signSumsFour sets dst to sums of the z whose bits are set, of rows of words of 64 columns and four z, zStep bytes apart, whose sums are dstStep bytes apart.")
	dst, signs := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("signs"), c.GP64())
	dstStep, zStep := c.Load(c.Param("dstStep"), c.GP64()), c.Load(c.Param("zStep"), c.GP64())
	rows := c.Load(c.Param("rows"), c.GP64())
	var acc [4][4]reg.VecVirtual
	for f := range acc {
		for i := range acc[f] {
			acc[f][i] = c.ZMM()
		}
	}
	c.Label("row")
	at, words := c.GP64(), c.Load(c.Param("words"), c.GP64())
	c.MOVQ(signs, at)
	z, third := c.Load(c.Param("z"), c.GP64()), c.GP64()
	c.LEAQ(operand.Mem{Base: z, Index: zStep, Scale: 2}, third)
	c.ADDQ(zStep, third)
	for f := range acc {
		for i := range acc[f] {
			c.VXORPS(acc[f][i].AsY(), acc[f][i].AsY(), acc[f][i].AsY())
		}
	}
	c.Label("word")
	for i := range 4 {
		k := c.K()
		c.KMOVW(operand.Mem{Base: at, Disp: 2 * i}, k)
		for f, v := range []operand.Mem{{Base: z}, {Base: z, Index: zStep, Scale: 1}, {Base: z, Index: zStep, Scale: 2}, {Base: third}} {
			c.VADDPS(v.Offset(64*i), acc[f][i], k, acc[f][i])
		}
	}
	c.ADDQ(operand.Imm(8), at)
	c.ADDQ(operand.U32(256), z)
	c.ADDQ(operand.U32(256), third)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	to := c.GP64()
	c.MOVQ(dst, to)
	for f := range acc {
		a := acc[f]
		c.VADDPS(a[2], a[0], a[0])
		c.VADDPS(a[3], a[1], a[1])
		c.VADDPS(a[1], a[0], a[0])
		low, upper := a[0].AsY().(reg.VecVirtual), c.YMM()
		c.VEXTRACTF64X4(operand.Imm(1), a[0], upper)
		c.VADDPS(upper, low, low)
		c.VMOVSS(horizontalSum(c, low), operand.Mem{Base: to})
		c.ADDQ(dstStep, to)
	}
	c.ADDQ(operand.Imm(4), dst)
	c.ADDQ(c.Load(c.Param("stride"), c.GP64()), signs)
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// signSums256 emits the sums of one row after another: a byte's bits become the masks of 8 columns.
func signSums256(c *build.Context) {
	c.Function("signSums1x256")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, signs *byte, stride int, z *float32, rows, words int, bits *[32]uint32)")
	c.Doc("signSums1 sets dst to sums of the z whose bits are set, of rows of words of 64 columns; bits are 1 << 0 … 1 << 31.")
	dst, signs := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("signs"), c.GP64())
	stride, rows := c.Load(c.Param("stride"), c.GP64()), c.Load(c.Param("rows"), c.GP64())
	bits := c.Load(c.Param("bits"), c.GP64())
	var acc [8]reg.VecVirtual
	var select8 [4]reg.VecVirtual
	for i := range acc {
		acc[i] = c.YMM()
	}
	for i := range select8 {
		select8[i] = c.YMM()
		c.VMOVUPS(operand.Mem{Base: bits, Disp: 32 * i}, select8[i])
	}
	c.Label("row")
	at := c.GP64()
	c.MOVQ(signs, at)
	z, words := c.Load(c.Param("z"), c.GP64()), c.Load(c.Param("words"), c.GP64())
	for i := range acc {
		c.VXORPS(acc[i], acc[i], acc[i])
	}
	c.Label("word")
	word := c.YMM()
	for i := range acc {
		if i%4 == 0 {
			c.VPBROADCASTD(operand.Mem{Base: at, Disp: i}, word)
		}
		m := c.YMM()
		c.VPAND(select8[i%4], word, m)
		c.VPCMPEQD(select8[i%4], m, m)
		c.VANDPS(operand.Mem{Base: z, Disp: 32 * i}, m, m)
		c.VADDPS(m, acc[i], acc[i])
	}
	c.ADDQ(operand.Imm(8), at)
	c.ADDQ(operand.U32(256), z)
	c.DECQ(words)
	c.JNZ(operand.LabelRef("word"))
	for half := len(acc) / 2; half > 0; half /= 2 {
		for i := range half {
			c.VADDPS(acc[i+half], acc[i], acc[i])
		}
	}
	c.VMOVSS(horizontalSum(c, acc[0]), operand.Mem{Base: dst})
	c.ADDQ(operand.Imm(4), dst)
	c.ADDQ(stride, signs)
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// addSigned emits dst[j] += (−1)^bit·Σ u[t]·v[t][j] for j < 16·blocks, products and sums rounded one by one.
func addSigned(c *build.Context, width int) {
	c.Function(fmt.Sprintf("addSigned%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, signs *byte, u, v *float32, k, stride, blocks int, bits *[32]uint32)")
	c.Doc("addSigned adds the sum of u[t]*v[t*stride/4+j] over t < k, negated where bit j is set, to dst[j] for j < 16*blocks.")
	dst, signs := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("signs"), c.GP64())
	v, stride, blocks := c.Load(c.Param("v"), c.GP64()), c.Load(c.Param("stride"), c.GP64()), c.Load(c.Param("blocks"), c.GP64())
	bits := c.Load(c.Param("bits"), c.GP64())
	negative, ones := vecOf(c, width), vecOf(c, width)
	select8 := []reg.VecVirtual{vecOf(c, width), vecOf(c, width)}
	if width == 64 {
		c.VPTERNLOGD(operand.Imm(0xff), ones, ones, ones)
	} else {
		c.VPCMPEQD(ones, ones, ones)
		c.VMOVUPS(operand.Mem{Base: bits}, select8[0])
		c.VMOVUPS(operand.Mem{Base: bits, Disp: 32}, select8[1])
	}
	c.VPSLLD(operand.Imm(31), ones, negative)
	c.Label("block")
	sums := make([]reg.VecVirtual, 64/width)
	for i := range sums {
		sums[i] = vecOf(c, width)
		c.VXORPS(sums[i].AsY(), sums[i].AsY(), sums[i].AsY())
	}
	u, k, at := c.Load(c.Param("u"), c.GP64()), c.Load(c.Param("k"), c.GP64()), c.GP64()
	c.MOVQ(v, at)
	c.Label("factor")
	a := vecOf(c, width)
	c.VBROADCASTSS(operand.Mem{Base: u}, a)
	for i := range sums {
		p := vecOf(c, width)
		c.VMULPS(operand.Mem{Base: at, Disp: width * i}, a, p)
		c.VADDPS(p, sums[i], sums[i])
	}
	c.ADDQ(operand.Imm(4), u)
	c.ADDQ(stride, at)
	c.DECQ(k)
	c.JNZ(operand.LabelRef("factor"))
	if width == 64 {
		m := c.K()
		c.KMOVW(operand.Mem{Base: signs}, m)
		c.VPXORD(negative, sums[0], m, sums[0])
	} else {
		word := c.YMM()
		w := c.GP32()
		c.MOVWLZX(operand.Mem{Base: signs}, w)
		x := c.XMM()
		c.VMOVD(w, x)
		c.VPBROADCASTD(x, word)
		for i := range sums {
			m := c.YMM()
			c.VPAND(select8[i], word, m)
			c.VPCMPEQD(select8[i], m, m)
			c.VPAND(negative, m, m)
			c.VXORPS(m, sums[i], sums[i])
		}
	}
	for i, s := range sums {
		c.VADDPS(operand.Mem{Base: dst, Disp: width * i}, s, s)
		c.VMOVUPS(s, operand.Mem{Base: dst, Disp: width * i})
	}
	c.ADDQ(operand.Imm(64), dst)
	c.ADDQ(operand.Imm(64), v)
	c.ADDQ(operand.Imm(2), signs)
	c.DECQ(blocks)
	c.JNZ(operand.LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// multiply emits dst[i] *= x[i] for i < 16·blocks.
func multiply(c *build.Context, width int) {
	c.Function(fmt.Sprintf("multiply%d", width*8))
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, x *float32, blocks int)")
	c.Doc("multiply multiplies dst[i] by x[i] for i < 16*blocks.")
	dst, x, blocks := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("x"), c.GP64()), c.Load(c.Param("blocks"), c.GP64())
	c.Label("block")
	for i := range 64 / width {
		v := vecOf(c, width)
		c.VMOVUPS(operand.Mem{Base: dst, Disp: i * width}, v)
		c.VMULPS(operand.Mem{Base: x, Disp: i * width}, v, v)
		c.VMOVUPS(v, operand.Mem{Base: dst, Disp: i * width})
	}
	c.ADDQ(operand.Imm(64), dst)
	c.ADDQ(operand.Imm(64), x)
	c.DECQ(blocks)
	c.JNZ(operand.LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}
