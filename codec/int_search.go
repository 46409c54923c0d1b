package codec

import (
	"math"

	"pith/kernels"
	"pith/tensor"
)

// searchRatios are the fractions of the reference scale that a search tries: clipping the largest weights makes all others finer.
const (
	searchLowest = 0.5
	searchSteps  = 24
)

// refine minimises Σ weights·(x - Ŵ)² over scales: it tries fractions of the reference scale (for asymmetric groups the range
// shrinks around each of several zeros), improves each by alternating nearest codes and least squares, and keeps the best pair
// that F16 can hold. It never returns a pair with a larger error than start's.
func (f intFitter) refine(x, weights []float32, start intScale) intScale {
	best, bestLoss := start, f.loss(x, weights, start)
	base := tensor.F16ToFloat32(start.scale)
	if base == 0 || bestLoss == 0 {
		return start
	}
	try := func(s intScale) {
		for range 3 {
			if s.scale&0x7fff == 0 || s.scale&0x7c00 == 0x7c00 {
				return
			}
			loss := f.loss(x, weights, s)
			if loss < bestLoss {
				best, bestLoss = s, loss
			}
			next := f.leastSquares(x, weights, s)
			if next == s {
				return
			}
			s = next
		}
	}
	for i := range searchSteps {
		ratio := searchLowest + float32((1.1-searchLowest)*float32(i)/(searchSteps-1))
		for _, sign := range []float32{1, -1} {
			if f.asym && sign < 0 {
				break
			}
			s := intScale{tensor.Float32ToF16(base * ratio * sign), start.zero}
			try(s)
			if f.asym {
				f.tryZeros(x, s, try)
			}
		}
	}
	return best
}

// tryZeros tries zeros that put the clipped range's start, middle and end where the group's are.
func (f intFitter) tryZeros(x []float32, s intScale, try func(intScale)) {
	step := float64(tensor.F16ToFloat32(s.scale))
	if step == 0 {
		return
	}
	lo, hi := x[0], x[0]
	for _, v := range x[1:] {
		lo, hi = min(lo, v), max(hi, v)
	}
	half := float64(int(1) << (f.bits - 1))
	first := -half - float64(lo)/step
	last := half - 1 - float64(hi)/step
	for _, at := range []float64{0.25, 0.5, 0.75} {
		zero := math.RoundToEven(first + float64(at*(last-first)))
		if zero >= -128 && zero <= 127 && int8(zero) != s.zero {
			try(intScale{s.scale, int8(zero)})
		}
	}
}

// loss returns Σ weights·(x - Ŵ)² of nearest codes, summed in float64.
func (f intFitter) loss(x, weights []float32, s intScale) float64 {
	p := intCodec{bits: f.bits}.rounding(s)
	step := tensor.F16ToFloat32(s.scale)
	var sum float64
	for i, v := range x {
		d := float64(v - float32(step*float32(p.Code(v)+p.Base-kernels.RoundMagicBits)))
		if weights == nil {
			sum += float64(d * d)
			continue
		}
		sum += float64(d * d * float64(weights[i]))
	}
	return sum
}

// leastSquares returns the scale that fits the nearest codes of s best.
func (f intFitter) leastSquares(x, weights []float32, s intScale) intScale {
	p := intCodec{bits: f.bits}.rounding(s)
	var xu, uu float64
	for i, v := range x {
		u := float64(p.Code(v) + p.Base - kernels.RoundMagicBits)
		w := 1.0
		if weights != nil {
			w = float64(weights[i])
		}
		xu += float64(w * float64(v) * u)
		uu += float64(w * u * u)
	}
	if uu == 0 {
		return s
	}
	return intScale{positiveZero(tensor.Float32ToF16(float32(xu / uu))), s.zero}
}
