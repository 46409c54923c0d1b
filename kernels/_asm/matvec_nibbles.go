package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// nibbleFormat is a layout of rows made of blocks of 16 bytes for 32 columns, codes stored plus 8: low nibbles are the first 16.
type nibbleFormat struct {
	name, doc     string
	stride, start int  // block b's codes begin at byte stride*b + start
	grouped       bool // scales are apart from the codes
	begin         func(m *matvecEmitter)
	scales        func(m *matvecEmitter) reg.VecVirtual // the 8 of the step of the row at m.row
}

// nibbleFunction emits products of two rows at a time, for which what a step needs of the activations is made once: the two
// halves of each block's codes side by side with other blocks', and -8 times their sums, from which integer sums start. A row
// that is left over is multiplied alone, which gives the same sum. (Four rows are faster from caches and slower from memory.)
func nibbleFunction(c *build.Context, vnni bool, tables map[string]operand.Mem, f nibbleFormat) {
	level := "256"
	if vnni {
		level = "512"
	}
	c.Function(f.name + "x" + level)
	c.Pragma("noescape")
	args := "y *float32, w *byte, rowBytes, rows, steps int, codes *int8, scales *float32, sums *int32"
	if f.grouped {
		args += ", wscales *byte, scaleStride, scaleStep int, spread *[32]byte"
	}
	c.SignatureExpr("func(" + args + ")")
	c.Doc(f.doc)
	n := &nibbleEmitter{matvecEmitter: &matvecEmitter{Context: c, vnni: vnni, tables: tables}, nibbleFormat: f}
	if f.grouped {
		n.groupSpread = c.Load(c.Param("spread"), c.GP64())
	}
	n.begin(vnni)
	for _, rows := range []int{2, 1} {
		label := fmt.Sprintf("rows%d", rows)
		c.Label(label)
		left := c.Load(c.Param("rows"), c.GP64())
		c.SUBQ(operand.Imm(uint64(rows)), left)
		c.JL(operand.LabelRef(label + "end"))
		c.Store(left, c.Param("rows"))
		n.rows(rows, label)
		c.JMP(operand.LabelRef(label))
		c.Label(label + "end")
	}
	c.VZEROUPPER()
	c.RET()
}

// nibbleEmitter holds the registers of one function.
type nibbleEmitter struct {
	*matvecEmitter
	nibbleFormat
	eights reg.VecVirtual // 8 in each byte
}

func (n *nibbleEmitter) begin(vnni bool) {
	n.nibble = word(n.Context, n.width(), 0x0f0f0f0f)
	if vnni {
		n.eights = word(n.Context, n.width(), 0x08080808)
		n.zero = n.ZMM()
		n.VPXORD(n.zero, n.zero, n.zero)
		for q := range 2 {
			n.spreads = append(n.spreads, n.spread(fmt.Sprintf("blockScales%d", q), func(lane int) int { return 4*q + lane/4 }))
		}
	} else {
		n.ones = word(n.Context, 32, 0x00010001)
		n.pairs[0] = n.words32("pairScales0", 8, func(lane int) int { return lane / 4 })
		n.pairs[1] = n.words32("pairScales1", 8, func(lane int) int { return 2 + lane/4 })
	}
	if n.nibbleFormat.begin != nil {
		n.nibbleFormat.begin(n.matvecEmitter)
	}
}

// rowAt returns the start of row r of those that begin at base, stride apart; r is at most 2.
func rowAt(base, stride reg.Register, r int) operand.Mem {
	if r == 0 {
		return operand.Mem{Base: base}
	}
	return operand.Mem{Base: base, Index: stride, Scale: uint8(r)}
}

