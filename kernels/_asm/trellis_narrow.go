package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// narrowTiles emits functions for AVX2.
type narrowTiles struct{ *build.Context }

func (t *narrowTiles) param(name string) operand.Mem {
	r, err := t.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return r.Addr
}

func (t *narrowTiles) argument(name string) reg.GPVirtual {
	r := t.GP64()
	t.MOVQ(t.param(name), r)
	return r
}

// trellisDecode256 emits the decoder of every code for AVX2: states by vectors, entries one by one.
func trellisDecode256(c *build.Context) {
	t := &narrowTiles{c}
	t.Function("trellisDecodex256")
	t.Pragma("noescape")
	t.SignatureExpr("func(dst *int8, tiles *byte, rate int, n int, values *int8, mask int, plan *byte)")
	t.Doc("trellisDecodex256 writes the 256 entries of each of n tiles; values holds those of all states, whose bits mask has.")
	dst, tiles, values, rate := t.argument("dst"), t.argument("tiles"), t.argument("values"), t.argument("rate")
	end, at, states := t.AllocLocal(64+16), t.AllocLocal(4*8), t.AllocLocal(2*64)
	mask, upper := t.YMM(), word(c, 32, 0xff00ff00)
	half, back := t.argument("mask"), t.GP64()
	t.VMOVD(half.As32(), mask.AsX())
	t.VPBROADCASTW(mask.AsX(), mask)
	t.MOVQ(rate, half)
	t.SHRQ(operand.Imm(1), half)
	t.MOVQ(rate, back)
	t.SUBQ(half, back)

	t.Label("tile")
	base, group := t.GP64(), t.GP64()
	t.MOVQ(tiles, at) // where the groups begin
	t.LEAQ(operand.Mem{Base: tiles, Index: half, Scale: 1}, base)
	t.MOVQ(base, at.Offset(8))
	t.LEAQ(operand.Mem{Base: tiles, Index: rate, Scale: 1}, base)
	t.MOVQ(base, at.Offset(16))
	t.ADDQ(half, base) // the ring goes on with the tile's first bytes
	for i := range 2 {
		v := t.YMM()
		t.VMOVDQU(operand.Mem{Base: base, Disp: 32 * i}, v)
		t.VMOVDQU(v, end.Offset(32*i))
	}
	t.MOVQ(operand.Mem{Base: tiles}, group)
	t.LEAQ(end, base)
	t.MOVQ(base, at.Offset(24))
	t.MOVQ(group, operand.Mem{Base: base, Index: back, Scale: 1})

	t.XORQ(group, group)
	t.Label("group")
	first, words := t.GP64(), t.GP64()
	t.MOVQ(group, first)
	t.ANDQ(operand.Imm(1), first)
	t.SHLQ(operand.Imm(6), first)
	t.MOVQ(first, words)
	t.ADDQ(words, words)
	t.ADDQ(t.param("plan"), first)
	t.ADDQ(t.param("plan"), words)
	t.MOVQ(operand.Mem{Base: at.Base, Disp: at.Disp, Symbol: at.Symbol, Index: group, Scale: 8}, base)
	for i := range 4 {
		left, right := t.GP64(), t.GP64()
		t.MOVBQZX(operand.Mem{Base: first, Disp: planSource + 16*i}, left)
		t.MOVBQZX(operand.Mem{Base: first, Disp: planSource + 16*i + 8}, right)
		var bits [2]reg.VecVirtual // the byte a state begins in and the next; the next and the one after it
		for j := range bits {
			bits[j] = t.YMM()
			t.VMOVDQU(operand.Mem{Base: base, Index: left, Scale: 1, Disp: j}, bits[j].AsX())
			t.VINSERTI128(operand.Imm(1), operand.Mem{Base: base, Index: right, Scale: 1, Disp: j}, bits[j], bits[j])
			t.VPSHUFB(operand.Mem{Base: words, Disp: planWords + 32*i}, bits[j], bits[j])
			t.VPMULLW(operand.Mem{Base: words, Disp: planFactor + 32*i}, bits[j], bits[j])
		}
		t.VPSRLW(operand.Imm(8), bits[0], bits[0])
		t.VPAND(upper, bits[1], bits[1])
		t.VPOR(bits[1], bits[0], bits[0])
		t.VPAND(mask, bits[0], bits[0])
		t.VMOVDQU(bits[0], states.Offset(32*i))
	}
	for i := range 64 {
		s := t.GP64()
		t.MOVWQZX(states.Offset(2*i), s)
		t.MOVBLZX(operand.Mem{Base: values, Index: s, Scale: 1}, s.As32())
		t.MOVB(s.As8(), operand.Mem{Base: dst, Disp: i})
	}
	t.ADDQ(operand.Imm(64), dst)
	t.INCQ(group)
	t.CMPQ(group, operand.Imm(4))
	t.JNE(operand.LabelRef("group"))
	t.LEAQ(operand.Mem{Base: tiles, Index: rate, Scale: 2}, tiles)
	t.DECQ(t.param("n"))
	t.JNZ(operand.LabelRef("tile"))
	t.VZEROUPPER()
	t.RET()
}

