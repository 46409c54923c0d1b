package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// trellisBlocks emits the step of one kind: for each block of 32 nodes, the least cost over the rows of states that lead to
// them, and by which row it comes. State d<<(L-k)|e lies in row d, which is contiguous in the table.
type trellisBlocks struct {
	*trellisPass
	rows              int // all of them in one turn; 0: any number
	values, doublings int
	afterOne          bool // the step before is of one bit, so that a block follows 16 nodes, not 8 at most
	prefix            string
}

// metric returns the cost of one vector of states of which the values are at tables.
func (b *trellisBlocks) metric(tables [2]operand.Mem) reg.VecVirtual {
	var sum reg.VecVirtual
	for i := range b.values {
		d := b.vec()
		b.VPSUBSW(tables[i], b.x[i], d)
		for range b.doublings {
			b.VPADDSW(d, d, d)
		}
		b.VPMULHRSW(d, d, d)
		if i == 0 {
			sum = d
		} else {
			b.VPADDUSW(d, sum, sum)
		}
	}
	return sum
}

// arrive adds to metric the costs of the nodes before, which begin at from.
func (b *trellisBlocks) arrive(from operand.Mem, metric reg.VecVirtual) {
	in := b.vec()
	switch {
	case !b.wide:
		b.VBROADCASTI128(from, in)
		b.VPSHUFB(b.order, in, in)
	case b.afterOne:
		b.VBROADCASTI64X4(from, in)
		b.VPERMW(in, b.order, in)
	default:
		b.VBROADCASTI32X4(from, in)
		b.VPSHUFB(b.order, in, in)
	}
	b.VPADDUSW(in, metric, metric)
}

// decide keeps in best what is less of best and costs, and writes where costs were less. With 256 bits, the middle two
// of four groups of 8 lanes change places in what is written.
func (b *trellisBlocks) decide(costs []reg.VecVirtual, mask operand.Mem) {
	if b.wide {
		k := b.K()
		b.VPCMPUW(operand.Imm(1), b.best[0], costs[0], k)
		if b.afterOne {
			b.VPBLENDMW(costs[0], b.best[0], k, b.best[0])
		} else {
			b.VPMINUW(costs[0], b.best[0], b.best[0])
		}
		b.KMOVD(k, mask)
		return
	}
	for i, c := range costs {
		b.VPMINUW(c, b.best[i], c)
		b.VPCMPEQW(c, b.best[i], b.best[i])
		b.best[i], costs[i] = c, b.best[i]
	}
	b.VPACKSSWB(costs[1], costs[0], costs[0])
	m := b.GP32()
	b.VPMOVMSKB(costs[0], m)
	b.NOTL(m)
	b.MOVL(m, mask)
}

// unrolled emits a step of few rows, all of them in one turn.
func (b *trellisBlocks) unrolled() {
	rows := b.rows
	row, row3, hop, hop3 := b.GP64(), b.GP64(), b.GP64(), b.GP64()
	kin := reg.RCX
	b.MOVQ(b.field(stepRow), row)
	b.LEAQ(operand.Mem{Base: row, Index: row, Scale: 2}, row3)
	b.MOVQ(b.field(stepIn), kin)
	b.MOVQ(row, hop)
	b.SHRQ(reg.CL, hop)
	b.LEAQ(operand.Mem{Base: hop, Index: hop, Scale: 2}, hop3)
	advance := b.GP64()
	b.MOVQ(operand.U32(64/uint32(b.halves)), advance)
	b.SHRQ(reg.CL, advance)
	t, in, out, mask := b.argument("table"), b.argument("cost"), b.argument("next"), b.argument("back")
	end := b.GP64()
	b.LEAQ(operand.Mem{Base: out, Index: row, Scale: 1}, end)
	second := t
	if b.values == 2 {
		second = b.argument("plane")
		b.ADDQ(t, second)
	}
	size := int(b.order.Size())
	at := func(base, one, three reg.GPVirtual, i, disp int) operand.Mem {
		m := operand.Mem{Base: base, Disp: disp}
		switch i {
		case 1:
			m.Index, m.Scale = one, 1
		case 2:
			m.Index, m.Scale = one, 2
		case 3:
			m.Index, m.Scale = three, 1
		}
		return m
	}
	best := append([]reg.VecVirtual(nil), b.best...)
	b.Label(b.label(b.prefix + "block"))
	b.PREFETCHT0(operand.Mem{Base: out, Disp: 1024})
	b.PREFETCHT0(operand.Mem{Base: mask, Disp: 512})
	costs := make([][]reg.VecVirtual, rows)
	for h := range b.halves {
		for i := range rows {
			m := b.metric([2]operand.Mem{at(t, row, row3, i, size*h), at(second, row, row3, i, size*h)})
			b.arrive(at(in, hop, hop3, i, 0), m)
			costs[i] = append(costs[i], m)
		}
		b.ADDQ(advance, in)
	}
	b.best = costs[0]
	for i := 1; i < rows; i++ {
		b.decide(costs[i], operand.Mem{Base: mask, Disp: 4 * i})
	}
	for h := range b.halves {
		b.load(b.best[h], operand.Mem{Base: out, Disp: size * h})
	}
	b.best = best
	b.ADDQ(operand.Imm(64), t)
	if b.values == 2 {
		b.ADDQ(operand.Imm(64), second)
	}
	b.ADDQ(operand.Imm(64), out)
	b.ADDQ(operand.Imm(uint64(4*rows)), mask)
	b.CMPQ(out, end)
	b.JNE(b.ref(b.prefix + "block"))
}

