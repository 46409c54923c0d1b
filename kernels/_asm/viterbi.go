package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// viterbiStep's fields, 8 bytes each, as viterbiStep of package kernels has them.
const (
	stepKind = 8 * iota
	stepRow
	stepIn
	stepGroups
	stepBlocksIn
	stepBits
	stepUp
	stepBytes
)

// viterbi emits passes of the Viterbi search. A block is 32 nodes: one vector of 512 bits, or two of 256.
func viterbi(c *build.Context) {
	for _, wide := range []bool{false, true} {
		(&trellisPass{Context: c, wide: wide, halves: 2}).emit()
	}
	trellisTrace(c)
}

type trellisPass struct {
	*build.Context
	wide   bool
	halves int // vectors of a block
	name   string

	steps       operand.Mem      // done
	step        reg.GPVirtual    // what the pass is told of this one
	x           []reg.VecVirtual // targets
	order       reg.VecVirtual   // where the cost of each lane lies among those loaded
	unreachable reg.VecVirtual
	best        []reg.VecVirtual // of a block
}

func (p *trellisPass) vec() reg.VecVirtual {
	if p.wide {
		return p.ZMM()
	}
	return p.YMM()
}

func (p *trellisPass) label(name string) string { return p.name + name }

func (p *trellisPass) ref(name string) operand.LabelRef { return operand.LabelRef(p.label(name)) }

func (p *trellisPass) param(name string) operand.Mem {
	r, err := p.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return r.Addr
}

// argument loads an argument; they change in memory, as registers are few.
func (p *trellisPass) argument(name string) reg.GPVirtual {
	r := p.GP64()
	p.MOVQ(p.param(name), r)
	return r
}

func (p *trellisPass) emit() {
	p.name = "viterbix256"
	if p.wide {
		p.name, p.halves = "viterbix512", 1
	}
	p.Function(p.name)
	p.Pragma("noescape")
	p.SignatureExpr("func(x *int16, table *int16, plane int, step *int, n int, cost *uint16, next *uint16, back *uint32, stride int) (total uint32)")
	p.Doc(p.name+" runs n steps of all paths: from cost to next, back to cost and so on. It writes the decisions of a step to back, stride bytes",
		"apart, and returns what was subtracted from all costs.")
	p.steps = p.AllocLocal(8)
	p.MOVQ(operand.U32(0), p.steps)
	total, err := p.ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	p.MOVL(operand.U32(0), total.Addr)
	p.unreachable, p.order = p.vec(), p.vec()
	p.x = []reg.VecVirtual{p.vec(), p.vec()}
	p.best = []reg.VecVirtual{p.vec(), p.vec()}[:p.halves]
	if p.wide {
		p.VPTERNLOGD(operand.Imm(0xff), p.unreachable, p.unreachable, p.unreachable)
	} else {
		p.VPCMPEQW(p.unreachable, p.unreachable, p.unreachable)
	}
	p.Label(p.label("step"))
	p.step = p.argument("step")
	p.normalize(total.Addr)
	p.dispatch()
	p.Label(p.label("done"))
	cost, next, n := p.argument("cost"), p.argument("next"), p.argument("stride")
	p.MOVQ(cost, p.param("next"))
	p.MOVQ(next, p.param("cost"))
	p.ADDQ(n, p.param("back"))
	p.ADDQ(operand.U32(stepBytes), p.param("step"))
	p.MOVQ(p.steps, n)
	p.INCQ(n)
	p.MOVQ(n, p.steps)
	p.CMPQ(n, p.param("n"))
	p.JNE(p.ref("step"))
	p.VZEROUPPER()
	p.RET()
}

