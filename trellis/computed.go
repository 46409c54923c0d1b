package trellis

import "pith/kernels"

// The codes of other tools are functions of the state as those tools read it, most significant bit first; ours is the same
// window read from its other end. So their tiles become ours by reversing the order of bits, and nothing is quantized again.

// computed makes the values of a code that is a function of 16-bit states.
func computed(f func(s uint32) float32) func(*Code, Rate) []float32 {
	return func(c *Code, _ Rate) []float32 {
		values := make([]float32, 1<<c.bits)
		for s := range values {
			values[s] = f(Reverse(uint32(s), c.bits))
		}
		return values
	}
}

// byteSum returns the sum of the four bytes of x.
func byteSum(x uint32) int { return int(x&255) + int(x>>8&255) + int(x>>16&255) + int(x>>24) }

// oneMAD is QTIP's 1MAD (arXiv 2406.11235, section 3.1): the byte sum of a linear congruential step, standardised.
func oneMAD(s uint32) float32 { return float32(byteSum(s*34038481+76625530)-510) / 147.800537109375 }

// halves returns the sum, rounded to binary16, of the two binary16 numbers that make up the 3INST word of x.
func halves(x uint32) float32 {
	u := x&0x8fff8fff ^ 0x3b603b60
	sum := kernels.F16ToFloat32(uint16(u)) + kernels.F16ToFloat32(uint16(u>>16))
	return kernels.F16ToFloat32(kernels.Float32ToF16(sum))
}

// threeInst is QTIP's 3INST; mcg is EXL3's, with an odd multiplier that keeps every bit of the state.
func threeInst(s uint32) float32 { return halves(s*89226354 + 64248484) }
func mcg(s uint32) float32       { return halves(s * 0xcbac1fed) }

// mul1 is EXL3's byte-sum code: (n − 510)/147.7 as a fused multiply-add of binary16 numbers gives it.
func mul1(s uint32) float32 {
	const scale, offset = 0x1eee, 0xc931 // binary16: 1/147.7…, −10.38…
	n := float64(byteSum(s*0x83dcd12d) + 1024)
	v := float64(n*float64(kernels.F16ToFloat32(scale))) + float64(kernels.F16ToFloat32(offset)) // exact in float64
	return kernels.F16ToFloat32(kernels.Float32ToF16(float32(v)))
}

// HybIndex returns which of 2^q pairs state s, its first bit the highest, has in HYB, and whether the first of the pair changes sign:
// bits 15−q … 14 and bit 15 of s·(s + 1) (QTIP's source, quantlut_sym).
func HybIndex(s uint32, q int) (pair int, flip bool) {
	h := s * (s + 1)
	return int(h >> (15 - q) & (1<<q - 1)), h&0x8000 != 0
}

// hybValues is QTIP's HYB: a hash of the state chooses one of 2^Q pairs, and its bit 15 the sign of the first of the pair.
func hybValues(c *Code, r Rate) []float32 {
	q, table := hybTable(r)
	values := make([]float32, 2<<c.bits)
	for s := range uint32(1 << c.bits) {
		i, flip := HybIndex(Reverse(s, c.bits), q)
		x, y := table[2*i], table[2*i+1]
		if flip {
			x = -x
		}
		values[2*s], values[2*s+1] = x, y
	}
	return values
}

// HybTableBits returns the sizes of tables that there are, as binary logarithms.
func HybTableBits() []int { return []int{9, 10, 11} }

// hybTable returns Q and the 2^Q pairs at rate r, those that Q-Palette (arXiv 2509.20214) takes: 9 up to 4 bits, 10 at 4.5, 11 at 5.
func hybTable(r Rate) (q int, table []float32) {
	file, err := tableFiles.ReadFile("tables/hyb.bin")
	if err != nil {
		panic("trellis: tables are not those of this version")
	}
	at := 0
	for i, bits := range HybTableBits() {
		if i == max(0, (int(r)-64+7)/8) {
			q = bits
			break
		}
		at += 4 << bits
	}
	table = make([]float32, 2<<q)
	kernels.F16ToF32(table, file[at:at+4<<q])
	return q, table
}

// The scales that serve a unit Gaussian best shrink as the rate grows: a code's few largest values have to reach further out. They
// were searched in steps of 0.05.
func between(r Rate, at [8]float32) float32 {
	i := min(int(r)/16-1, 6)
	f := float32(int(r)-16*(i+1)) / 16
	return at[i] + f*(at[i+1]-at[i])
}

// byteGain is that of byte sums, whose values have a standard deviation of 1; halfGain that of sums of two halves, which have 1.2437.
func byteGain(_ *Code, r Rate) float32 {
	return 1 / between(r, [8]float32{1, 1, 0.9, 0.9, 0.9, 0.8, 0.8, 0.75})
}

func halfGain(c *Code, r Rate) float32 { return byteGain(c, r) / 1.24371 }

// hybSpread is the standard deviation that HYB's pairs are scaled to, √(15/16) (QTIP, arXiv 2406.11235).
const hybSpread = 0.96824584

func hybGain(_ *Code, r Rate) float32 {
	return 1 / (hybSpread * between(r, [8]float32{1.1, 1, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8}))
}
