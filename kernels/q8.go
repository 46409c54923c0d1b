// Package kernels holds the inner loops: flat functions on slices, one goroutine each. The plain Go body of each is its
// definition; SIMD versions are chosen once at start and must agree with it.
package kernels

import "math"

// Q8Block is the number of activations that share one scale.
const Q8Block = 32

// Q8 is one row of activations as int8: x[i] ≈ Scales[i/32]·Codes[i]. Codes is padded with zeros to a multiple of 256 so that
// kernels may read whole vectors; Sums[b] is Σ Codes over block b, which asymmetric formats need. Codes are never -128.
type Q8 struct {
	Codes  []int8
	Scales []float32
	Sums   []int32
}

// QuantizeQ8 rounds x to nearest (ties to even) with scale max|x|/127 per block of 32. A block with a NaN or an infinity has a NaN
// scale, which products propagate; one that is smaller than 2⁻¹⁰⁰ everywhere is zero. Every level gives the same codes.
func QuantizeQ8(x []float32) Q8 {
	var q Q8
	QuantizeQ8Into(&q, x)
	return q
}

// QuantizeQ8Into is QuantizeQ8 into q, whose slices are used again if they are large enough.
func QuantizeQ8Into(q *Q8, x []float32) { quantizeQ8(chosen, q, x) }

func quantizeQ8(l level, q *Q8, x []float32) {
	blocks := (len(x) + stepColumns - 1) / stepColumns * (stepColumns / Q8Block)
	if cap(q.Codes) < blocks*Q8Block || cap(q.Scales) < blocks || cap(q.Sums) < blocks {
		*q = Q8{make([]int8, blocks*Q8Block), make([]float32, blocks), make([]int32, blocks)}
	}
	q.Codes, q.Scales, q.Sums = q.Codes[:blocks*Q8Block], q.Scales[:blocks], q.Sums[:blocks]
	whole := len(x) / Q8Block
	if l == generic {
		for b := range whole {
			q.setBlock(b, (*[Q8Block]float32)(x[b*Q8Block:]))
		}
	} else if whole > 0 {
		q8Blocks(q, x, whole)
	}
	for b := whole; b < blocks; b++ {
		var last [Q8Block]float32
		if b == whole {
			copy(last[:], x[b*Q8Block:])
		}
		q.setBlock(b, &last)
	}
}

const (
	q8Zero   = 0x0d800000 // bits of 2⁻¹⁰⁰: smaller blocks are zero, and 127/max|x| stays finite
	infinity = 0x7f800000
)

// setBlock is the definition of one block.
func (q *Q8) setBlock(b int, x *[Q8Block]float32) {
	codes := (*[Q8Block]int8)(q.Codes[b*Q8Block:])
	var top uint32 // the largest magnitude; compared as bits, NaNs are above infinities, which are above numbers
	for _, v := range x {
		top = max(top, math.Float32bits(v)&0x7fffffff)
	}
	if top < q8Zero || top >= infinity {
		*codes, q.Scales[b], q.Sums[b] = [Q8Block]int8{}, 0, 0
		if top >= infinity {
			q.Scales[b] = math.Float32frombits(0x7fc00000)
		}
		return
	}
	amax := math.Float32frombits(top)
	q.Scales[b] = amax / 127
	inv := 127 / amax
	var sum int32
	for i, v := range x {
		c := roundEven(float32(v * inv))
		codes[i] = int8(c)
		sum += c
	}
	q.Sums[b] = sum
}

// roundEven rounds |v| < 2²² to the nearest integer, ties to even.
func roundEven(v float32) int32 {
	const magic = 3 << 22
	return int32(float32(v+magic) - magic)
}