// general emits a step of any number of rows, four a turn. The nodes before a row need not be a whole number of them after those
// before the row above.
func (b *trellisBlocks) general() {
	t, row, half, second := b.GP64(), b.GP64(), b.GP64(), b.GP64()
	state, groups, block, kin := b.GP64(), b.GP64(), b.GP64(), reg.RCX
	cost, mask := b.argument("cost"), b.argument("back")
	b.MOVQ(b.field(stepRow), row)
	b.MOVQ(row, half)
	b.SHRQ(operand.Imm(1), half)
	b.MOVQ(b.field(stepIn), kin)
	b.XORQ(block, block)
	size := int(b.order.Size())
	b.Label(b.label(b.prefix + "block"))
	for _, v := range b.best {
		b.move(b.unreachable, v)
	}
	b.MOVQ(b.field(stepGroups), groups)
	b.MOVQ(b.param("table"), t)
	b.ADDQ(block, t)
	if b.values == 2 {
		b.MOVQ(t, second)
		b.ADDQ(b.param("plane"), second)
	}
	out := b.argument("next")
	b.PREFETCHT0(operand.Mem{Base: out, Index: block, Scale: 1, Disp: 256})
	b.PREFETCHT0(operand.Mem{Base: mask, Disp: 256})
	b.MOVQ(block, state)
	b.SHRQ(operand.Imm(1), state)
	b.Label(b.label(b.prefix + "rows"))
	for i := range 4 {
		costs := make([]reg.VecVirtual, b.halves)
		for h := range costs {
			costs[h] = b.metric([2]operand.Mem{{Base: t, Disp: size * h}, {Base: second, Disp: size * h}})
			node := b.GP64()
			if h == 0 {
				b.MOVQ(state, node)
			} else {
				b.LEAQ(operand.Mem{Base: state, Disp: 16 * h}, node)
			}
			b.SHRQ(reg.CL, node)
			b.arrive(operand.Mem{Base: cost, Index: node, Scale: 2}, costs[h])
		}
		best := append([]reg.VecVirtual(nil), b.best...)
		b.decide(costs, operand.Mem{Base: mask, Disp: 4 * i})
		if !b.wide {
			for h, v := range b.best {
				b.move(v, best[h])
			}
			b.best = best
		}
		b.ADDQ(row, t)
		if b.values == 2 {
			b.ADDQ(row, second)
		}
		b.ADDQ(half, state)
	}
	b.ADDQ(operand.Imm(16), mask)
	b.DECQ(groups)
	b.JNZ(b.ref(b.prefix + "rows"))
	b.MOVQ(b.param("next"), out)
	for h := range b.halves {
		b.load(b.best[h], operand.Mem{Base: out, Index: block, Scale: 1, Disp: size * h})
	}
	b.ADDQ(operand.Imm(64), block)
	b.CMPQ(block, row)
	b.JNE(b.ref(b.prefix + "block"))
}
