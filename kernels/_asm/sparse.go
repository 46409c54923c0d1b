package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sparse emits products of rows of which some elements are stored with int8 activations, in steps of 256 columns as matvec does, and
// the expansion of such rows.
func sparse(c *build.Context) {
	tables := map[string]operand.Mem{}
	pairsArrange(c)
	for _, vnni := range []bool{false, true} {
		pairsFunction(c, vnni, tables)
	}
	maskedArrange512(c)
	for _, narrow := range []bool{false, true} {
		maskedFunction512(c, tables, narrow)
	}
	maskedFloats512(c, "F32", 4, nil)
	maskedFloats512(c, "F16", 2, func(half reg.VecVirtual) reg.VecVirtual {
		v := c.ZMM()
		c.VCVTPH2PS(half, v)
		return v
	})
	maskedFloats512(c, "BF16", 2, func(half reg.VecVirtual) reg.VecVirtual {
		v := c.ZMM()
		c.VPMOVZXWD(half, v)
		c.VPSLLD(operand.Imm(16), v, v)
		return v
	})
	dotColumns512(c)
	scaleColumns512(c)
	unpackBits512(c)
	expandFloats256(c)
	expandBytes256(c)
	expandFloats512(c)
	expandBytes512(c)
}

// pairsArrange emits the order of activations that pairsFunction reads: of each 256, the j-th 16 of the four 64 side by side.
func pairsArrange(c *build.Context) {
	c.Function("pairsArrange")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *byte, x *int8, steps int)")
	c.Doc("pairsArrange copies columns 64u+16j … of each 256 to 64j+16u.")
	dst, x, steps := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("x"), c.GP64()), c.Load(c.Param("steps"), c.GP64())
	c.Label("step")
	for i := range 16 {
		v := c.XMM()
		c.VMOVDQU(operand.Mem{Base: x, Disp: 64*(i%4) + 16*(i/4)}, v)
		c.VMOVDQU(v, operand.Mem{Base: dst, Disp: 16 * i})
	}
	c.ADDQ(operand.U32(256), x)
	c.ADDQ(operand.U32(256), dst)
	c.DECQ(steps)
	c.JNZ(operand.LabelRef("step"))
	c.RET()
}

// sparseRows is the frame of a product: a loop over rows around a loop over steps, and what both need.
type sparseRows struct {
	*matvecEmitter
	scales reg.Register // of the step's activations
	eights reg.VecVirtual
}

// rowLoop emits the loops. start sets pointers to a row, step does a step; strides names parameters that point to the row, and what
// moves them to the next one. These lie in memory, which saves registers.
func (s *sparseRows) rowLoop(acc []reg.VecVirtual, start, step func(), strides map[string]operand.Op, order ...string) {
	s.groupScales, s.codes, s.scales = s.GP64(), s.GP64(), s.GP64()
	s.Label("row")
	start()
	s.Load(s.Param("wscales"), s.groupScales)
	s.Load(s.Param("x"), s.codes)
	s.Load(s.Param("scales"), s.scales)
	steps := s.Load(s.Param("steps"), s.GP64())
	for _, a := range acc {
		s.VXORPS(a.AsY(), a.AsY(), a.AsY())
	}
	s.Label("step")
	step()
	s.ADDQ(operand.Imm(32), s.scales)
	s.ADDQ(s.address("scaleStep"), s.groupScales)
	s.DECQ(steps)
	s.JNZ(operand.LabelRef("step"))
	half := len(acc) / 2
	sums := make([]reg.VecVirtual, half)
	for i := range half {
		sums[i] = s.vector(s.vnni)
		s.VADDPS(acc[i+half], acc[i], sums[i])
	}
	if s.vnni {
		upper := s.YMM()
		s.VEXTRACTF64X4(operand.Imm(1), sums[0], upper)
		sums = []reg.VecVirtual{sums[0].AsY().(reg.VecVirtual), upper}
	}
	s.VADDPS(sums[1], sums[0], sums[0])
	sum, y := horizontalSum(s.Context, sums[0]), s.Load(s.Param("y"), s.GP64())
	s.VADDSS(operand.Mem{Base: y}, sum, sum)
	s.VMOVSS(sum, operand.Mem{Base: y})
	for _, name := range append([]string{"y", "wscales"}, order...) {
		at := s.Load(s.Param(name), s.GP64())
		switch name {
		case "y":
			s.ADDQ(operand.Imm(4), at)
		case "wscales":
			s.ADDQ(s.address("scaleStride"), at)
		default:
			s.ADDQ(strides[name], at)
		}
		s.Store(at, s.Param(name))
	}
	rows := s.Load(s.Param("rows"), s.GP64())
	s.DECQ(rows)
	s.Store(rows, s.Param("rows"))
	s.JNZ(operand.LabelRef("row"))
	s.VZEROUPPER()
	s.RET()
}

