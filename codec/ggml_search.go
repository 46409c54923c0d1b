package codec

import (
	"math"

	"pith/kernels"
	"pith/tensor"
)

// The searches of GGML's block types minimise Σ weights·(x - Ŵ)² (weights nil: all 1) over what the layout can store. They
// start from a least-squares fit of each sub-block, choose scales of scales, and finish by trying neighbours with the true loss.
// Products are wrapped in conversions so that no compiler fuses them into sums: the same bytes on every machine.

// grid is the range of integers that a sub-block's codes stand for: u in low … high.
type grid struct{ low, high int }

// level returns the integer nearest to v.
func (g grid) level(v float32) float32 {
	return float32(nearestInt(clampFloat(v, float32(g.low), float32(g.high))))
}

// loss returns Σ weights·(x - scale·u - offset)² for the nearest u.
func (g grid) loss(x, weights []float32, a affine) (sum float64) {
	inverse := inverse(a.scale)
	for i, v := range x {
		d := float64(v - a.offset - float32(a.scale*g.level(float32((v-a.offset)*inverse))))
		if weights == nil {
			sum += float64(d * d)
			continue
		}
		sum += float64(d * d * float64(weights[i]))
	}
	return sum
}

// moments are the weighted sums that least squares need: of 1, u, u², x, x·u, x².
type moments struct{ one, u, uu, x, xu, xx float64 }

// moments sums over the levels u nearest to x by a.
func (g grid) moments(x, weights []float32, a affine) (m moments) {
	inverse, low, high := inverse(a.scale), float32(g.low), float32(g.high)
	w := 1.0
	for i, v := range x {
		u64 := float64(float32(clampFloat(float32((v-a.offset)*inverse), low, high)+kernels.RoundMagic) - kernels.RoundMagic)
		x64 := float64(v)
		if weights != nil {
			w = float64(weights[i])
		}
		wu, wx := float64(w*u64), float64(w*x64)
		m.one += w
		m.u += wu
		m.uu += float64(wu * u64)
		m.x += wx
		m.xu += float64(wx * u64)
		m.xx += float64(wx * x64)
	}
	return m
}

// scaleMoments is moments without offset and without the sums that only offsets need; xx is the caller's to fill in.
func (g grid) scaleMoments(x, weights []float32, scale float32) moments {
	inverse, low, high := inverse(scale), float32(g.low), float32(g.high)
	level := func(v float32) float64 {
		return float64(float32(clampFloat(float32(v*inverse), low, high)+kernels.RoundMagic) - kernels.RoundMagic)
	}
	var xu, uu float64
	if weights == nil {
		for _, v := range x {
			u := level(v)
			xu += float64(float64(v) * u)
			uu += float64(u * u)
		}
		return moments{xu: xu, uu: uu}
	}
	for i, v := range x {
		u := level(v)
		wu := float64(float64(weights[i]) * u)
		xu += float64(wu * float64(v))
		uu += float64(wu * u)
	}
	return moments{xu: xu, uu: uu}
}

// squares returns Σ weights·x².
func squares(x, weights []float32) (sum float64) {
	for i, v := range x {
		w := 1.0
		if weights != nil {
			w = float64(weights[i])
		}
		sum += float64(w * float64(v) * float64(v))
	}
	return sum
}

// loss returns the error of the levels summed, if they stand for scale·u.
func (m moments) loss(scale float64) float64 {
	return m.xx - float64(2*scale*m.xu) + float64(scale*scale*m.uu)
}

// affineLoss returns the error of the levels summed, if they stand for scale·u + offset.
func (m moments) affineLoss(a affine) float64 {
	s, o := float64(a.scale), float64(a.offset)
	return m.loss(s) - float64(2*o*m.x) + float64(2*s*o*m.u) + float64(o*o*m.one)
}

// solve returns the scale and offset that fit the levels of m best, with negative the best offset ≤ 0; a where they are undetermined.
func (m moments) solve(a affine, negative bool) affine {
	det := float64(m.one*m.uu) - float64(m.u*m.u)
	if det <= 1e-12*m.one*m.uu {
		return a
	}
	a = affine{
		float32((float64(m.one*m.xu) - float64(m.x*m.u)) / det),
		float32((float64(m.uu*m.x) - float64(m.u*m.xu)) / det),
	}
	if negative && a.offset > 0 {
		a = affine{float32(m.xu / m.uu), 0}
	}
	return a
}