// rows emits the product of some rows, and moves y, w and wscales on.
func (n *nibbleEmitter) rows(rows int, label string) {
	var scaleStride reg.Register
	stride := n.Load(n.Param("rowBytes"), n.GP64())
	n.w = n.Load(n.Param("w"), n.GP64())
	next := n.GP64() // rows, asked for in the order of memory whatever the order of use
	n.LEAQ(rowAt(n.w, stride, rows), next)
	n.Store(next, n.Param("w"))
	if n.grouped {
		scaleStride = n.Load(n.Param("scaleStride"), n.GP64())
		n.groupScales = n.Load(n.Param("wscales"), n.GP64())
		after := n.GP64()
		n.LEAQ(rowAt(n.groupScales, scaleStride, rows), after)
		n.Store(after, n.Param("wscales"))
	}
	n.codes = n.Load(n.Param("codes"), n.GP64())
	scales, steps := n.Load(n.Param("scales"), n.GP64()), n.Load(n.Param("steps"), n.GP64())
	acc := make([][]reg.VecVirtual, rows) // of each row, 16 lanes
	for r := range acc {
		for range 64 / n.width() {
			v := n.vector(n.vnni)
			n.VXORPS(v.AsY(), v.AsY(), v.AsY())
			acc[r] = append(acc[r], v)
		}
	}
	n.Label(label + "step")
	stepBytes := 8 * n.stride
	for line := 0; line < rows*stepBytes; line += 64 {
		n.PREFETCHNTA(operand.Mem{Base: next, Disp: prefetchAhead + line})
	}
	scale := make([]reg.VecVirtual, rows)
	n.activation(scales, func(times func(reg.VecVirtual)) {
		for r := range scale {
			n.row = rowAt(n.w, stride, r)
			if n.grouped {
				n.scaleRow = rowAt(n.groupScales, scaleStride, r)
			}
			scale[r] = n.nibbleFormat.scales(n.matvecEmitter)
			times(scale[r])
		}
	})
	at := func(r int) operand.Mem { return rowAt(n.w, stride, r) }
	if n.vnni {
		n.quads4(at, scale, acc)
	} else {
		n.pairs2(at, scale, acc)
	}
	n.ADDQ(operand.U32(uint64(rows*stepBytes)), next)
	n.ADDQ(operand.U32(uint64(stepBytes)), n.w)
	n.ADDQ(operand.U32(256), n.codes)
	n.ADDQ(operand.Imm(32), scales)
	if n.grouped {
		n.ADDQ(n.Load(n.Param("scaleStep"), n.GP64()), n.groupScales)
	}
	n.DECQ(steps)
	n.JNZ(operand.LabelRef(label + "step"))
	n.store(acc)
}

// activation loads the step's activation scales and calls f with a function that multiplies weight scales by them: the product
// is zero where the activation's scale is, whatever the weight's bytes say (padding may be read from the next row).
func (n *nibbleEmitter) activation(scales reg.Register, f func(times func(weight reg.VecVirtual))) {
	const notEqual = 4
	a, zero := n.YMM(), n.YMM()
	n.VMOVUPS(operand.Mem{Base: scales}, a)
	if n.vnni {
		valid := n.K()
		n.VCMPPS(operand.Imm(notEqual), a, n.zero.AsY(), valid)
		f(func(weight reg.VecVirtual) { n.VMULPS_Z(a, weight, valid, weight) })
		return
	}
	n.VXORPS(zero, zero, zero)
	n.VCMPPS(operand.Imm(notEqual), a, zero, zero)
	f(func(weight reg.VecVirtual) {
		n.VMULPS(a, weight, weight)
		n.VANDPS(zero, weight, weight)
	})
}