// address returns where a parameter lies.
func (s *sparseRows) address(param string) operand.Mem {
	basic, err := s.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	return basic.Addr
}

// stepScales returns the products of the step's 8 scales, 0 where the activation's is whatever the weight's bytes say.
func (s *sparseRows) stepScales() reg.VecVirtual {
	weight, a := s.groupedScales(), s.YMM()
	s.VMOVUPS(operand.Mem{Base: s.scales}, a)
	const notEqual = 4
	if s.vnni {
		valid := s.K()
		s.VCMPPS(operand.Imm(notEqual), a, s.zero.AsY(), valid)
		s.VMULPS_Z(a, weight, valid, weight)
		return weight
	}
	valid := s.YMM()
	s.VXORPS(valid, valid, valid)
	s.VCMPPS(operand.Imm(notEqual), a, valid, valid)
	s.VMULPS(a, weight, weight)
	s.VANDPS(valid, weight, weight)
	return weight
}

func (s *sparseRows) accumulators(n int) []reg.VecVirtual {
	acc := make([]reg.VecVirtual, n)
	for i := range acc {
		acc[i] = s.vector(s.vnni)
	}
	return acc
}

// groupArgs are what all products are told of scales.
const groupArgs = "wscales *byte, scaleStride, scaleStep int, spread *[32]byte"

// pairsFunction emits the product of rows in units of 64 columns (kernels/sparse_pairs.go). An index selects one of four activations, so
// that those of 8 slots lie in 16 bytes: a shuffle of activations brings them to the codes, which need no expansion.
func pairsFunction(c *build.Context, vnni bool, tables map[string]operand.Mem) {
	level := "256"
	if vnni {
		level = "512"
	}
	c.Function("matvecPairsx" + level)
	c.Pragma("noescape")
	c.SignatureExpr("func(y *float32, codes, indices *byte, codeBytes, indexBytes, rows, steps int, x *byte, scales *float32, " + groupArgs + ")")
	c.Doc("matvecPairs adds rows of 4-bit codes, two of each four columns, scaled by groups, times activations in pairsArrange's order to y.")
	p := &pairsEmitter{sparseRows: sparseRows{matvecEmitter: &matvecEmitter{Context: c, vnni: vnni, tables: tables}}}
	p.groupSpread = c.Load(c.Param("spread"), c.GP64())
	p.constants()
	p.w, p.index = c.GP64(), c.GP64()
	n := 4
	if vnni {
		n = 2
	}
	acc := p.accumulators(n)
	p.rowLoop(acc, func() {
		c.Load(c.Param("codes"), p.w)
		c.Load(c.Param("indices"), p.index)
	}, func() {
		c.PREFETCHNTA(operand.Mem{Base: p.w, Disp: prefetchAhead})
		c.PREFETCHNTA(operand.Mem{Base: p.index, Disp: prefetchAhead / 2})
		scale := p.stepScales()
		for half := range 64 / p.width() {
			p.unitBlocks(half, scale, acc)
		}
		c.ADDQ(operand.Imm(64), p.w)
		c.ADDQ(operand.Imm(32), p.index)
		c.ADDQ(operand.U32(256), p.codes)
	}, map[string]operand.Op{"codes": p.address("codeBytes"), "indices": p.address("indexBytes")}, "codes", "indices")
}

// pairsEmitter holds the registers of one function.
type pairsEmitter struct {
	sparseRows
	index         reg.Register
	threes, twice reg.VecVirtual // 3 in each byte; of units' indices to lanes
	base          operand.Op     // the columns of fours: in registers, or as all that follow in memory without AVX-512
	shift         [2]operand.Op
	blockScale    [2]reg.VecVirtual
	upper         reg.Register // the upper 8 bytes of each lane
}

