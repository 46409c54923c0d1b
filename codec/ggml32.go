package codec

import (
	"encoding/binary"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// blockFormats lists GGML's block types that Pith reads and writes.
func blockFormats() []*blockFormat {
	return []*blockFormat{&q8_0, &q4_0, &q4_1, &q5_0, &q5_1, &q2K, &q3K, &q4K, &q5K, &q6K}
}

// The types of 32 columns: a scale d, for _1 also a minimum m (both F16), for 5 bits the fifth bits qh, then the codes.
var (
	q8_0 = blockFormat{dt: tensor.Q8_0, sub: 32, levels: 256, bias: 128, lowest: 1,
		affines: scaleOnly, unpack: unpackBytes, pack: packBytes, fit: fitQ8, search: searchSymmetric, kernel: kernels.MatVecQ8_0}
	q4_0 = blockFormat{dt: tensor.Q4_0, sub: 32, levels: 16, bias: 8, nibbles: 2,
		affines: scaleOnly, unpack: unpack4At(2), pack: pack4At(2), fit: fitSigned(16), search: searchSymmetric, kernel: kernels.MatVecQ4_0}
	q4_1 = blockFormat{dt: tensor.Q4_1, sub: 32, levels: 16, nibbles: 4,
		affines: scaleAndMin, unpack: unpack4At(4), pack: pack4At(4), fit: fitRange(16), search: searchAffine, kernel: kernels.MatVecQ4_1}
	q5_0 = blockFormat{dt: tensor.Q5_0, sub: 32, levels: 32, bias: 16,
		affines: scaleOnly, unpack: unpack5At(2), pack: pack5At(2), fit: fitSigned(32), search: searchSymmetric, kernel: kernels.MatVecQ5_0}
	q5_1 = blockFormat{dt: tensor.Q5_1, sub: 32, levels: 32,
		affines: scaleAndMin, unpack: unpack5At(4), pack: pack5At(4), fit: fitRange(32), search: searchAffine, kernel: kernels.MatVecQ5_1}
)

func scaleOnly(block []byte, a *[maxSubBlocks]affine) { a[0] = affine{f16At(block, 0), 0} }

func scaleAndMin(block []byte, a *[maxSubBlocks]affine) {
	a[0] = affine{f16At(block, 0), f16At(block, 2)}
}

func unpackBytes(codes *[maxBlock]uint8, block []byte) {
	for i, b := range block[2:34] {
		codes[i] = b ^ 0x80
	}
}

func packBytes(block []byte, codes *[maxBlock]uint8) {
	for i, q := range codes[:32] {
		block[2+i] = q ^ 0x80
	}
}

func unpack4At(at int) func(*[maxBlock]uint8, []byte) {
	return func(codes *[maxBlock]uint8, block []byte) {
		for j, b := range block[at : at+16] {
			codes[j], codes[j+16] = b&15, b>>4
		}
	}
}

func pack4At(at int) func([]byte, *[maxBlock]uint8) {
	return func(block []byte, codes *[maxBlock]uint8) {
		for j := range 16 {
			block[at+j] = codes[j] | codes[j+16]<<4
		}
	}
}

func unpack5At(at int) func(*[maxBlock]uint8, []byte) {
	return func(codes *[maxBlock]uint8, block []byte) {
		high := binary.LittleEndian.Uint32(block[at:])
		for j := 0; j < 16; j += 8 {
			v := binary.LittleEndian.Uint64(block[at+4+j:])
			binary.LittleEndian.PutUint64(codes[j:], v&(15*each8)|bitsToBytes(uint8(high>>j))<<4)
			binary.LittleEndian.PutUint64(codes[j+16:], v>>4&(15*each8)|bitsToBytes(uint8(high>>(j+16)))<<4)
		}
	}
}

// bitsToBytes returns bit i of b in byte i.
func bitsToBytes(b uint8) uint64 {
	const bitOfItsByte = 0x8040201008040201
	return (uint64(b)*each8&bitOfItsByte + 127*each8) >> 7 & each8
}

func pack5At(at int) func([]byte, *[maxBlock]uint8) {
	return func(block []byte, codes *[maxBlock]uint8) {
		var high uint32
		for j := range 16 {
			lo, hi := codes[j], codes[j+16]
			block[at+4+j] = lo&15 | hi<<4
			high |= uint32(lo>>4)<<j | uint32(hi>>4)<<(j+16)
		}
		binary.LittleEndian.PutUint32(block[at:], high)
	}
}

// fitSigned is q4_0's and q5_0's rule: d = w/-(levels/2) for the first w of largest magnitude, code = ⌊w/d + levels/2 + ½⌋, where
// 1/d is that of the unrounded d.
func fitSigned(levels int) func([]byte, []float32, *[maxSubBlocks]rounding, *[maxBlock]uint8) {
	half := float32(levels / 2)
	return func(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
		pos, neg, _ := kernels.Extremes(x)
		extreme := pos
		if neg > pos {
			extreme = -neg
		} else if neg == pos { // the first of the two decides
			extreme = signedExtreme(x)
		}
		d := extreme / -half
		putF16(block, 0, d)
		rules[0] = rounding{kind: truncated, b: inverse(d), half: half + 0.5}
		keepIfInfinite(rules, codes, 0)
	}
}

// fitRange is q4_1's and q5_1's rule: d = (max - min)/(levels - 1), m = min, code = ⌊(w - min)/d + ½⌋ of the unrounded d and m.
func fitRange(levels int) func([]byte, []float32, *[maxSubBlocks]rounding, *[maxBlock]uint8) {
	return func(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
		lo, hi := float32(math.MaxFloat32), float32(-math.MaxFloat32)
		for _, v := range x {
			if v < lo {
				lo = v
			}
			if v > hi {
				hi = v
			}
		}
		d := (hi - lo) / float32(levels-1)
		putF16(block, 0, d)
		putF16(block, 2, lo)
		rules[0] = rounding{kind: truncated, a: lo, b: inverse(d), half: 0.5}
		keepIfInfinite(rules, codes, 0)
	}
}

// fitQ8 is q8_0's rule: d = max|w|/127, code = w/d rounded half away from zero, of the unrounded d.
func fitQ8(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
	pos, neg, _ := kernels.Extremes(x)
	d := max(pos, neg) / 127
	putF16(block, 0, d)
	rules[0] = rounding{kind: halfAway, b: inverse(d)}
	keepIfInfinite(rules, codes, 128)
}

// keepIfInfinite deals with blocks so small that 1/d overflows. Their stored d is 0, so codes mean nothing; the reference
// encoder's conversion of an infinity leaves zero bytes.
func keepIfInfinite(rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8, code uint8) {
	if rules[0].b-rules[0].b != 0 {
		rules[0].kind = keep
		for i := range codes {
			codes[i] = code
		}
	}
}

func inverse(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

// nearestInt rounds v, |v| < 2²², to nearest even.
func nearestInt(v float32) int {
	return int(math.Float32bits(v+kernels.RoundMagic)&0x7fffff) - 0x400000
}

// roundHalfAway rounds v, |v| < 2²², to the nearest integer, ties away from zero: adding just under a half, with v's sign, rounds
// to the next integer exactly where v is at or beyond the middle.
func roundHalfAway(v float32) int32 {
	const justUnderHalf = 0x3effffff
	return int32(v + math.Float32frombits(math.Float32bits(v)&(1<<31)|justUnderHalf))
}
