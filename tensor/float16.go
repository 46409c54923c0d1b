package tensor

import "math"

// F16ToFloat32 converts an IEEE 754 binary16; every value is exact, and a NaN keeps its payload and becomes quiet.
func F16ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	magnitude := uint32(h & 0x7fff)
	switch {
	case magnitude > 0x7c00:
		return math.Float32frombits(sign | 0x7fc00000 | magnitude<<13)
	case magnitude == 0x7c00:
		return math.Float32frombits(sign | 0x7f800000)
	case magnitude >= 0x0400:
		return math.Float32frombits(sign | (magnitude<<13 + 112<<23))
	}
	v := float32(magnitude) * (1.0 / (1 << 24)) // subnormal: a multiple of 2^-24
	return math.Float32frombits(sign | math.Float32bits(v))
}

// Float32ToF16 rounds to the nearest binary16, ties to even; what is beyond 65504 by half a step or more becomes an infinity.
func Float32ToF16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00 | uint16(bits>>13&0x3ff)
	case bits >= 0x477ff000: // 65520 and above
		return sign | 0x7c00
	case bits >= 0x38800000: // 2^-14: normal
		bits -= 112 << 23
		return sign | uint16((bits+0xfff+bits>>13&1)>>13)
	case bits < 0x33000000: // below 2^-25
		return sign
	}
	// Subnormal: adding 0.5 puts the unit of the last place at 2^-24, so the hardware rounds to nearest even.
	return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-math.Float32bits(0.5))
}

// BF16ToFloat32 converts a bfloat16, which is the upper half of a float32.
func BF16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Float32ToBF16 rounds to the nearest bfloat16, ties to even; a NaN stays one and becomes quiet.
func Float32ToBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x0040
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
