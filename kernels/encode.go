package kernels

import "math"

// Extremes returns the largest value of x and the largest negated value (0 if none is positive, negative) and whether all are
// finite. Bit patterns of floats are ordered like integers: positive ones signed, negative ones unsigned.
func Extremes(x []float32) (positive, negative float32, finite bool) { return extremes(chosen, x) }

func extremes(l level, x []float32) (positive, negative float32, finite bool) {
	var p int32
	var n uint32
	if blocks := len(x) / 32; l != generic && blocks > 0 {
		p, n = extremeBits(x, blocks)
		x = x[32*blocks:]
	}
	for _, v := range x {
		b := math.Float32bits(v)
		p, n = max(p, int32(b)), max(n, b)
	}
	if n < 1<<31 {
		n = 0
	}
	n &= 1<<31 - 1
	return math.Float32frombits(uint32(p)), math.Float32frombits(n), p < infinity && n < infinity
}

// MinMax returns the smallest and the largest of x, which is not empty and holds no NaN. Which zero it is does not matter.
func MinMax(x []float32) (lo, hi float32) { return minMax(chosen, x) }

func minMax(l level, x []float32) (lo, hi float32) {
	lo, hi = x[0], x[0]
	if blocks := len(x) / 32; l != generic && blocks > 0 {
		lo, hi = minMaxBlocks(x, blocks)
		x = x[32*blocks:]
	}
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// RoundMagic is 1.5·2²³: adding it to a float32 of magnitude below 2²² leaves the nearest integer (ties to even) in the low
// bits. RoundMagicBits is its bit pattern, so that of the integer 0.
const (
	RoundMagic     = 12582912
	RoundMagicBits = 0x4b400000
)

// Rounding says how numbers become codes: code = clamp(bits(v·Inverse + RoundMagic), Low, High) - Base, where product and sum are
// each rounded to float32. Low, High and Base are bit patterns around RoundMagicBits. For finite v the bits are monotonic, so
// clamping them clamps v.
type Rounding struct {
	Inverse         float32
	Low, High, Base int32
}

// Code returns the code of v.
func (r *Rounding) Code(v float32) int32 {
	b := int32(math.Float32bits(float32(v*r.Inverse) + RoundMagic))
	return min(max(b, r.Low), r.High) - r.Base
}

// RoundCodes writes the lowest 8 bits of each code of x to dst. Every level writes the same bytes.
func RoundCodes(dst []byte, x []float32, r Rounding) { roundCodes(chosen, dst, x, &r) }

func roundCodes(l level, dst []byte, x []float32, r *Rounding) {
	dst = dst[:len(x)]
	if blocks := len(x) / 32; l != generic && blocks > 0 {
		roundCodeBlocks(dst, x, r, blocks)
		dst, x = dst[32*blocks:], x[32*blocks:]
	}
	for i, v := range x {
		dst[i] = byte(r.Code(v))
	}
}

// RoundNibbles rounds len(x)/32 blocks of 32 to codes of 4 bits and packs each into 16 bytes: byte j is code j, and code j+16
// above it. Codes must lie in 0…15. Every level writes the same bytes.
func RoundNibbles(dst []byte, x []float32, r Rounding) { roundNibbles(chosen, dst, x, &r) }

func roundNibbles(l level, dst []byte, x []float32, r *Rounding) {
	blocks := len(x) / 32
	dst = dst[:16*blocks]
	if blocks == 0 {
		return
	}
	if l != generic {
		roundNibbleBlocks(dst, x, r, blocks)
		return
	}
	for b := range blocks {
		d, lo, hi := (*[16]byte)(dst[16*b:]), (*[16]float32)(x[32*b:]), (*[16]float32)(x[32*b+16:])
		for j := range d {
			d[j] = byte(r.Code(lo[j]) | r.Code(hi[j])<<4)
		}
	}
}
