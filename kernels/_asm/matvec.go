package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// prefetchAhead is how many bytes before their use weights are asked for: about 100 ns at the speed of memory.
// They are asked for as used once (NTA), which keeps them from being written to outer caches when they leave the innermost.
const prefetchAhead = 2048

const rodata = attr.RODATA | attr.NOPTR

// matvec emits products of packed rows with int8 activations. All go in steps of 256 columns, which are 8 blocks of 32. A
// step makes 8 scales (weight's times activation's) at once; then each block's integer dot product, 4 or 8 partial sums,
// is converted and multiplied by its scale. Both levels add the same numbers in the same order.
func matvec(c *build.Context) {
	tables := map[string]operand.Mem{}
	for _, vnni := range []bool{false, true} {
		for _, f := range []func(*build.Context, bool) format{q80, q4K, int8Groups} {
			matvecFunction(c, vnni, tables, f)
		}
		for _, f := range []nibbleFormat{q40(vnni), int4Groups()} {
			nibbleFunction(c, vnni, tables, f)
		}
	}
}

// format is what differs between layouts of packed rows.
type format struct {
	name      string
	doc       string
	stepBytes int                    // of packed weights in 256 columns
	grouped   bool                   // scales are apart from the codes
	offset    int                    // codes are stored plus this number
	begin     func(m *matvecEmitter) // loads constants
	// scales returns the 8 scales of the step, and if the format has them the 8 minima.
	scales func(m *matvecEmitter) (scale, minimum reg.VecVirtual)
	// accumulate adds the step's products to acc: four vectors of 8 lanes, or with wide two of 16, which are the four in pairs.
	accumulate func(m *matvecEmitter, scale reg.VecVirtual, acc []reg.VecVirtual)
	wide       bool
	// step, if not nil, does what scales and accumulate do, for blocks that are not of 32.
	step func(m *matvecEmitter, scales reg.Register, acc []reg.VecVirtual)
}

// matvecEmitter holds the registers of one function.
type matvecEmitter struct {
	*build.Context
	vnni         bool
	w, codes     reg.Register           // at the current step
	groupScales  reg.Register           // at the current step, if they are apart
	row          operand.Mem            // the current row at the current step, if there are several
	scaleRow     operand.Mem            // its scales, if they are apart
	nibble       reg.VecVirtual         // 0x0f in each byte
	ones, zero   reg.VecVirtual         // 1 in each word; 0
	words, quads reg.VecVirtual         // positions of scales and of codes in 128 bytes
	spreads      []reg.VecVirtual       // positions of scales in the 8 of a step
	pairs        [2]operand.Mem         // the same for two blocks of four
	groupSpread  reg.Register           // kernels.groupSpread.table: which group scales to load, and which of them each block has
	tables       map[string]operand.Mem // read-only data of the file by name
	kept         int                    // constants in registers from Z31 down
}