func (p *pairsEmitter) constants() {
	w := p.width()
	load := func(name string, n int, at func(int) int) operand.Op {
		if !p.vnni {
			return p.words32(name, n, at)
		}
		v := p.ZMM()
		p.VMOVDQU64(p.words32(name, n, at), v)
		return v
	}
	p.nibble, p.eights, p.threes = word(p.Context, w, 0x0f0f0f0f), word(p.Context, w, 0x08080808), word(p.Context, w, 0x03030303)
	p.base = load("pairsBase", 16, func(i int) int { return []int{0x04040000, 0x0c0c0808}[i%2] })
	for h := range 2 {
		p.shift[h] = load(fmt.Sprintf("pairsShift%d", h), 16, func(i int) int { return []int{4 * h, 0, 4*h + 2, 0}[i%4] })
	}
	if !p.vnni {
		p.ones = word(p.Context, 32, 0x00010001)
		return
	}
	for h := range 2 {
		p.blockScale[h] = p.spread(fmt.Sprintf("pairsScale%d", h), func(lane int) int { return lane/4*2 + h })
	}
	p.twice = load("pairsTwice", 16, func(i int) int { return []int{i / 4, 0}[i%2] }).(reg.VecVirtual)
	p.zero = p.ZMM()
	p.VPXORD(p.zero, p.zero, p.zero)
	g, k := p.GP64(), p.K()
	p.MOVQ(operand.U64(0xff00ff00ff00ff00), g)
	p.KMOVQ(g, k)
	p.upper = k
}

// unitBlocks adds the blocks of four units, or without AVX-512 of two: those of low nibbles, then of high ones.
func (p *pairsEmitter) unitBlocks(half int, scale reg.VecVirtual, acc []reg.VecVirtual) {
	low, high, index := p.vector(p.vnni), p.vector(p.vnni), p.vector(p.vnni)
	if p.vnni {
		p.VMOVDQU64(operand.Mem{Base: p.w}, low)
		p.VMOVDQU(operand.Mem{Base: p.index}, index.AsY())
		p.VPERMQ(index, p.twice, index)
		p.VPSRLW(operand.Imm(4), low, high)
		p.VPANDD(p.nibble, low, low)
		p.VPANDD(p.nibble, high, high)
	} else {
		p.VMOVDQU(operand.Mem{Base: p.w, Disp: 32 * half}, low)
		p.VMOVDQU(operand.Mem{Base: p.index, Disp: 16 * half}, index.AsX())
		p.VPERMQ(operand.Imm(0x50), index, index)
		p.VPSRLW(operand.Imm(4), low, high)
		p.VPAND(p.nibble, low, low)
		p.VPAND(p.nibble, high, high)
	}
	for h, codes := range []reg.VecVirtual{low, high} {
		at, x := p.vector(p.vnni), p.vector(p.vnni)
		p.VPSRLVQ(p.shift[h], index, at)
		from := operand.Mem{Base: p.codes, Disp: 128*h + 32*half}
		sum, minus, s := p.vector(p.vnni), p.vector(p.vnni), p.vector(p.vnni)
		if p.vnni {
			const andOr = 0xea
			p.VPTERNLOGD(operand.Imm(andOr), p.base, p.threes, at)
			second := p.ZMM()
			p.VMOVDQU64(from, x)
			p.VMOVDQU64(from.Offset(64), second)
			p.VPSHUFB(at, x, x)
			p.VPSHUFB(at, second, p.upper, x)
			p.VMOVDQA64(p.zero, sum)
			p.VMOVDQA64(p.zero, minus)
			p.VPDPBUSD(x, codes, sum)
			p.VPDPBUSD(x, p.eights, minus)
			p.VPSUBD(minus, sum, sum)
			p.VCVTDQ2PS(sum, sum)
			p.VPERMPS(scale.AsZ(), p.blockScale[h], s)
			p.VFMADD231PS(s, sum, acc[h])
			continue
		}
		p.VPAND(p.threes, at, at)
		p.VPOR(p.base, at, at)
		second := p.YMM()
		p.VMOVDQU(from, x)
		p.VMOVDQU(from.Offset(64), second)
		p.VPSHUFB(at, x, x)
		p.VPSHUFB(at, second, second)
		p.VPBLENDD(operand.Imm(0xcc), second, x, x)
		p.VPMADDUBSW(x, codes, sum)
		p.VPMADDUBSW(x, p.eights, minus)
		p.VPSUBW(minus, sum, sum)
		p.VPMADDWD(p.ones, sum, sum)
		p.VCVTDQ2PS(sum, sum)
		p.VMOVDQU(p.words32(fmt.Sprintf("pairsScale%d%d", half, h), 8, func(lane int) int { return 4*half + lane/4*2 + h }), s)
		p.VPERMPS(scale, s, s)
		p.VFMADD231PS(s, sum, acc[2*h+half])
	}
}
