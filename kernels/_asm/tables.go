package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tables emits products of rows of codes that count in tables of 16-bit integers with int8 activations, and numbers looked up.
func tables(c *build.Context) {
	data := map[string]operand.Mem{}
	for _, vnni := range []bool{false, true} {
		for width := 2; width <= 4; width++ {
			if vnni && width == 4 {
				arrange(c, data)
				tablesNibbles(c, data)
				continue
			}
			tablesRow(c, vnni, width, data)
		}
		lookUp(c, vnni)
	}
}

// tablesEmitter holds the registers of one product. Blocks are of 32 columns, as 32 words: with AVX-512 in one register, else in two.
type tablesEmitter struct {
	*matvecEmitter
	width         int
	table         []reg.VecVirtual // AVX-512: all numbers, as often as they fit; else their lower and their upper bytes
	shuffle, move operand.Op       // AVX-512: which bytes hold a word's code, and its lowest bit
	acc           [2][]reg.VecVirtual
}

// codeAt returns the byte and the bit of a column's code in its block.
func (t *tablesEmitter) codeAt(col int) (at, bit int) {
	if t.width == 4 {
		return col % 16, col / 16 * 4
	}
	return col * t.width / 8, col * t.width % 8
}

func tablesRow(c *build.Context, vnni bool, width int, data map[string]operand.Mem) {
	level := "256"
	if vnni {
		level = "512"
	}
	c.Function(fmt.Sprintf("tablesRow%dx%s", width, level))
	c.Pragma("noescape")
	c.SignatureExpr("func(codes *byte, entries *int16, scales *float32, ranges, pairs, last int, x *int8, xscales *float32) float32")
	c.Doc(fmt.Sprintf("tablesRow%dx%s returns the product of a row of codes of %d bits: ranges-1 of pairs pairs of blocks, and one of last.", width, level, width))
	t := &tablesEmitter{matvecEmitter: &matvecEmitter{Context: c, vnni: vnni, tables: data}, width: width}
	t.w, t.codes = c.Load(c.Param("codes"), c.GP64()), c.Load(c.Param("x"), c.GP64())
	entries, scales := c.Load(c.Param("entries"), c.GP64()), c.Load(c.Param("scales"), c.GP64())
	ranges, xscales := c.Load(c.Param("ranges"), c.GP64()), c.Load(c.Param("xscales"), c.GP64())
	if vnni {
		t.begin()
	}
	total := t.zeros()
	c.Label("range")
	pairs := c.Load(c.Param("last"), c.GP64())
	c.CMPQ(ranges, operand.Imm(1))
	c.JE(operand.LabelRef("pairs"))
	c.Load(c.Param("pairs"), pairs)
	c.Label("pairs")
	t.loadTable(entries)
	for i := range t.acc {
		t.acc[i] = t.zeros()
	}
	c.Label("pair")
	c.PREFETCHNTA(operand.Mem{Base: t.w, Disp: prefetchAhead})
	at := 1 // pairs at a time
	if width == 4 {
		at = 2
	}
	for pair := range at {
		if width == 4 {
			t.quarters(xscales, t.acc[0][pair])
		} else {
			for i := range t.acc {
				t.block(i, operand.Mem{Base: xscales, Disp: 4 * i})
			}
		}
		c.ADDQ(operand.U32(uint64(8*width)), t.w)
		c.ADDQ(operand.Imm(64), t.codes)
		c.ADDQ(operand.Imm(8), xscales)
	}
	c.SUBQ(operand.Imm(uint64(at)), pairs)
	c.JG(operand.LabelRef("pair"))
	for i, sum := range t.acc[0] {
		if width != 4 {
			c.VADDPS(t.acc[1][i], sum, sum)
		}
		scale := t.vector(vnni)
		c.VBROADCASTSS(operand.Mem{Base: scales}, scale)
		c.VFMADD231PS(scale, sum, total[i])
	}
	c.ADDQ(operand.U32(uint64(2<<width)), entries)
	c.ADDQ(operand.Imm(4), scales)
	c.DECQ(ranges)
	c.JNZ(operand.LabelRef("range"))
	t.finish(total)
}