// ranges finds scale > 0 and offset; with negative, offset ≤ 0 as the K-quants store it.
func (g grid) ranges(x, weights []float32, negative bool) affine {
	lo, hi := x[0], x[0]
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
	}
	if negative {
		lo = min(lo, 0)
	}
	if hi <= lo {
		return affine{0, lo}
	}
	n := float32(g.high)
	best, bestLoss := affine{(hi - lo) / n, lo}, math.Inf(1)
	try := func(a affine) {
		m := g.moments(x, weights, a)
		a = m.solve(a, negative)
		if l := m.affineLoss(a); a.scale > 0 && l < bestLoss {
			best, bestLoss = a, l
		}
	}
	for step := range 24 {
		ratio := 1 - float32(0.02*float32(step))
		for _, at := range []float32{0.5, 0} { // where the part cut off the range lies
			try(affine{(hi - lo) * ratio / n, lo + float32((hi-lo)*(1-ratio)*at)})
		}
	}
	for range 4 {
		last := best
		if try(best); best == last {
			break
		}
	}
	return best
}

// scaleAlone finds a signed scale, without offset.
func (g grid) scaleAlone(x, weights []float32) float32 {
	extreme := signedExtreme(x)
	if abs(extreme) < groupEpsilon {
		return 0
	}
	best, bestLoss, xx := float32(0), math.Inf(1), squares(x, weights)
	try := func(scale float32) {
		m := g.scaleMoments(x, weights, scale)
		m.xx = xx
		if m.uu == 0 {
			return
		}
		scale = float32(m.xu / m.uu)
		if l := m.loss(float64(scale)); l < bestLoss {
			best, bestLoss = scale, l
		}
	}
	for step := -12; step <= 12; step++ {
		scale := extreme / (float32(g.low) + float32(0.15*float32(step)))
		try(scale)
		try(-scale)
	}
	for range 4 {
		last := best
		if try(best); best == last {
			break
		}
	}
	return best
}

// searchSymmetric serves q8_0, q4_0 and q5_0: the search of an int group of the same bits.
func searchSymmetric(f *blockFormat, block []byte, x, weights []float32) {
	bits := 0
	for 1<<bits < f.levels {
		bits++
	}
	start := intScale{scale: tensor.Float32ToF16(f16At(block, 0))}
	best := intFitter{bits: bits}.refine(x, weights, start)
	putF16(block, 0, tensor.F16ToFloat32(best.scale))
}

// searchAffine serves q4_1 and q5_1.
func searchAffine(f *blockFormat, block []byte, x, weights []float32) {
	a := grid{0, f.levels - 1}.ranges(x, weights, false)
	putF16(block, 0, a.scale)
	putF16(block, 2, a.offset)
}

// searchK serves q2_k, q4_k and q5_k, whose sub-blocks have scales and mins of 0 … levels.
func searchK(store func(block []byte, d, dmin float32, scales, mins *[maxSubBlocks]uint8), levels int) func(*blockFormat, []byte, []float32, []float32) {
	return func(f *blockFormat, block []byte, x, weights []float32) {
		g := grid{0, f.levels - 1}
		subs := len(x) / f.sub
		var scales, mins [maxSubBlocks]float32
		for s := range subs {
			a := g.ranges(subBlock(f, x, s), subBlock(f, weights, s), true)
			scales[s], mins[s] = a.scale, -a.offset
		}
		d, ls := bestMultiples(scales[:subs], levels)
		dmin, lm := bestMultiples(mins[:subs], levels)
		neighbours := func() (sums [3]float64, rhs [2]float64) {
			for s := range subs {
				xs, ws := subBlock(f, x, s), subBlock(f, weights, s)
				ls[s], lm[s] = bestNeighbour(g, xs, ws, d, dmin, ls[s], lm[s], levels)
				m := g.moments(xs, ws, affine{d * float32(ls[s]), -(dmin * float32(lm[s]))})
				p, q := float64(ls[s]), -float64(lm[s])
				sums[0] += float64(p * p * m.uu)
				sums[1] += float64(p * q * m.u)
				sums[2] += float64(q * q * m.one)
				rhs[0] += float64(p * m.xu)
				rhs[1] += float64(q * m.x)
			}
			return sums, rhs
		}
		sums, rhs := neighbours()
		if det := float64(sums[0]*sums[2]) - float64(sums[1]*sums[1]); det > 1e-12*sums[0]*sums[2] {
			nd := roundF16(float32((float64(rhs[0]*sums[2]) - float64(rhs[1]*sums[1])) / det))
			nm := roundF16(float32((float64(rhs[1]*sums[0]) - float64(rhs[0]*sums[1])) / det))
			if nd > 0 && nm >= 0 {
				d, dmin = nd, nm
				neighbours()
			}
		}
		store(block, d, dmin, &ls, &lm)
	}
}