// trellisDot256 emits the product with decoded tiles. VPMADDUBSW multiplies magnitudes of weights, whose signs activations take.
func trellisDot256(c *build.Context) {
	t := &narrowTiles{c}
	t.Function("trellisDotx256")
	t.Pragma("noescape")
	t.SignatureExpr("func(sums *float32, weights *int8, codes *int8, scale float32, height *int)")
	t.Doc("trellisDotx256 adds the products of a block of 32 columns of a band, decoded, to sums.")
	sums, weights, x, height := t.argument("sums"), t.argument("weights"), t.argument("codes"), t.argument("height")
	quads, advance := [4]reg.GPVirtual{1: t.GP64(), 2: t.GP64(), 3: t.GP64()}, t.GP64()
	t.MOVQ(operand.Mem{Base: height, Disp: heightQuad1}, quads[1])
	t.MOVQ(operand.Mem{Base: height, Disp: heightQuad2}, quads[2])
	t.MOVQ(quads[1], quads[3])
	t.ADDQ(quads[2], quads[3])
	t.MOVQ(operand.Mem{Base: height, Disp: heightAdvance}, advance)
	count := t.GP64()
	t.MOVQ(operand.Mem{Base: height, Disp: heightTiles}, count)
	ones := word(c, 32, 0x00010001)
	var acc [8]reg.VecVirtual
	for i := range acc {
		acc[i] = t.YMM()
		t.VPXOR(acc[i], acc[i], acc[i])
	}
	t.Label("tile")
	for g := range 4 {
		four := t.YMM()
		at := operand.Mem{Base: x}
		if g > 0 {
			at.Index, at.Scale = quads[g], 1
		}
		t.VPBROADCASTD(at, four)
		for i := range 2 {
			w, signed := t.YMM(), t.YMM()
			t.VMOVDQU(operand.Mem{Base: weights, Disp: 64*g + 32*i}, w)
			t.VPSIGNB(w, four, signed)
			t.VPABSB(w, w)
			t.VPMADDUBSW(signed, w, w)
			t.VPMADDWD(ones, w, w)
			t.VPADDD(w, acc[2*g+i], acc[2*g+i])
		}
	}
	t.ADDQ(operand.U32(256), weights)
	t.ADDQ(advance, x)
	t.DECQ(count)
	t.JNZ(operand.LabelRef("tile"))

	merge := func(field int, pairs ...[2]int) { // of sums that are of the same rows
		mask := t.GP32()
		t.MOVL(operand.Mem{Base: height, Disp: heightMasks + field}, mask)
		t.TESTL(mask, mask)
		label := []string{"second", "upper"}[field/4]
		t.JNZ(operand.LabelRef(label))
		for _, p := range pairs {
			t.VPADDD(acc[p[1]], acc[p[0]], acc[p[0]])
		}
		t.Label(label)
	}
	merge(4, [2]int{0, 4}, [2]int{1, 5}, [2]int{2, 6}, [2]int{3, 7})
	merge(0, [2]int{0, 2}, [2]int{1, 3})
	scale := t.YMM()
	t.VBROADCASTSS(t.param("scale"), scale)
	for i := range acc {
		t.VCVTDQ2PS(acc[i], acc[i])
		t.VMULPS(scale, acc[i], acc[i])
		t.VADDPS(operand.Mem{Base: sums, Disp: 32 * i}, acc[i], acc[i])
		t.VMOVUPS(acc[i], operand.Mem{Base: sums, Disp: 32 * i})
	}
	t.VZEROUPPER()
	t.RET()
}