// finish returns the sum of 16 lanes.
func (t *tablesEmitter) finish(total []reg.VecVirtual) {
	lower, upper := total[0].AsY().(reg.VecVirtual), t.YMM()
	if t.vnni {
		t.VEXTRACTF64X4(operand.Imm(1), total[0], upper)
	} else {
		upper = total[1]
	}
	t.VADDPS(upper, lower, lower)
	sum := horizontalSum(t.Context, lower)
	t.Store(sum, t.ReturnIndex(0))
	t.VZEROUPPER()
	t.RET()
}

func (t *tablesEmitter) begin() {
	t.shuffle = t.keep(t.spread(fmt.Sprintf("codeBytes%d", t.width), func(i int) int { return t.bytesOf(2*i) | t.bytesOf(2*i+1)<<16 }))
	t.move = t.keep(t.spread(fmt.Sprintf("codeBits%d", t.width), func(i int) int {
		_, first := t.codeAt(2 * i)
		_, second := t.codeAt(2*i + 1)
		return first | second<<16
	}))
}

// bytesOf returns the positions of the two bytes that make the word of a column's code.
func (t *tablesEmitter) bytesOf(col int) int {
	at, _ := t.codeAt(col)
	return at | (at+1)%16<<8
}

// zeros returns 16 lanes of zero.
func (t *tablesEmitter) zeros() []reg.VecVirtual {
	n := 2
	if t.vnni {
		n = 1
	}
	list := make([]reg.VecVirtual, n)
	for i := range list {
		list[i] = t.vector(t.vnni)
		t.VXORPS(list[i].AsY(), list[i].AsY(), list[i].AsY())
	}
	return list
}

// loadTable loads the table at entries.
func (t *tablesEmitter) loadTable(entries reg.Register) {
	at := operand.Mem{Base: entries}
	if t.vnni {
		z := t.ZMM()
		switch t.width {
		case 2:
			t.VPBROADCASTQ(at, z)
		case 3:
			t.VBROADCASTI32X4(at, z)
		case 4:
			t.VBROADCASTI64X4(at, z)
		}
		t.table = []reg.VecVirtual{z}
		return
	}
	first, second, low, high := t.XMM(), t.XMM(), t.YMM(), t.YMM()
	if t.width == 2 {
		t.VMOVQ(at, first)
	} else {
		t.VMOVDQU(at, first)
	}
	second = first
	if t.width == 4 {
		second = t.XMM()
		t.VMOVDQU(at.Offset(16), second)
	}
	mask, a, b := t.words32("lowBytes", 4, func(int) int { return 0x00ff00ff }), t.XMM(), t.XMM()
	t.VPAND(mask, first, a)
	t.VPAND(mask, second, b)
	t.VPACKUSWB(b, a, low.AsX())
	t.VPSRLW(operand.Imm(8), first, a)
	t.VPSRLW(operand.Imm(8), second, b)
	t.VPACKUSWB(b, a, high.AsX())
	t.VINSERTI128(operand.Imm(1), low.AsX(), low, low)
	t.VINSERTI128(operand.Imm(1), high.AsX(), high, high)
	t.table = []reg.VecVirtual{low, high}
}

// block adds block i of a pair, times the activations' scale.
func (t *tablesEmitter) block(i int, scale operand.Mem) {
	at := operand.Mem{Base: t.w, Disp: 4 * t.width * i}
	if t.vnni {
		words, x := t.ZMM(), t.ZMM()
		t.VBROADCASTI32X4(at, words)
		t.VPSHUFB(t.shuffle, words, words)
		t.VPSRLVW(t.move, words, words)
		t.VPERMW(t.table[0], words, words)
		t.VPMOVSXBW(operand.Mem{Base: t.codes, Disp: 32 * i}, x)
		t.VPMADDWD(x, words, words)
		t.VCVTDQ2PS(words, words)
		t.VFMADD231PS_BCST(scale, words, t.acc[i][0])
		return
	}
	codes, s := t.YMM(), t.YMM()
	t.VBROADCASTI128(at, codes)
	t.VBROADCASTSS(scale, s)
	for half := range 2 {
		words := t.halfSums(codes, i, half)
		t.VCVTDQ2PS(words, words)
		t.VFMADD231PS(s, words, t.acc[i][half])
	}
}

