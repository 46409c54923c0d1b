package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// prefetchAhead is how many bytes before their use weights are asked for: about 100 ns at the speed of memory.
const prefetchAhead = 2048

const rodata = attr.RODATA | attr.NOPTR

// matvec emits products of packed rows with int8 activations. All go in steps of 256 columns, which are 8 blocks of 32. A
// step makes 8 scales (weight's times activation's) at once; then each block's integer dot product, 8 partial sums of 4
// products, is converted and multiplied by its scale. Both levels add the same numbers in the same order.
func matvec(c *build.Context) {
	for _, vnni := range []bool{false, true} {
		for _, f := range []func(*build.Context, bool) format{q80, q40, q4K, int8Groups, int4Groups} {
			matvecFunction(c, vnni, f)
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
	// dot returns block b's 8 partial sums.
	dot func(m *matvecEmitter, b int) reg.VecVirtual
}

// matvecEmitter holds the registers of one function.
type matvecEmitter struct {
	*build.Context
	vnni          bool
	w, codes      reg.Register   // at the current step
	groupScales   reg.Register   // at the current step, if they are apart
	nibble, shift reg.VecVirtual // 0x0f in each byte; 4 in the upper two quadwords
	ones, zero    reg.VecVirtual // 1 in each word; 0
	offset        reg.VecVirtual // -format.offset as float32
	words         reg.VecVirtual // positions of scales in 128 bytes
	loadMask, dup reg.VecVirtual // which group scales to load, and which of them each block has
	highNibbles   reg.VecVirtual // of the strip being worked on
}

func matvecFunction(c *build.Context, vnni bool, describe func(*build.Context, bool) format) {
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
	m := &matvecEmitter{Context: c, vnni: vnni}
	y := c.Load(c.Param("y"), c.GP64())
	w := c.Load(c.Param("w"), c.GP64())
	rows := c.Load(c.Param("rows"), c.GP64())
	local := c.AllocLocal(32)
	if f.grouped {
		m.loadMask, m.dup = c.XMM(), c.XMM()
		spread := c.Load(c.Param("spread"), c.GP64())
		c.VMOVDQU(operand.Mem{Base: spread}, m.loadMask)
		c.VMOVDQU(operand.Mem{Base: spread, Disp: 16}, m.dup)
	}
	f.begin(m)
	if f.offset != 0 {
		m.offset = word(c, 32, math.Float32bits(float32(-f.offset)))
	}
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
	acc := [4]reg.VecVirtual{c.YMM(), c.YMM(), c.YMM(), c.YMM()}
	correction := c.YMM()
	for _, x := range []reg.VecVirtual{acc[0], acc[1], acc[2], acc[3], correction} {
		c.VXORPS(x, x, x)
	}
	c.Label("step")
	for line := 0; line < f.stepBytes; line += 64 {
		c.PREFETCHT0(operand.Mem{Base: m.w, Disp: prefetchAhead + line})
	}
	m.scaleStep(f, local, scales, sums, correction)
	for b := range 8 {
		isum, scale := f.dot(m, b), c.YMM()
		c.VCVTDQ2PS(isum, isum)
		c.VBROADCASTSS(local.Offset(4*b), scale)
		c.VFMADD231PS(scale, isum, acc[b%4])
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
	c.VADDPS(acc[2], acc[0], acc[0])
	c.VADDPS(acc[3], acc[1], acc[1])
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

// scaleStep leaves the 8 products of scales in local, zero where the activation's scale is zero whatever the weight's bytes
// say (padding may be read from the next row), and adds the step's share of offsets and minima to correction.
func (m *matvecEmitter) scaleStep(f format, local operand.Mem, scales, sums reg.Register, correction reg.VecVirtual) {
	weight, minimum := f.scales(m)
	activation := m.YMM()
	m.VMOVUPS(operand.Mem{Base: scales}, activation)
	valid := m.YMM()
	m.VXORPS(valid, valid, valid)
	const notEqual = 4
	m.VCMPPS(operand.Imm(notEqual), activation, valid, valid)
	m.VMULPS(activation, weight, weight)
	m.VANDPS(valid, weight, weight)
	m.VMOVUPS(weight, local)
	if f.offset == 0 && minimum == nil {
		return
	}
	sum := m.YMM()
	m.VCVTDQ2PS(operand.Mem{Base: sums}, sum)
	if minimum != nil {
		m.VMULPS(activation, minimum, minimum)
		m.VANDPS(valid, minimum, minimum)
		m.VFNMADD231PS(sum, minimum, correction)
		return
	}
	m.VMULPS(weight, sum, sum)
	m.VFMADD231PS(m.offset, sum, correction)
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

// unsignedDot returns 8 partial sums of codes (unsigned) times block b of the activations. Codes of up to 7 bits.
func (m *matvecEmitter) unsignedDot(codes reg.VecVirtual, b int) reg.VecVirtual {
	x := operand.Mem{Base: m.codes, Disp: 32 * b}
	sum := m.YMM()
	if m.vnni {
		m.VPXOR(sum, sum, sum)
		m.VPDPBUSD(x, codes, sum)
		return sum
	}
	m.VPMADDUBSW(x, codes, sum)
	m.VPMADDWD(m.ones, sum, sum)
	return sum
}

// signedDot returns 8 partial sums of 32 int8 weights at mem times block b of the activations, which are never -128: the
// weight's sign is moved to the activation.
func (m *matvecEmitter) signedDot(mem operand.Mem, b int) reg.VecVirtual {
	x := operand.Mem{Base: m.codes, Disp: 32 * b}
	w, magnitude, signed, sum := m.YMM(), m.YMM(), m.YMM(), m.YMM()
	if m.vnni {
		negative := m.K()
		m.VMOVDQU(mem, w)
		m.VPMOVB2M(w, negative)
		m.VPABSB(w, magnitude)
		m.VMOVDQU(x, signed)
		m.VPSUBB(signed, m.zero, negative, signed)
		m.VPXOR(sum, sum, sum)
		m.VPDPBUSD(signed, magnitude, sum)
		return sum
	}
	m.VMOVDQU(mem, w)
	m.VPABSB(w, magnitude)
	m.VMOVDQU(x, signed)
	m.VPSIGNB(w, signed, signed)
	m.VPMADDUBSW(signed, magnitude, sum)
	m.VPMADDWD(m.ones, sum, sum)
	return sum
}

// halfScales gathers 8 binary16 scales, stride bytes apart, and converts them.
func (m *matvecEmitter) halfScales(stride int) reg.VecVirtual {
	lo, hi, out := m.XMM(), m.XMM(), m.YMM()
	m.VMOVD(operand.Mem{Base: m.w}, lo)
	m.VMOVD(operand.Mem{Base: m.w, Disp: 4 * stride}, hi)
	for i := 1; i < 4; i++ {
		m.VPINSRW(operand.Imm(uint64(i)), operand.Mem{Base: m.w, Disp: i * stride}, lo, lo)
		m.VPINSRW(operand.Imm(uint64(i)), operand.Mem{Base: m.w, Disp: (4 + i) * stride}, hi, hi)
	}
	m.VPUNPCKLQDQ(hi, lo, lo)
	m.VCVTPH2PS(lo, out)
	return out
}
