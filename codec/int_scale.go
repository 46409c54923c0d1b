package codec

import (
	"errors"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// errTooLarge and errNotFinite are why a group cannot be stored.
var (
	errTooLarge  = errors.New("too large")
	errNotFinite = errors.New("not finite")
)

// intFitter chooses the scale and zero of one group.
type intFitter struct {
	bits         int
	asym, search bool
	gain         float32 // multiplies the scale found; 0: as 1
}

// fit returns the stored scale of group x (weights: importance of its columns, nil for equal).
func (f intFitter) fit(x, weights []float32) (intScale, error) {
	if len(x) == 0 {
		return intScale{}, nil
	}
	pos, neg, ok := kernels.Extremes(x)
	if !ok {
		return intScale{}, errNotFinite
	}
	if max(pos, neg) > 65504 { // so that every scale below is a finite F16
		return intScale{}, errTooLarge
	}
	s := f.symmetric(pos, neg)
	if f.asym {
		s = f.affine(x, s)
	}
	if f.search {
		s = f.refine(x, weights, s)
	}
	return f.widen(s), nil
}

// widen multiplies the scale by the gain; the middle of an asymmetric range stays where it is, as nearly as its zero can say.
func (f intFitter) widen(s intScale) intScale {
	if f.gain == 0 || f.gain == 1 {
		return s
	}
	wide := intScale{positiveZero(tensor.Float32ToF16(tensor.F16ToFloat32(s.scale) * f.gain)), s.zero}
	if wide.scale&0x7c00 == 0x7c00 {
		return s
	}
	if f.asym { // the middle of the codes stands for scale·(-1/2 - zero)
		wide.zero = int8(min(max(math.RoundToEven((0.5+float64(s.zero))/float64(f.gain)-0.5), -128), 127))
	}
	return wide
}

// symmetric maps the value of largest magnitude to the code -2^(bits-1); ties take the positive scale.
func (f intFitter) symmetric(pos, neg float32) intScale {
	s := neg
	if pos > neg {
		s = -pos
	}
	return intScale{scale: positiveZero(tensor.Float32ToF16(s / float32(int(1)<<(f.bits-1))))}
}

// affine maps [min, max] to the codes' range. Where the zero would not fit an int8 the range is extended to include 0; a
// group of one value keeps the symmetric scale, which represents it exactly up to F16.
func (f intFitter) affine(x []float32, symmetric intScale) intScale {
	lo, hi := kernels.MinMax(x)
	if lo == hi {
		return symmetric
	}
	if s, ok := f.rangeScale(lo, hi); ok {
		return s
	}
	s, _ := f.rangeScale(min(lo, 0), max(hi, 0))
	return s
}

// rangeScale maps [lo, hi] to the codes' range; ok is false if the zero does not fit an int8.
func (f intFitter) rangeScale(lo, hi float32) (s intScale, ok bool) {
	s.scale = tensor.Float32ToF16((hi - lo) / float32(int(1)<<f.bits-1))
	step := float64(tensor.F16ToFloat32(s.scale))
	if step == 0 {
		return s, lo <= 0 && hi >= 0
	}
	zero := -float64(int(1)<<(f.bits-1)) - math.RoundToEven(float64(lo)/step)
	s.zero = int8(min(max(zero, -128), 127))
	return s, zero >= -128 && zero <= 127
}

// positiveZero makes F16's -0 a +0.
func positiveZero(h uint16) uint16 {
	if h == 0x8000 {
		return 0
	}
	return h
}
