package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// trellisPlan's fields as package kernels lays them out: vectors for even and odd groups, then what tables need.
const (
	planSource = 64 * 0  // which bytes of a group each quadword needs, which holds 8 states
	planLower  = 64 * 2  // shifts to the lower 8 bits of 64 states
	planUpper  = 64 * 4  // shifts to the upper 8 bits of 64 states
	planEven   = 64 * 6  // shifts to 16 bits of the 32 even states
	planOdd    = 64 * 8  // and of the odd ones
	planTable  = 64 * 10 // up to 256 entries plus 128
	planLinear = 64 * 14 // two 8 × 8 matrices over GF(2): of the lower and the upper bits
	planHash   = planLinear + 16
	planWords  = 64 * 15 // for AVX2: which byte of 16 each of 16 states begins in, 4 vectors; even, odd
	planFactor = 64 * 19 // and 2^(8-bit of that byte)
)

// trellisCall's fields.
const (
	callPlan = 8 * iota
	callTiles
	callRate
	callWrap
	callN
	callBytes
	callSums
	callCodes
	callScales
	callTotals
	callHeight
)

// trellisHeight's fields: what depends on a band's height.
const (
	heightTiles   = 8 * iota // in 32 columns
	heightQuad1              // byte of the second group's activations
	heightQuad2              // of the third; the fourth's is the sum
	heightAdvance            // activations of a tile
	heightMasks              // sums 1 are other rows than sums 0; sums 2 and 3 are other rows than sums 0 and 1
)

// trellis emits products with tiles of trellis codes.
func trellis(c *build.Context) {
	for _, k := range trellisKinds {
		t := &tileProduct{Context: c, name: "trellis" + k.name + "x512"}
		t.emit(k)
		t = &tileProduct{Context: c, name: "trellisBytes" + k.name + "x512"}
		t.emitBytes(k)
	}
	trellisDecode256(c)
	trellisDot256(c)
	trellisRows(c, 32)
	trellisRows(c, 64)
}

