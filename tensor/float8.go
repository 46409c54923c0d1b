package tensor

import "math"

// smallFloat describes a float of at most 8 bits: sign, exponent, mantissa from the top.
//
// Sources: OCP 8-bit Floating Point Specification 1.0 (E4M3, E5M2); OCP Microscaling Formats 1.0 (E8M0, FP6, FP4);
// Noune et al. 2022, arXiv 2206.02915 (FNUZ: no infinity, no negative zero, whose code is the only NaN).
type smallFloat struct {
	exponent, mantissa uint // bits
	bias               int
	ieee               bool // the top exponent holds infinities and NaNs
	topNaN             bool // all ones is NaN, there is no infinity
	fnuz               bool // 0x80 is NaN
}

func smallFloatOf(d DType) smallFloat {
	switch d {
	case F4:
		return smallFloat{exponent: 2, mantissa: 1, bias: 1}
	case F6E2M3:
		return smallFloat{exponent: 2, mantissa: 3, bias: 1}
	case F6E3M2:
		return smallFloat{exponent: 3, mantissa: 2, bias: 3}
	case F8E5M2:
		return smallFloat{exponent: 5, mantissa: 2, bias: 15, ieee: true}
	case F8E4M3:
		return smallFloat{exponent: 4, mantissa: 3, bias: 7, topNaN: true}
	case F8E4M3FNUZ:
		return smallFloat{exponent: 4, mantissa: 3, bias: 8, fnuz: true}
	case F8E5M2FNUZ:
		return smallFloat{exponent: 5, mantissa: 2, bias: 16, fnuz: true}
	}
	panic("tensor: not a small float")
}

func (f smallFloat) value(code uint8) float32 {
	bits := f.exponent + f.mantissa
	sign := code >> bits & 1
	magnitude := int(code) & (1<<bits - 1)
	e, m := magnitude>>f.mantissa, magnitude&(1<<f.mantissa-1)
	nan := float32(math.NaN())
	switch {
	case f.fnuz && sign == 1 && magnitude == 0,
		f.topNaN && magnitude == 1<<bits-1,
		f.ieee && e == 1<<f.exponent-1 && m != 0:
		return nan
	}
	var v float64
	switch {
	case f.ieee && e == 1<<f.exponent-1:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(float64(m), 1-f.bias-int(f.mantissa))
	default:
		v = math.Ldexp(float64(m+1<<f.mantissa), e-f.bias-int(f.mantissa))
	}
	if sign == 1 {
		v = -v
		if v == 0 {
			v = math.Copysign(0, -1)
		}
	}
	return float32(v)
}

// float8Tables holds the values of all 256 codes of each one-byte float.
var float8Tables = [...][256]float32{
	F8E5M2: buildFloat8(F8E5M2), F8E4M3: buildFloat8(F8E4M3), F8E8M0: buildE8M0(),
	F8E4M3FNUZ: buildFloat8(F8E4M3FNUZ), F8E5M2FNUZ: buildFloat8(F8E5M2FNUZ),
}

func float8Table(d DType) *[256]float32 { return &float8Tables[d] }

func buildFloat8(d DType) (t [256]float32) {
	f := smallFloatOf(d)
	for c := range t {
		t[c] = f.value(uint8(c))
	}
	return t
}

// buildE8M0 returns 2^(code-127); the code 255 is NaN.
func buildE8M0() (t [256]float32) {
	for c := range t {
		t[c] = float32(math.Ldexp(1, c-127))
	}
	t[255] = float32(math.NaN())
	return t
}

// decodePacked decodes F4 (two codes a byte, the first in the low half) and F6 (four codes in three bytes, little endian).
func decodePacked(dst []float32, d DType, data []byte, first int) {
	f := smallFloatOf(d)
	var table [64]float32
	width := 1 + f.exponent + f.mantissa
	for c := range 1 << width {
		table[c] = f.value(uint8(c))
	}
	for i := range dst {
		bit := uint(first+i) * width
		v := uint(data[bit/8]) >> (bit % 8)
		if bit%8+width > 8 {
			v |= uint(data[bit/8+1]) << (8 - bit%8)
		}
		dst[i] = table[v&(1<<width-1)]
	}
}