// trellisRows emits the conversion of decoded groups to rows of float32, units of one vector at a time.
func trellisRows(c *build.Context, width int) {
	t := &narrowTiles{c}
	name := fmt.Sprintf("trellisRowsx%d", 8*width)
	t.Function(name)
	t.Pragma("noescape")
	t.SignatureExpr("func(dst *float32, stride int, rows int, weights *int8, step int, units int, scales *float32)")
	t.Doc(fmt.Sprintf("%s writes 1 to 16 rows of units times %d of 32 columns, each byte times its row's scale; groups of 16 × 4 are step bytes apart.", name, width/4))
	dst, stride, weights, step := t.argument("dst"), t.argument("stride"), t.argument("weights"), t.argument("step")
	t.SHLQ(operand.Imm(2), stride)
	rows := t.AllocLocal(16 * 32)
	third := t.GP64()
	for half := range 2 { // of the columns
		t.LEAQ(operand.Mem{Base: weights, Index: step, Scale: 2}, third)
		for i := range 2 { // of the rows
			var quad [4]reg.VecVirtual
			for j, at := range []operand.Mem{{Base: weights}, {Base: weights, Index: step, Scale: 1}, {Base: third}, {Base: third, Index: step, Scale: 1}} {
				quad[j] = t.YMM()
				at.Disp = 32 * i
				t.VMOVDQU(at, quad[j])
			}
			for j, unpack := range []func(...operand.Op){t.VPUNPCKLDQ, t.VPUNPCKHDQ} { // rows 0, 1 | 4, 5 or 2, 3 | 6, 7
				left, right := t.YMM(), t.YMM()
				unpack(quad[1], quad[0], left)
				unpack(quad[3], quad[2], right)
				for k, pick := range []func(...operand.Op){t.VPUNPCKLQDQ, t.VPUNPCKHQDQ} {
					v := t.YMM()
					pick(right, left, v)
					at := rows.Offset(32*(8*i+2*j+k) + 16*half)
					t.VMOVDQU(v.AsX(), at)
					t.VEXTRACTI128(operand.Imm(1), v, at.Offset(32*4))
				}
			}
		}
		t.LEAQ(operand.Mem{Base: third, Index: step, Scale: 2}, weights)
	}
	from, scales := t.GP64(), t.argument("scales")
	t.LEAQ(rows, from)
	t.Label("row")
	scale, out, at, n := vecOf(c, width), t.GP64(), t.GP64(), t.argument("units")
	t.VBROADCASTSS(operand.Mem{Base: scales}, scale)
	t.MOVQ(dst, out)
	t.MOVQ(from, at)
	t.Label("unit")
	v := vecOf(c, width)
	t.VPMOVSXBD(operand.Mem{Base: at}, v)
	t.VCVTDQ2PS(v, v)
	t.VMULPS(scale, v, v)
	t.VMOVUPS(v, operand.Mem{Base: out})
	t.ADDQ(operand.U32(width/4), at)
	t.ADDQ(operand.U32(width), out)
	t.DECQ(n)
	t.JNZ(operand.LabelRef("unit"))
	t.ADDQ(operand.Imm(32), from)
	t.ADDQ(operand.Imm(4), scales)
	t.ADDQ(stride, dst)
	t.DECQ(t.param("rows"))
	t.JNZ(operand.LabelRef("row"))
	t.VZEROUPPER()
	t.RET()
}