// trellisKind is a code: it makes indices of the 8 quadwords that hold the states of a group, which it may overwrite, and entries of indices.
type trellisKind struct {
	name    string
	indices func(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual
	entries func(t *tileProduct) func(index reg.VecVirtual) reg.VecVirtual
}

var trellisKinds = []trellisKind{
	{"Lut7", byteWindows, table7},
	{"Lut8", byteWindows, table8},
	{"Linear7", linear, table7},
	{"Linear8", linear, table8},
	{"Hash7", hash, func(t *tileProduct) func(reg.VecVirtual) reg.VecVirtual {
		value := table7(t)
		return func(index reg.VecVirtual) reg.VecVirtual {
			t.VPSRLW(operand.Imm(1), index, index)
			return value(index)
		}
	}},
	{"Hash8", hash, table8},
	{"LutMirror", linear8, mirrorTable(false)},
	{"LinearMirror", linear, mirrorTable(false)},
	{"HashMirror", hash, mirrorTable(true)},
}

// tileProduct multiplies a band's tiles by int8 activations. A group of 64 weights, 16 rows × 4 columns, is one operand of VPDPBUSD.
type tileProduct struct {
	*build.Context
	name   string
	call   reg.Register // kernels.trellisCall
	plan   reg.Register
	source [2]reg.VecVirtual
	spare  []reg.Register // mask registers for tables
}

// field is a field of the call.
func (t *tileProduct) field(at int) operand.Mem { return operand.Mem{Base: t.call, Disp: at} }

func (t *tileProduct) load(at int) reg.GPVirtual {
	r := t.GP64()
	t.MOVQ(t.field(at), r)
	return r
}

// vector loads a vector of the plan.
func (t *tileProduct) vector(at int) reg.VecVirtual {
	v := t.ZMM()
	t.VMOVDQU64(operand.Mem{Base: t.plan, Disp: at}, v)
	return v
}

// begin loads what all functions have in registers.
func (t *tileProduct) begin(k trellisKind) (entry func(source reg.VecVirtual, odd int) reg.VecVirtual, rate, half, back, tiles reg.GPVirtual) {
	t.call = t.Load(t.Param("call"), t.GP64())
	t.plan = t.load(callPlan)
	t.source = [2]reg.VecVirtual{t.vector(planSource), t.vector(planSource + 64)}
	index := k.indices(t)
	t.spare = []reg.Register{reg.K6, reg.K7}
	value := k.entries(t)
	t.KMOVQ(t.field(callWrap), reg.K1)
	rate, half, back, tiles = t.load(callRate), t.GP64(), t.GP64(), t.load(callTiles)
	t.MOVQ(rate, half)
	t.SHRQ(operand.Imm(1), half)
	t.MOVQ(half, back)
	t.SUBQ(rate, back)
	return func(source reg.VecVirtual, odd int) reg.VecVirtual { return value(index(source, odd)) }, rate, half, back, tiles
}

// groups emits the 4 groups of a tile; use gets the 64 entries of each.
func (t *tileProduct) groups(entry func(reg.VecVirtual, int) reg.VecVirtual, rate, half, back, tiles reg.Register, use func(g int, entries reg.VecVirtual)) {
	third := t.GP64()
	t.LEAQ(operand.Mem{Base: tiles, Index: rate, Scale: 1}, third)
	at := []operand.Mem{{Base: tiles}, {Base: tiles, Index: half, Scale: 1}, {Base: third}, {Base: third, Index: half, Scale: 1}}
	t.PREFETCHT0(operand.Mem{Base: tiles, Disp: trellisAhead})
	t.PREFETCHT0(operand.Mem{Base: tiles, Disp: trellisAhead + 64})
	for g := range at {
		source := t.ZMM()
		if g < 3 {
			t.VPERMB(at[g], t.source[g%2], source)
		} else { // the ring goes on with the tile's first bytes
			t.VMOVDQU64(at[g], source)
			t.VMOVDQU8(operand.Mem{Base: tiles, Index: back, Scale: 1}, reg.K1, source)
			t.VPERMB(source, t.source[1], source)
		}
		use(g, entry(source, g%2))
	}
}

// emitBytes emits the decoder to bytes.
func (t *tileProduct) emitBytes(k trellisKind) {
	t.Function(t.name)
	t.Pragma("noescape")
	t.SignatureExpr("func(call **byte)")
	t.Doc(t.name + " writes the 256 entries of each of n tiles.")
	entry, rate, half, back, tiles := t.begin(k)
	offset := word(t.Context, 64, 0x80808080)
	dst, n := t.load(callBytes), t.load(callN)
	t.Label("tile")
	t.groups(entry, rate, half, back, tiles, func(g int, entries reg.VecVirtual) {
		t.VPXORD(offset, entries, entries)
		t.VMOVDQU64(entries, operand.Mem{Base: dst, Disp: 64 * g})
	})
	t.LEAQ(operand.Mem{Base: tiles, Index: rate, Scale: 2}, tiles)
	t.ADDQ(operand.U32(256), dst)
	t.DECQ(n)
	t.JNZ(operand.LabelRef("tile"))
	t.VZEROUPPER()
	t.RET()
}

func (t *tileProduct) emit(k trellisKind) {
	t.Function(t.name)
	t.Pragma("noescape")
	t.SignatureExpr("func(call **byte)")
	t.Doc(t.name + " adds the products of blocks of 32 columns of a band to sums.")
	entry, rate, half, back, tiles := t.begin(k)

	height := t.load(callHeight)
	second, upper := reg.K2, reg.K3 // sums that are other rows
	first, lower := reg.K4, reg.K5  // and those that are not
	mask := t.GP32()
	for i, k := range []reg.Register{second, upper} {
		t.MOVL(operand.Mem{Base: height, Disp: heightMasks + 4*i}, mask)
		t.KMOVW(mask, k)
	}
	t.KNOTW(second, first)
	t.KNOTW(upper, lower)

	x, scales, totals := t.load(callCodes), t.load(callScales), t.load(callTotals)
	quad1, quad2, advance := t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(operand.Mem{Base: height, Disp: heightQuad1}, quad1)
	t.MOVQ(operand.Mem{Base: height, Disp: heightQuad2}, quad2)
	t.MOVQ(operand.Mem{Base: height, Disp: heightAdvance}, advance)
	sums := t.load(callSums)
	var total, acc [4]reg.VecVirtual
	for i := range total {
		total[i], acc[i] = t.ZMM(), t.ZMM()
		t.VMOVUPS(operand.Mem{Base: sums, Disp: 64 * i}, total[i])
	}

	t.Label("block")
	t.VPBROADCASTD(operand.Mem{Base: totals}, acc[0])
	t.VPSLLD(operand.Imm(7), acc[0], acc[0])
	t.VPXORD(acc[1], acc[1], acc[1])
	t.VPSUBD(acc[0], acc[1], acc[0])
	t.VMOVDQA32_Z(acc[0], second, acc[1])
	t.VMOVDQA32_Z(acc[0], upper, acc[2])
	t.VMOVDQA32_Z(acc[0], upper, acc[3])
	count := t.GP64()
	t.MOVQ(operand.Mem{Base: height, Disp: heightTiles}, count)
	t.Label("tile")
	x1 := t.GP64()
	t.LEAQ(operand.Mem{Base: x, Index: quad1, Scale: 1}, x1)
	activations := []operand.Mem{{Base: x}, {Base: x1}, {Base: x, Index: quad2, Scale: 1}, {Base: x1, Index: quad2, Scale: 1}}
	t.groups(entry, rate, half, back, tiles, func(g int, entries reg.VecVirtual) {
		t.VPDPBUSD_BCST(activations[g], entries, acc[g])
	})
	t.LEAQ(operand.Mem{Base: tiles, Index: rate, Scale: 2}, tiles)
	t.ADDQ(advance, x)
	t.DECQ(count)
	t.JNZ(operand.LabelRef("tile"))

	t.VPADDD(acc[2], acc[0], lower, acc[0])
	t.VPADDD(acc[3], acc[1], lower, acc[1])
	t.VPADDD(acc[1], acc[0], first, acc[0])
	for i := range acc {
		t.VCVTDQ2PS(acc[i], acc[i])
		t.VMULPS_BCST(operand.Mem{Base: scales}, acc[i], acc[i])
		t.VADDPS(acc[i], total[i], total[i])
	}
	t.ADDQ(operand.Imm(4), scales)
	t.ADDQ(operand.Imm(4), totals)
	t.DECQ(t.field(callN))
	t.JNZ(operand.LabelRef("block"))
	end := t.load(callSums)
	for i := range total {
		t.VMOVUPS(total[i], operand.Mem{Base: end, Disp: 64 * i})
	}
	t.VZEROUPPER()
	t.RET()
}

// trellisAhead is how many bytes before their use tiles are fetched.
const trellisAhead = 4096
