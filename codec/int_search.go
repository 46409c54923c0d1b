package codec

import (
	"math"

	"pith/kernels"
	"pith/tensor"
)

// searchLowest and searchSteps give the fractions of the reference scale that a search tries: clipping the largest weights makes all others finer.
const (
	searchLowest = 0.5
	searchSteps  = 24
)

// refine minimises Σ weights·(x - Ŵ)² over scales: it tries fractions of the reference scale with both signs (for asymmetric
// groups the range shrinks around each of several zeros), fits the scale to each trial's codes by least squares, and polishes the
// best by alternating nearest codes and least squares. It never returns a pair with a larger error than start's.
func (f intFitter) refine(x, weights []float32, start intScale) intScale {
	base := tensor.F16ToFloat32(start.scale)
	startLoss := f.loss(x, weights, start)
	if base == 0 || startLoss == 0 {
		return start
	}
	best, bestLoss, xx := start, math.Inf(1), squares(x, weights)
	try := func(s intScale) {
		if s.scale&0x7fff == 0 || s.scale&0x7c00 == 0x7c00 {
			return
		}
		step := float64(tensor.F16ToFloat32(s.scale))
		m := f.levels(s).scaleMoments(x, weights, float32(step))
		m.xx = xx
		if l := m.loss(step); l < bestLoss {
			best, bestLoss = s, l
		}
		if m.uu == 0 {
			return
		}
		fitted := intScale{positiveZero(tensor.Float32ToF16(float32(m.xu / m.uu))), s.zero}
		if l := m.loss(float64(tensor.F16ToFloat32(fitted.scale))); l < bestLoss {
			best, bestLoss = fitted, l
		}
	}
	for i := range searchSteps {
		ratio := searchLowest + float32((1.1-searchLowest)*float32(i)/(searchSteps-1))
		s := intScale{tensor.Float32ToF16(base * ratio), start.zero}
		try(s)
		if f.asym {
			f.tryZeros(x, s, try)
		} else {
			try(intScale{s.scale ^ 0x8000, s.zero})
		}
	}
	for range 4 {
		last := best
		if try(best); best == last {
			break
		}
	}
	if f.loss(x, weights, best) < startLoss {
		return best
	}
	return start
}

// levels returns the integers that codes of s stand for.
func (f intFitter) levels(s intScale) grid {
	half := 1 << (f.bits - 1)
	return grid{-half - int(s.zero), half - 1 - int(s.zero)}
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
