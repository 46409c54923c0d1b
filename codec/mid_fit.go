package codec

import (
	"encoding/binary"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// Fit maps each group's range to the codes. With o.Search, scale and mid are those of least importance-weighted squared error found;
// with o.HalfQuadratic, mid is HQQ's.
func (c midCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	checkImportance(w, importance)
	groups, group := c.groups(w.Cols), c.groupCols(w.Cols)
	t := &midTerm{&intTerm{intCodec: c.intCodec, rows: w.Rows, cols: w.Cols, scales: make([]byte, 2*w.Rows*groups),
		codes: make([]byte, w.Rows*packedBytes(w.Cols, c.bits))}, make([]byte, 2*w.Rows*groups)}
	f := midFitter{half: 1 << (c.bits - 1)}
	for r := range w.Rows {
		for k := range groups {
			lo, hi := k*group, min(w.Cols, (k+1)*group)
			x := w.Row(r)[lo:hi]
			pos, neg, finite := kernels.Extremes(x)
			if !finite || max(pos, neg) > 1<<14 { // so that every scale and mid tried is a finite F16
				bad := errTooLarge
				if !finite {
					bad = errNotFinite
				}
				return nil, weightError(x, r, lo, c.Name(), bad)
			}
			p := f.rangeOf(x)
			if o.HalfQuadratic {
				p = f.halfQuadratic(x, p)
			}
			if o.Search {
				var weights []float32
				if importance != nil {
					weights = importance[lo:hi]
				}
				p = f.refine(x, weights, p)
			}
			if wide := tensor.Float32ToF16(tensor.F16ToFloat32(p.scale) * o.gain()); wide&0x7c00 != 0x7c00 {
				p.scale = wide
			}
			i := 2 * (r*groups + k)
			binary.LittleEndian.PutUint16(t.integers.scales[i:], p.scale)
			binary.LittleEndian.PutUint16(t.mids[i:], p.mid)
		}
	}
	return &midGrid{term: t}, nil
}

// midPair is what a group stores, as F16.
type midPair struct{ scale, mid uint16 }

// numbers returns the pair and the reciprocal of the scale.
func (p midPair) numbers() (scale, mid, inverse float32) {
	return tensor.F16ToFloat32(p.scale), tensor.F16ToFloat32(p.mid), inverseOf(p.scale)
}

// midFitter chooses pairs for codes -half … half-1.
type midFitter struct{ half int }

// code returns the nearest code of v.
func (f midFitter) code(v, mid, inverse float32) int {
	return nearestInt(clampFloat(float32((v-mid)*inverse), float32(-f.half), float32(f.half-1)))
}

// rangeOf maps [min, max] of x to the codes.
func (f midFitter) rangeOf(x []float32) midPair {
	if len(x) == 0 {
		return midPair{}
	}
	lo, hi := kernels.MinMax(x)
	scale := tensor.Float32ToF16((hi - lo) / float32(2*f.half-1))
	return midPair{scale, positiveZero(tensor.Float32ToF16(lo + float32(float32(f.half)*tensor.F16ToFloat32(scale))))}
}

// loss returns Σ weights·(x - Ŵ)² and the moments of codes and weights that least squares needs.
func (f midFitter) loss(x, weights []float32, p midPair) (loss float64, m affineMoments) {
	scale, mid, inverse := p.numbers()
	for i, v := range x {
		weight := 1.0
		if weights != nil {
			weight = float64(weights[i])
		}
		q := f.code(v, mid, inverse)
		d := float64(v - (float32(scale*float32(q)) + mid))
		loss += float64(weight * float64(d*d))
		m.add(weight, float64(q), float64(v))
	}
	return loss, m
}

// affineMoments are weighted sums of codes q and values v.
type affineMoments struct{ n, q, qq, v, qv float64 }

func (m *affineMoments) add(weight, q, v float64) {
	wq := float64(weight * q)
	m.n += weight
	m.q += wq
	m.qq += float64(wq * q)
	m.v += float64(weight * v)
	m.qv += float64(wq * v)
}

// fit returns the scale and mid of least squares for the codes; ok is false if they are all alike, or fit upside down.
func (m affineMoments) fit() (p midPair, ok bool) {
	det := float64(m.n*m.qq) - float64(m.q*m.q)
	if !(det > 1e-9*float64(m.n*m.qq)) {
		return p, false
	}
	scale := (float64(m.n*m.qv) - float64(m.q*m.v)) / det
	mid := (m.v - float64(scale*m.q)) / m.n
	p = midPair{tensor.Float32ToF16(float32(scale)), positiveZero(tensor.Float32ToF16(float32(mid)))}
	return p, scale > 0 && p.scale != 0 && p.scale&0x7c00 != 0x7c00 && p.mid&0x7c00 != 0x7c00
}

// refine shrinks the range about its middle and, for each width tried, alternates nearest codes and least squares. Its error is never
// larger than start's.
func (f midFitter) refine(x, weights []float32, start midPair) midPair {
	scale, mid, _ := start.numbers()
	if scale == 0 {
		return start
	}
	best := start
	bestLoss, _ := f.loss(x, weights, start)
	centre := mid - float32(scale/2) // of the codes' values
	for i := range 10 {
		p := start
		p.scale = tensor.Float32ToF16(scale * (1 - 0.05*float32(i)))
		p.mid = positiveZero(tensor.Float32ToF16(centre + tensor.F16ToFloat32(p.scale)/2))
		for range 4 {
			loss, m := f.loss(x, weights, p)
			if loss < bestLoss {
				best, bestLoss = p, loss
			}
			next, ok := m.fit()
			if !ok || next == p {
				break
			}
			p = next
		}
	}
	return best
}

// HQQ's constants: the norm's exponent, the penalty and its growth, and the number of rounds.
const (
	hqqNorm    = 0.7
	hqqPenalty = 10
	hqqGrowth  = 1.01
	hqqRounds  = 20
)

// halfQuadratic fits mid, at the scale of start, to make Σ |x - Ŵ|^0.7 small: a norm that forgives the outliers which a range is stretched
// for (Badri and Shaji 2023, "Half-Quadratic Quantization"). Half-quadratic splitting alternates codes, errors e shrunk towards zero by
// the norm's proximal map, and mid as the mean of what is left. Numbers are in steps of the scale, so that the penalty means the same for
// every group; HQQ takes them as they are. Never worse than start in that norm.
func (f midFitter) halfQuadratic(x []float32, start midPair) midPair {
	scale, mid, _ := start.numbers()
	if scale == 0 {
		return start
	}
	best, bestNorm := start, f.norm(x, start)
	at, penalty := float64(mid), float64(hqqPenalty)
	for range hqqRounds {
		var sum float64
		for _, v := range x {
			u := (float64(v) - at) / float64(scale)
			q := math.RoundToEven(min(max(u, float64(-f.half)), float64(f.half-1)))
			sum += u - q - shrink(u-q, penalty)
		}
		at += float64(scale) * sum / float64(len(x))
		penalty *= hqqGrowth
		p := midPair{start.scale, positiveZero(tensor.Float32ToF16(float32(at)))}
		if p.mid&0x7c00 == 0x7c00 {
			break
		}
		if n := f.norm(x, p); n < bestNorm {
			best, bestNorm = p, n
		}
	}
	return best
}

// shrink is the proximal map of |e|^0.7 over the penalty, as HQQ approximates it.
func shrink(e, penalty float64) float64 {
	a := math.Abs(e)
	if a == 0 {
		return 0
	}
	return math.Copysign(max(0, a-math.Pow(a, hqqNorm-1)/penalty), e)
}

// norm returns Σ |x - Ŵ|^0.7.
func (f midFitter) norm(x []float32, p midPair) (sum float64) {
	scale, mid, inverse := p.numbers()
	for _, v := range x {
		e := math.Abs(float64(v - (float32(scale*float32(f.code(v, mid, inverse))) + mid)))
		if e > 0 {
			sum += math.Pow(e, hqqNorm)
		}
	}
	return sum
}
