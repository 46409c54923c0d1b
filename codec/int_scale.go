package codec

import (
	"errors"
	"math"

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
}

// fit returns the stored scale of group x (weights: importance of its columns, nil for equal).
func (f intFitter) fit(x, weights []float32) (intScale, error) {
	if len(x) == 0 {
		return intScale{}, nil
	}
	pos, neg, ok := extremes(x)
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
	return s, nil
}

// extremes returns the largest value and the largest negated value (0 if none is positive, negative) and whether all are finite.
// Bit patterns of floats are ordered like integers: positive ones signed, negative ones unsigned.
func extremes(x []float32) (pos, neg float32, finite bool) {
	var p0, p1 int32
	var n0, n1 uint32
	for len(x) >= 2 {
		a, b := math.Float32bits(x[0]), math.Float32bits(x[1])
		p0, n0 = max(p0, int32(a)), max(n0, a)
		p1, n1 = max(p1, int32(b)), max(n1, b)
		x = x[2:]
	}
	if len(x) == 1 {
		a := math.Float32bits(x[0])
		p0, n0 = max(p0, int32(a)), max(n0, a)
	}
	p, n := uint32(max(p0, p1)), max(n0, n1)
	if n < 1<<31 {
		n = 0
	}
	n &= 1<<31 - 1
	return math.Float32frombits(p), math.Float32frombits(n), p < 0x7f800000 && n < 0x7f800000
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
	lo, hi := x[0], x[0]
	for _, v := range x[1:] {
		lo, hi = min(lo, v), max(hi, v)
	}
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