// subBlock returns the s-th sub-block's part of a block, or nil of nil.
func subBlock(f *blockFormat, x []float32, s int) []float32 {
	if x == nil {
		return nil
	}
	return x[s*f.sub : (s+1)*f.sub]
}

// bestMultiples finds the F16 d and integers 0 … levels with the smallest Σ (scale - d·q)².
func bestMultiples(scales []float32, levels int) (best float32, q [maxSubBlocks]uint8) {
	var peak float32
	for _, s := range scales {
		peak = max(peak, s)
	}
	bestLoss := math.Inf(1)
	for step := range 12 {
		d := roundF16(peak / (float32(levels) - float32(0.25*float32(step))))
		if d == 0 {
			break
		}
		var trial [maxSubBlocks]uint8
		var loss float64
		for i, s := range scales {
			trial[i] = uint8(nearestInt(clampFloat(s/d, 0, float32(levels))))
			e := float64(s - float32(d*float32(trial[i])))
			loss += float64(e * e)
		}
		if loss < bestLoss {
			best, bestLoss, q = d, loss, trial
		}
	}
	return best, q
}

// bestNeighbour returns the pair of integers within one of (scale, low) with the smallest loss.
func bestNeighbour(g grid, x, weights []float32, d, dmin float32, scale, low uint8, levels int) (uint8, uint8) {
	bestScale, bestLow, bestLoss := scale, low, math.Inf(1)
	for ds := -1; ds <= 1; ds++ {
		for dl := -1; dl <= 1; dl++ {
			s, l := int(scale)+ds, int(low)+dl
			if s < 0 || l < 0 || s > levels || l > levels {
				continue
			}
			if loss := g.loss(x, weights, affine{d * float32(s), -(dmin * float32(l))}); loss < bestLoss {
				bestScale, bestLow, bestLoss = uint8(s), uint8(l), loss
			}
		}
	}
	return bestScale, bestLow
}

// searchSignedK serves q3_k and q6_k, whose sub-blocks have signed scales of -n … n-1.
func searchSignedK(store func(block []byte, d float32, scales *[maxSubBlocks]int), n int) func(*blockFormat, []byte, []float32, []float32) {
	return func(f *blockFormat, block []byte, x, weights []float32) {
		g := grid{-f.bias, f.levels - 1 - f.bias}
		subs := len(x) / f.sub
		var scales [maxSubBlocks]float32
		for s := range subs {
			scales[s] = g.scaleAlone(subBlock(f, x, s), subBlock(f, weights, s))
		}
		d := roundF16(signedExtreme(scales[:]) / float32(-n))
		if d == 0 {
			return
		}
		var ls [maxSubBlocks]int
		for s, v := range scales {
			ls[s] = nearestInt(clampFloat(v/d, float32(-n), float32(n-1)))
		}
		neighbours := func() (xu, uu float64) {
			for s := range subs {
				xs, ws := subBlock(f, x, s), subBlock(f, weights, s)
				centre, bestLoss := ls[s], math.Inf(1)
				for l := max(centre-1, -n); l <= min(centre+1, n-1); l++ {
					if loss := g.loss(xs, ws, affine{scale: d * float32(l)}); loss < bestLoss {
						ls[s], bestLoss = l, loss
					}
				}
				m := g.moments(xs, ws, affine{scale: d * float32(ls[s])})
				xu += float64(float64(ls[s]) * m.xu)
				uu += float64(float64(ls[s]*ls[s]) * m.uu)
			}
			return xu, uu
		}
		if xu, uu := neighbours(); uu > 0 {
			if next := roundF16(float32(xu / uu)); next != 0 {
				d = next
				neighbours()
			}
		}
		store(block, d, &ls)
	}
}

// roundF16 returns the F16 nearest to v.
func roundF16(v float32) float32 { return tensor.F16ToFloat32(tensor.Float32ToF16(v)) }