// quarters adds a pair of blocks of 4-bit codes: four columns j and j+4 of a block together to lane j of its half of acc.
func (t *tablesEmitter) quarters(scales reg.Register, acc reg.VecVirtual) {
	var sums [2]reg.VecVirtual
	for i := range sums {
		codes := t.YMM()
		t.VBROADCASTI128(operand.Mem{Base: t.w, Disp: 16 * i}, codes)
		sums[i] = t.halfSums(codes, i, 0)
		t.VPADDD(t.halfSums(codes, i, 1), sums[i], sums[i])
	}
	t.VPHADDD(sums[1], sums[0], sums[0]) // quarters 0 and 1 of both, then 2 and 3
	t.VPERMQ(operand.Imm(0xd8), sums[0], sums[0])
	t.VCVTDQ2PS(sums[0], sums[0])
	scale := t.YMM()
	t.VBROADCASTSD(operand.Mem{Base: scales}, scale)
	t.VPERMILPS(t.words32("pairOfScales", 8, func(i int) int { return i / 4 }), scale, scale)
	t.VFMADD231PS(scale, sums[0], acc)
}

// halfSums returns the products of two columns each of half a block.
func (t *tablesEmitter) halfSums(codes reg.VecVirtual, i, half int) reg.VecVirtual {
	words, upper := t.halfBlock(codes, half), t.YMM()
	t.VPSLLW(operand.Imm(8), words, upper)
	t.VPOR(t.words32("noUpperBytes", 8, func(int) int { return 0x80008000 }), words, words)
	t.VPOR(t.words32("noLowerBytes", 8, func(int) int { return 0x00800080 }), upper, upper)
	t.VPSHUFB(words, t.table[0], words)
	t.VPSHUFB(upper, t.table[1], upper)
	t.VPOR(upper, words, words)
	t.VPMOVSXBW(operand.Mem{Base: t.codes, Disp: 32*i + 16*half}, upper)
	t.VPMADDWD(upper, words, words)
	return words
}

// halfBlock returns the codes of 16 columns as words.
func (t *tablesEmitter) halfBlock(codes reg.VecVirtual, half int) reg.VecVirtual {
	words := t.YMM()
	t.VPSHUFB(t.words32(fmt.Sprintf("codeBytesOf%dHalf%d", t.width, half), 8, func(i int) int {
		return t.bytesOf(16*half+2*i) | t.bytesOf(16*half+2*i+1)<<16
	}), codes, words)
	factor := func(col int) int {
		_, bit := t.codeAt(col)
		return 1 << (16 - t.width - bit)
	}
	t.VPMULLW(t.words32(fmt.Sprintf("codeFactors%dHalf%d", t.width, half), 8, func(i int) int {
		return factor(16*half+2*i) | factor(16*half+2*i+1)<<16
	}), words, words)
	t.VPSRLW(operand.Imm(uint64(16-t.width)), words, words)
	return words
}

// lookUp emits 16 numbers of a table at a time.
func lookUp(c *build.Context, wide bool) {
	name := "lookUpx256"
	if wide {
		name = "lookUpx512"
	}
	c.Function(name)
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, codes *byte, table *float32, blocks int)")
	c.Doc(name + " sets 16 numbers a block to those of the table that the codes, below 16, count.")
	dst, codes := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("codes"), c.GP64())
	table, blocks := c.Load(c.Param("table"), c.GP64()), c.Load(c.Param("blocks"), c.GP64())
	at := operand.Mem{Base: table}
	if wide {
		all, at16 := c.ZMM(), c.ZMM()
		c.VMOVUPS(at, all)
		c.Label("block")
		c.VPMOVZXBD(operand.Mem{Base: codes}, at16)
		c.VPERMPS(all, at16, at16)
		c.VMOVUPS(at16, operand.Mem{Base: dst})
	} else {
		low, high := c.YMM(), c.YMM()
		c.VMOVUPS(at, low)
		c.VMOVUPS(at.Offset(32), high)
		c.Label("block")
		for half := range 2 {
			index, first, second := c.YMM(), c.YMM(), c.YMM()
			c.VPMOVZXBD(operand.Mem{Base: codes, Disp: 8 * half}, index)
			c.VPERMPS(low, index, first)
			c.VPERMPS(high, index, second)
			c.VPSLLD(operand.Imm(28), index, index)
			c.VBLENDVPS(index, second, first, first)
			c.VMOVUPS(first, operand.Mem{Base: dst, Disp: 32 * half})
		}
	}
	c.ADDQ(operand.Imm(64), dst)
	c.ADDQ(operand.Imm(16), codes)
	c.DECQ(blocks)
	c.JNZ(operand.LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}
