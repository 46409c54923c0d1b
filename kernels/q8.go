// Package kernels holds the inner loops: flat functions on slices, one goroutine each. The plain Go body of each is its
// definition; SIMD versions are chosen once at start and must agree with it.
package kernels

import "math"

// Q8Block is the number of activations that share one scale.
const Q8Block = 32

// Q8 is one row of activations as int8: x[i] ≈ Scales[i/32]·Codes[i]. Codes is padded with zeros to a multiple of 256 so that
// kernels may read whole vectors; Sums[b] is Σ Codes over block b, which asymmetric formats need.
type Q8 struct {
	Codes  []int8
	Scales []float32
	Sums   []int32
}

// QuantizeQ8 rounds x to nearest (ties away from zero) with scale max|x|/127 per block of 32.
func QuantizeQ8(x []float32) Q8 {
	blocks := (len(x) + 255) / 256 * 8
	q := Q8{make([]int8, blocks*Q8Block), make([]float32, blocks), make([]int32, blocks)}
	for b := 0; b*Q8Block < len(x); b++ {
		xb := x[b*Q8Block : min(len(x), (b+1)*Q8Block)]
		var amax float32
		for _, v := range xb {
			amax = max(amax, float32(math.Abs(float64(v))))
		}
		if amax == 0 {
			continue
		}
		q.Scales[b] = amax / 127
		inv := 127 / amax
		for i, v := range xb {
			c := int8(math.Round(float64(v * inv)))
			q.Codes[b*Q8Block+i] = c
			q.Sums[b] += int32(c)
		}
	}
	return q
}