// quads4 adds a step, four blocks a vector and four partial sums a block.
func (n *nibbleEmitter) quads4(at func(r int) operand.Mem, scale []reg.VecVirtual, acc [][]reg.VecVirtual) {
	for q := range 2 {
		a, first, second, start := n.ZMM(), n.ZMM(), n.ZMM(), n.ZMM()
		n.VMOVDQU64(operand.Mem{Base: n.codes, Disp: 128 * q}, a)
		rest := operand.Mem{Base: n.codes, Disp: 128*q + 64}
		n.VSHUFI64X2(operand.Imm(0x88), rest, a, first)
		n.VSHUFI64X2(operand.Imm(0xdd), rest, a, second)
		n.VPXORD(a, a, a)
		n.VPDPBUSD(first, n.eights, a)
		n.VPDPBUSD(second, n.eights, a)
		n.VPSUBD(a, n.zero, start)
		for r := range acc {
			low, high, sum, s := n.ZMM(), n.ZMM(), n.ZMM(), n.ZMM()
			codes := at(r).Offset(4 * q * n.stride)
			n.VMOVDQU64(codes, low)
			if n.stride != 16 { // n.quads skips the scales
				n.VPERMT2W(codes.Offset(64), n.quads, low)
			}
			n.VPSRLW(operand.Imm(4), low, high)
			n.VPANDD(n.nibble, low, low)
			n.VPANDD(n.nibble, high, high)
			n.VMOVDQA64(start, sum)
			n.VPDPBUSD(first, low, sum)
			n.VPDPBUSD(second, high, sum)
			n.VCVTDQ2PS(sum, sum)
			n.VPERMPS(scale[r].AsZ(), n.spreads[q], s)
			n.VFMADD231PS(s, sum, acc[r][0])
		}
	}
}

// pairs2 is quads4 with two blocks a vector.
func (n *nibbleEmitter) pairs2(at func(r int) operand.Mem, scale []reg.VecVirtual, acc [][]reg.VecVirtual) {
	eights := n.words32("eights", 8, func(int) int { return 0x08080808 })
	fours := make([][2]reg.VecVirtual, len(acc))
	for r := range fours {
		fours[r] = n.fours(scale[r])
	}
	for p := range 4 {
		first, second, start, e := n.YMM(), n.YMM(), n.YMM(), n.YMM()
		x := operand.Mem{Base: n.codes, Disp: 64 * p}
		n.VMOVDQU(x, first)
		n.VPERM2I128(operand.Imm(0x31), x.Offset(32), first, second)
		n.VINSERTI128(operand.Imm(1), x.Offset(32), first, first)
		n.VMOVDQU(eights, e)
		n.VPMADDUBSW(first, e, start)
		n.VPMADDUBSW(second, e, e)
		n.VPADDW(e, start, start)
		for r := range acc {
			low, high, s := n.YMM(), n.YMM(), n.YMM()
			codes := at(r).Offset(2*p*n.stride + n.start)
			n.VBROADCASTI128(codes, low)
			n.VINSERTI128(operand.Imm(1), codes.Offset(n.stride), low, low)
			n.VPSRLW(operand.Imm(4), low, high)
			n.VPAND(n.nibble, low, low)
			n.VPAND(n.nibble, high, high)
			n.VPMADDUBSW(first, low, low)
			n.VPMADDUBSW(second, high, high)
			n.VPADDW(high, low, low)
			n.VPSUBW(start, low, low)
			n.VPMADDWD(n.ones, low, low)
			n.VCVTDQ2PS(low, low)
			n.VPERMILPS(n.pairs[p%2], fours[r][p/2], s)
			n.VFMADD231PS(s, low, acc[r][p%2])
		}
	}
}

// store adds the rows' sums to y, and moves it on.
func (n *nibbleEmitter) store(acc [][]reg.VecVirtual) {
	y := n.Load(n.Param("y"), n.GP64())
	for r, v := range acc {
		lower := v[0].AsY().(reg.VecVirtual)
		upper := n.YMM()
		if n.vnni {
			n.VEXTRACTF64X4(operand.Imm(1), v[0], upper)
		} else {
			upper = v[1]
		}
		n.VADDPS(upper, lower, lower)
		sum := horizontalSum(n.Context, lower)
		n.VADDSS(operand.Mem{Base: y, Disp: 4 * r}, sum, sum)
		n.VMOVSS(sum, operand.Mem{Base: y, Disp: 4 * r})
	}
	n.ADDQ(operand.U32(uint64(4*len(acc))), y)
	n.Store(y, n.Param("y"))
}
