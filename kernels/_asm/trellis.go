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
	for _, k := range []struct {
		name   string
		states func(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual
		table  func(t *tileProduct) func(index reg.VecVirtual) reg.VecVirtual
	}{
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
	} {
		t := &tileProduct{Context: c, name: "trellis" + k.name + "x512"}
		t.emit(k.states, k.table)
	}
}

// tileProduct multiplies a band's tiles by int8 activations. A group of 64 weights, 16 rows × 4 columns, is one operand of VPDPBUSD.
type tileProduct struct {
	*build.Context
	name   string
	plan   reg.Register
	source [2]reg.VecVirtual
	spare  []reg.Register // mask registers for tables
}

func (t *tileProduct) param(name string) operand.Mem {
	r, err := t.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return r.Addr
}

// vector loads a vector of the plan.
func (t *tileProduct) vector(at int) reg.VecVirtual {
	v := t.ZMM()
	t.VMOVDQU64(operand.Mem{Base: t.plan, Disp: at}, v)
	return v
}

func (t *tileProduct) emit(states func(*tileProduct) func(reg.VecVirtual, int) reg.VecVirtual, table func(*tileProduct) func(reg.VecVirtual) reg.VecVirtual) {
	t.Function(t.name)
	t.Pragma("noescape")
	t.SignatureExpr("func(sums *float32, tiles *byte, rate int, wrap uint64, blocks int, codes *int8, scales *float32, totals *int32, plan *byte, height *int)")
	t.Doc(t.name + " adds the products of blocks of 32 columns of a band to sums.")
	t.plan = t.Load(t.Param("plan"), t.GP64())
	t.source = [2]reg.VecVirtual{t.vector(planSource), t.vector(planSource + 64)}
	window := states(t)
	t.spare = []reg.Register{reg.K6, reg.K7}
	value := table(t)

	wrap := t.GP64()
	t.MOVQ(t.param("wrap"), wrap)
	t.KMOVQ(wrap, reg.K1)
	height := t.Load(t.Param("height"), t.GP64())
	second, upper := reg.K2, reg.K3 // sums that are other rows
	first, lower := reg.K4, reg.K5  // and those that are not
	mask := t.GP32()
	for i, k := range []reg.Register{second, upper} {
		t.MOVL(operand.Mem{Base: height, Disp: heightMasks + 4*i}, mask)
		t.KMOVW(mask, k)
	}
	t.KNOTW(second, first)
	t.KNOTW(upper, lower)

	rate, half, back := t.Load(t.Param("rate"), t.GP64()), t.GP64(), t.GP64()
	t.MOVQ(rate, half)
	t.SHRQ(operand.Imm(1), half)
	t.MOVQ(half, back)
	t.SUBQ(rate, back)
	tiles, x := t.Load(t.Param("tiles"), t.GP64()), t.Load(t.Param("codes"), t.GP64())
	scales, totals := t.Load(t.Param("scales"), t.GP64()), t.Load(t.Param("totals"), t.GP64())
	quad1, quad2, advance := t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(operand.Mem{Base: height, Disp: heightQuad1}, quad1)
	t.MOVQ(operand.Mem{Base: height, Disp: heightQuad2}, quad2)
	t.MOVQ(operand.Mem{Base: height, Disp: heightAdvance}, advance)
	sums := t.Load(t.Param("sums"), t.GP64())
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
	third, x1 := t.GP64(), t.GP64()
	t.LEAQ(operand.Mem{Base: tiles, Index: rate, Scale: 1}, third)
	t.LEAQ(operand.Mem{Base: x, Index: quad1, Scale: 1}, x1)
	at := []operand.Mem{{Base: tiles}, {Base: tiles, Index: half, Scale: 1}, {Base: third}, {Base: third, Index: half, Scale: 1}}
	activations := []operand.Mem{{Base: x}, {Base: x1}, {Base: x, Index: quad2, Scale: 1}, {Base: x1, Index: quad2, Scale: 1}}
	t.PREFETCHT0(operand.Mem{Base: tiles, Disp: trellisAhead})
	t.PREFETCHT0(operand.Mem{Base: tiles, Disp: trellisAhead + 64})
	for g := range 4 {
		source := t.ZMM()
		if g < 3 {
			t.VPERMB(at[g], t.source[g%2], source)
		} else { // the ring goes on with the tile's first bytes
			t.VMOVDQU64(at[g], source)
			t.VMOVDQU8(operand.Mem{Base: tiles, Index: back, Scale: 1}, reg.K1, source)
			t.VPERMB(source, t.source[1], source)
		}
		t.VPDPBUSD_BCST(activations[g], value(window(source, g%2)), acc[g])
	}
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
	t.DECQ(t.param("blocks"))
	t.JNZ(operand.LabelRef("block"))
	end := t.Load(t.Param("sums"), t.GP64())
	for i := range total {
		t.VMOVUPS(total[i], operand.Mem{Base: end, Disp: 64 * i})
	}
	t.VZEROUPPER()
	t.RET()
}