// normalize subtracts the least cost from all that are reachable, before each eighth step.
func (p *trellisPass) normalize(total operand.Mem) {
	p.TESTQ(operand.U32(7), p.steps)
	p.JNZ(p.ref("normal"))
	cost, at, end := p.argument("cost"), p.GP64(), p.GP64()
	p.MOVQ(p.field(stepBlocksIn), end)
	p.SHLQ(operand.Imm(6), end)
	p.ADDQ(cost, end)
	p.MOVQ(cost, at)
	least := p.vec()
	p.move(p.unreachable, least)
	size := int(least.Size())
	p.Label(p.label("least"))
	for i := range p.halves {
		p.VPMINUW(operand.Mem{Base: at, Disp: size * i}, least, least)
	}
	p.ADDQ(operand.Imm(64), at)
	p.CMPQ(at, end)
	p.JNE(p.ref("least"))
	if p.wide {
		h := p.YMM()
		p.VEXTRACTI64X4(operand.Imm(1), least, h)
		p.VPMINUW(h, least.AsY(), least.AsY())
	}
	h := p.XMM()
	p.VEXTRACTI128(operand.Imm(1), least.AsY(), h)
	p.VPMINUW(h, least.AsX(), least.AsX())
	p.VPHMINPOSUW(least.AsX(), least.AsX())
	m := p.GP32()
	p.VMOVD(least.AsX(), m)
	p.MOVWLZX(m.As16(), m)
	p.CMPL(m, operand.U32(0xffff))
	p.JEQ(p.ref("normal"))
	p.ADDL(m, total)
	p.VPBROADCASTW(least.AsX(), least)
	p.MOVQ(cost, at)
	p.Label(p.label("subtract"))
	for i := range p.halves {
		v, mem := p.vec(), operand.Mem{Base: at, Disp: size * i}
		p.load(mem, v)
		if p.wide {
			k := p.K()
			p.VPCMPW(operand.Imm(4), p.unreachable, v, k)
			p.VPSUBW(least, v, k, v)
		} else {
			same := p.YMM()
			p.VPCMPEQW(p.unreachable, v, same)
			p.VPANDN(least, same, same)
			p.VPSUBW(same, v, v)
		}
		p.load(v, mem)
	}
	p.ADDQ(operand.Imm(64), at)
	p.CMPQ(at, end)
	p.JNE(p.ref("subtract"))
	p.Label(p.label("normal"))
}

func (p *trellisPass) field(offset int) operand.Mem {
	return operand.Mem{Base: p.step, Disp: offset}
}

func (p *trellisPass) load(src, dst operand.Op) {
	if p.wide {
		p.VMOVDQU16(src, dst)
	} else {
		p.VMOVDQU(src, dst)
	}
}

func (p *trellisPass) move(src, dst reg.VecVirtual) {
	if p.wide {
		p.VMOVDQA64(src, dst)
	} else {
		p.VMOVDQA(src, dst)
	}
}

// dispatch loads the targets and jumps to the code for the kind of step.
func (p *trellisPass) dispatch() {
	x := p.argument("x")
	p.VPBROADCASTW(operand.Mem{Base: x}, p.x[0])
	orders, kin := p.GP64(), p.GP64()
	p.LEAQ(p.orders(), orders)
	p.MOVQ(p.field(stepIn), kin)
	p.SHLQ(operand.Imm(6), kin)
	p.load(operand.Mem{Base: orders, Index: kin, Scale: 1}, p.order)
	var kinds []trellisBlocks
	for values := 1; values <= 2; values++ {
		for _, k := range []trellisBlocks{{rows: 4}, {rows: 2}, {rows: 4, afterOne: true}, {rows: 2, afterOne: true}, {}, {doublings: 1}, {doublings: 2}, {doublings: 3}, {doublings: 4}} {
			k.trellisPass, k.values, k.prefix = p, values, fmt.Sprintf("kind%d", len(kinds))
			kinds = append(kinds, k)
		}
	}
	kind := p.GP64()
	p.MOVQ(p.field(stepKind), kind)
	p.ADDQ(operand.Imm(2), x)
	p.CMPQ(kind, operand.Imm(9))
	p.JL(p.ref("one"))
	p.VPBROADCASTW(operand.Mem{Base: x}, p.x[1])
	p.ADDQ(operand.Imm(2), x)
	p.Label(p.label("one"))
	p.MOVQ(x, p.param("x"))
	for i, k := range kinds {
		p.CMPQ(kind, operand.Imm(uint64(i)))
		p.JEQ(p.ref(k.prefix))
	}
	p.UD2()
	for _, k := range kinds {
		p.Label(p.label(k.prefix))
		if k.rows > 0 {
			k.unrolled()
		} else {
			k.general()
		}
		p.JMP(p.ref("done"))
	}
}

// orders is, for every number of bits of the step before, the order in which costs become those of lanes: lane i has the cost
// i>>bits after the first. It is of words after one bit with 512 bits, else of bytes in groups of eight lanes.
func (p *trellisPass) orders() operand.Mem {
	data := p.StaticGlobal(p.name + "Orders")
	p.DataAttributes(rodata)
	for bits := range 11 {
		for i := 0; i < 32; i += 2 {
			lane := i % (32 / p.halves)
			a, b := lane>>bits, (lane+1)>>bits
			if !p.wide || bits > 1 {
				a, b = 2*a|(2*a+1)<<8, 2*b|(2*b+1)<<8
			}
			p.AppendDatum(operand.U32(uint32(a | b<<16)))
		}
	}
	return data
}