func matvecFunction(c *build.Context, vnni bool, tables map[string]operand.Mem, describe func(*build.Context, bool) format) {
	f := describe(c, vnni)
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
	m := &matvecEmitter{Context: c, vnni: vnni, tables: tables}
	y := c.Load(c.Param("y"), c.GP64())
	w := c.Load(c.Param("w"), c.GP64())
	rows := c.Load(c.Param("rows"), c.GP64())
	if f.grouped {
		m.groupSpread = c.Load(c.Param("spread"), c.GP64())
	}
	f.begin(m)
	if !vnni {
		m.ones = word(c, 32, 0x00010001)
	}
	var groupPtr reg.Register
	if f.grouped {
		groupPtr = c.Load(c.Param("wscales"), c.GP64())
	}
	c.Label("row")
	m.w, m.codes = c.GP64(), c.GP64()
	c.MOVQ(w, m.w)
	c.Load(c.Param("codes"), m.codes)
	scales := c.Load(c.Param("scales"), c.GP64())
	sums := c.Load(c.Param("sums"), c.GP64())
	steps := c.Load(c.Param("steps"), c.GP64())
	if f.grouped {
		m.groupScales = c.GP64()
		c.MOVQ(groupPtr, m.groupScales)
	}
	var acc []reg.VecVirtual
	for len(acc) < 4 && !f.wide || len(acc) < 2 {
		acc = append(acc, m.vector(f.wide))
	}
	correction := c.YMM()
	for _, x := range append([]reg.VecVirtual{correction}, acc...) {
		c.VXORPS(x.AsY(), x.AsY(), x.AsY())
	}
	c.Label("step")
	for line := 0; line < f.stepBytes; line += 64 {
		c.PREFETCHNTA(operand.Mem{Base: m.w, Disp: prefetchAhead + line})
	}
	if f.step != nil {
		f.step(m, scales, acc)
	} else {
		f.accumulate(m, m.scaleStep(f, scales, sums, correction), acc)
	}
	c.ADDQ(operand.U32(uint64(f.stepBytes)), m.w)
	c.ADDQ(operand.U32(256), m.codes)
	c.ADDQ(operand.Imm(32), scales)
	c.ADDQ(operand.Imm(32), sums)
	if f.grouped {
		c.ADDQ(c.Load(c.Param("scaleStep"), c.GP64()), m.groupScales)
	}
	c.DECQ(steps)
	c.JNZ(operand.LabelRef("step"))
	half := len(acc) / 2
	for i := range half {
		c.VADDPS(acc[i+half], acc[i], acc[i])
	}
	if f.wide {
		acc[1] = c.YMM()
		c.VEXTRACTF64X4(operand.Imm(1), acc[0], acc[1])
		acc[0] = acc[0].AsY().(reg.VecVirtual)
	}
	c.VADDPS(acc[1], acc[0], acc[0])
	c.VADDPS(correction, acc[0], acc[0])
	sum := horizontalSum(c, acc[0])
	c.VADDSS(operand.Mem{Base: y}, sum, sum)
	c.VMOVSS(sum, operand.Mem{Base: y})
	c.ADDQ(operand.Imm(4), y)
	c.ADDQ(c.Load(c.Param("rowBytes"), c.GP64()), w)
	if f.grouped {
		c.ADDQ(c.Load(c.Param("scaleStride"), c.GP64()), groupPtr)
	}
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// scaleStep returns the 8 products of scales, zero where the activation's scale is zero whatever the weight's bytes
// say (padding may be read from the next row), and adds the step's share of offsets and minima to correction.
func (m *matvecEmitter) scaleStep(f format, scales, sums reg.Register, correction reg.VecVirtual) reg.VecVirtual {
	weight, minimum := f.scales(m)
	activation := m.YMM()
	m.VMOVUPS(operand.Mem{Base: scales}, activation)
	valid := m.YMM()
	m.VXORPS(valid, valid, valid)
	const notEqual = 4
	m.VCMPPS(operand.Imm(notEqual), activation, valid, valid)
	m.VMULPS(activation, weight, weight)
	m.VANDPS(valid, weight, weight)
	if f.offset == 0 && minimum == nil {
		return weight
	}
	sum := m.YMM()
	m.VCVTDQ2PS(operand.Mem{Base: sums}, sum)
	if minimum != nil {
		m.VMULPS(activation, minimum, minimum)
		m.VANDPS(valid, minimum, minimum)
		m.VFNMADD231PS(sum, minimum, correction)
		return weight
	}
	m.VMULPS(weight, sum, sum)
	offset := m.words32(fmt.Sprintf("minus%d", f.offset), 8, func(int) int { return int(math.Float32bits(float32(-f.offset))) })
	m.VFMADD231PS(offset, sum, correction)
	return weight
}

// horizontalSum adds the 8 lanes of v.
func horizontalSum(c *build.Context, v reg.VecVirtual) reg.VecVirtual {
	h, s := c.XMM(), v.AsX()
	c.VEXTRACTF128(operand.Imm(1), v, h)
	c.VADDPS(h, s, s)
	c.VMOVHLPS(s, s, h)
	c.VADDPS(h, s, s)
	c.VMOVSHDUP(s, h)
	c.VADDSS(h, s, s)
	return s.(reg.VecVirtual)
}

func (m *matvecEmitter) vector(wide bool) reg.VecVirtual {
	if wide {
		return m.ZMM()
	}
	return m.YMM()
}

// weights returns the memory disp bytes from the start of the current step of the current row.
func (m *matvecEmitter) weights(disp int) operand.Mem {
	if m.row.Base == nil {
		return operand.Mem{Base: m.w, Disp: disp}
	}
	return m.row.Offset(disp)
}

// halfScales gathers 8 binary16 scales, stride bytes apart, and converts them.
func (m *matvecEmitter) halfScales(stride int) reg.VecVirtual {
	lo, hi, out := m.XMM(), m.XMM(), m.YMM()
	m.VMOVD(m.weights(0), lo)
	m.VMOVD(m.weights(4*stride), hi)
	for i := 1; i < 4; i++ {
		m.VPINSRW(operand.Imm(uint64(i)), m.weights(i*stride), lo, lo)
		m.VPINSRW(operand.Imm(uint64(i)), m.weights((4+i)*stride), hi, hi)
	}
	m.VPUNPCKLQDQ(hi, lo, lo)
	m.VCVTPH2PS(lo, out)
	return out
}