// trellisAhead is how many bytes before their use tiles are fetched.
const trellisAhead = 1024

// byteWindows are states of up to 8 bits.
func byteWindows(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	shifts := [2]reg.VecVirtual{t.vector(planLower), t.vector(planLower + 64)}
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		t.VPMULTISHIFTQB(source, shifts[odd], source)
		return source
	}
}

// linear is an index of 8 bits, each the parity of some bits of 16.
func linear(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	lower := [2]reg.VecVirtual{t.vector(planLower), t.vector(planLower + 64)}
	upper := [2]reg.VecVirtual{t.vector(planUpper), t.vector(planUpper + 64)}
	var matrix [2]reg.VecVirtual
	for i := range matrix {
		matrix[i] = t.ZMM()
		t.VPBROADCASTQ(operand.Mem{Base: t.plan, Disp: planLinear + 8*i}, matrix[i])
	}
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		low := t.ZMM()
		t.VPMULTISHIFTQB(source, lower[odd], low)
		t.VPMULTISHIFTQB(source, upper[odd], source)
		t.VGF2P8AFFINEQB(operand.Imm(0), matrix[0], low, low)
		t.VGF2P8AFFINEQB(operand.Imm(0), matrix[1], source, source)
		t.VPXORD(low, source, source)
		return source
	}
}

// hash is the upper byte of s·(s+c).
func hash(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	even := [2]reg.VecVirtual{t.vector(planEven), t.vector(planEven + 64)}
	odds := [2]reg.VecVirtual{t.vector(planOdd), t.vector(planOdd + 64)}
	c, upper := t.ZMM(), word(t.Context, 64, 0xff00ff00)
	t.VPBROADCASTW(operand.Mem{Base: t.plan, Disp: planHash}, c)
	product := func(s reg.VecVirtual) {
		sum := t.ZMM()
		t.VPADDW(c, s, sum)
		t.VPMULLW(sum, s, s)
	}
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		low := t.ZMM()
		t.VPMULTISHIFTQB(source, even[odd], low)
		t.VPMULTISHIFTQB(source, odds[odd], source)
		product(low)
		product(source)
		t.VPSRLW(operand.Imm(8), low, low)
		t.VPTERNLOGD(operand.Imm(or3), source, upper, low)
		return low
	}
}

// table7 looks up the lower 7 bits.
func table7(t *tileProduct) func(index reg.VecVirtual) reg.VecVirtual {
	low, high := t.vector(planTable), t.vector(planTable+64)
	return func(index reg.VecVirtual) reg.VecVirtual {
		t.VPERMI2B(high, low, index)
		return index
	}
}

// table8 looks up 8 bits in four quarters.
func table8(t *tileProduct) func(index reg.VecVirtual) reg.VecVirtual {
	var quarter [4]reg.VecVirtual
	for i := range quarter {
		quarter[i] = t.vector(planTable + 64*i)
	}
	return func(index reg.VecVirtual) reg.VecVirtual {
		bit6, bit7 := t.spare[0], t.spare[1]
		doubled, low, high := t.ZMM(), t.ZMM(), t.ZMM()
		t.VPMOVB2M(index, bit7)
		t.VPADDB(index, index, doubled)
		t.VPMOVB2M(doubled, bit6)
		t.VPERMB(quarter[0], index, low)
		t.VPERMB(quarter[2], index, high)
		t.VPERMB(quarter[1], index, bit6, low)
		t.VPERMB(quarter[3], index, bit6, high)
		t.VMOVDQU8(high, bit7, low)
		return low
	}
}
