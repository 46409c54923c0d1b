package codec

import "math"

// The reference encoders of K-quants, operation for operation in float32: their output depends on the order and rounding of sums,
// so products are wrapped in float32() to keep compilers from fusing them. Source: ggml-quants.c of llama.cpp, functions
// make_qkx2_quants, make_qx_quants, make_q3_quants and quantize_row_*_K_ref, compiled without fused multiply-add (its default
// for the ggml-base library).

// groupEpsilon is the magnitude below which a sub-block of the signed types counts as zero.
const groupEpsilon = 1e-15

// rangeSearch tries nstep+1 scales around nmax/(max - min), solves the weighted least squares for scale and min of each, and
// keeps the best. codes receives the codes, 0 … nmax. It returns the scale and the negated min, both ≥ 0.
type rangeSearch struct {
	nmax         int
	rmin, rdelta float32
	nstep        int
	mad          bool // weigh absolute instead of squared differences
}

func (p rangeSearch) fit(x, weights []float32, codes []uint8) (scale, minusMin float32) {
	weights, codes = weights[:len(x)], codes[:len(x)]
	lo, hi := x[0], x[0]
	sumW := weights[0]
	sumX := float32(sumW * x[0])
	for i := 1; i < len(x); i++ {
		v, w := x[i], weights[i]
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
		sumW += w
		sumX += float32(w * v)
	}
	if lo > 0 {
		lo = 0
	}
	if hi == lo {
		clear(codes)
		return 0, -lo
	}
	nmax := float32(p.nmax)
	iscale := nmax / (hi - lo)
	scale = 1 / iscale
	p.codes(codes, x, iscale, lo)
	best := p.loss(codes, x, weights, scale, lo)
	var aux [32]uint8
	trial := aux[:len(x)]
	floor := lo // the search's own min; lo becomes the best one's
	for is := 0; is <= p.nstep; is++ {
		iscale = (p.rmin + float32(p.rdelta*float32(is)) + nmax) / (hi - floor)
		var sumL, sumL2, sumXL float32
		for i, v := range x {
			q := min(max(nearestInt(float32(iscale*(v-floor))), 0), p.nmax)
			trial[i] = uint8(q)
			l := float32(int32(q))
			wl := float32(weights[i] * l)
			sumL += wl
			sumL2 += float32(wl * l)
			sumXL += float32(wl * v)
		}
		det := float32(sumW*sumL2) - float32(sumL*sumL)
		if !(det > 0) {
			continue
		}
		s := (float32(sumW*sumXL) - float32(sumX*sumL)) / det
		m := (float32(sumL2*sumX) - float32(sumL*sumXL)) / det
		if m > 0 {
			m = 0
			s = sumXL / sumL2
		}
		if e := p.loss(trial, x, weights, s, m); e < best {
			copy(codes, trial)
			best, scale, floor = e, s, m
		}
	}
	return scale, -floor
}

func (p rangeSearch) codes(dst []uint8, x []float32, iscale, lo float32) {
	for i, v := range x {
		dst[i] = uint8(min(max(nearestInt(float32(iscale*(v-lo))), 0), p.nmax))
	}
}

func (p rangeSearch) loss(codes []uint8, x, weights []float32, scale, lo float32) (sum float32) {
	weights, codes = weights[:len(x)], codes[:len(x)]
	if p.mad {
		for i, v := range x {
			sum += float32(weights[i] * abs(float32(scale*float32(int32(codes[i])))+lo-v))
		}
		return sum
	}
	for i, v := range x {
		d := float32(scale*float32(int32(codes[i]))) + lo - v
		sum += float32(weights[i] * float32(d*d))
	}
	return sum
}

func fitQ2K(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
	var scales, mins [maxSubBlocks]float32
	var weights [16]float32
	search := rangeSearch{nmax: 3, rmin: -0.5, rdelta: 0.1, nstep: 15, mad: true}
	for s := range 16 {
		xs := x[s*16 : s*16+16]
		for i, v := range xs {
			weights[i] = abs(v)
		}
		scales[s], mins[s] = search.fit(xs, weights[:], codes[s*16:s*16+16])
	}
	d, ls := quantizeScales(scales[:], 15)
	dmin, lm := quantizeScales(mins[:], 15)
	storeQ2K(block, d, dmin, &ls, &lm)
	divisionRules(affinesQ2K, block, rules)
}

// fitQ45K is q4_k's and q5_k's encoder.
func fitQ45K(nmax int, rmin float32, nstep int) func([]byte, []float32, *[maxSubBlocks]rounding, *[maxBlock]uint8) {
	search := rangeSearch{nmax: nmax, rmin: rmin, rdelta: 0.1, nstep: nstep}
	return func(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
		var scales, mins [8]float32
		var weights [32]float32
		for s := range 8 {
			xs := x[s*32 : s*32+32]
			var sum float32
			for _, v := range xs {
				sum += float32(v * v)
			}
			rms := float32(math.Sqrt(float64(sum / 32)))
			for i, v := range xs {
				weights[i] = rms + abs(v)
			}
			scales[s], mins[s] = search.fit(xs, weights[:], codes[s*32:s*32+32])
		}
		d, ls := quantizeScales(scales[:], 63)
		dmin, lm := quantizeScales(mins[:], 63)
		storeQ45K(block, d, dmin, &ls, &lm)
		divisionRules(affinesQ45K, block, rules)
	}
}

// quantizeScales rounds scales (≥ 0) to multiples of d = max/levels.
func quantizeScales(scales []float32, levels int) (d float32, q [maxSubBlocks]uint8) {
	var peak float32
	for _, s := range scales {
		if s > peak {
			peak = s
		}
	}
	if !(peak > 0) {
		return 0, q
	}
	inverse := float32(levels) / peak
	for i, s := range scales {
		q[i] = uint8(min(uint8(nearestInt(float32(inverse*s))), uint8(levels)))
	}
	return peak / float32(levels), q
}

// divisionRules rounds by the scales as stored; a sub-block whose scale is 0 keeps the codes of its search.
func divisionRules(affines func([]byte, *[maxSubBlocks]affine), block []byte, rules *[maxSubBlocks]rounding) {
	var a [maxSubBlocks]affine
	affines(block, &a)
	for s := range rules {
		rules[s] = rounding{kind: byDivision, a: -a[s].offset, b: a[s].scale}
		if a[s].scale == 0 {
			rules[s].kind = keep
		}
	}
}

// signedExtreme returns the first value of largest magnitude.
func signedExtreme(x []float32) (extreme float32) {
	var peak float32
	for _, v := range x {
		if a := abs(v); a > peak {
			peak, extreme = a, v
		}
	}
	return extreme
}

// signedSearch is the encoder of q6_k's sub-blocks: of 19 scales around -nmax/extreme, least squares with weights x², the best. The
// codes, offset by nmax, go to codes.
func signedSearch(x []float32, nmax int, codes []uint8) float32 {
	extreme := signedExtreme(x)
	if abs(extreme) < groupEpsilon {
		clear(codes)
		return 0
	}
	sums := func(iscale float32) (sumLX, sumL2 float32) {
		for _, v := range x {
			l := float32(min(max(nearestInt(float32(iscale*v)), -nmax), nmax-1))
			w := float32(v * v)
			sumLX += float32(float32(w*v) * l)
			sumL2 += float32(float32(w*l) * l)
		}
		return sumLX, sumL2
	}
	bestInverse := float32(-nmax) / extreme
	sumLX, sumL2 := sums(bestInverse)
	var scale float32
	if sumL2 != 0 {
		scale = sumLX / sumL2
	}
	best := float32(scale * sumLX)
	for is := -9; is <= 9; is++ {
		if is == 0 {
			continue
		}
		iscale := -(float32(nmax) + float32(0.1*float32(is))) / extreme
		sumLX, sumL2 := sums(iscale)
		if sumL2 > 0 && float32(sumLX*sumLX) > float32(best*sumL2) {
			bestInverse, scale = iscale, sumLX/sumL2
			best = float32(scale * sumLX)
		}
	}
	for i, v := range x {
		codes[i] = uint8(nmax + min(max(nearestInt(float32(bestInverse*v)), -nmax), nmax-1))
	}
	return scale
}

// descentSearch is the encoder of q3_k's sub-blocks: up to five rounds of changing one code at a time where it raises
// (Σ w·x·l)²/Σ w·l², weights x².
func descentSearch(x []float32, nmax int, codes []uint8) float32 {
	extreme := signedExtreme(x)
	if abs(extreme) < groupEpsilon {
		clear(codes)
		return 0
	}
	iscale := float32(-nmax) / extreme
	var levels [16]int
	var sumLX, sumL2 float32
	add := func(sumLX, sumL2 *float32, v, sign float32, l int) {
		w := float32(v * v)
		*sumLX += sign * float32(float32(w*v)*float32(l))
		*sumL2 += sign * float32(float32(w*float32(l))*float32(l))
	}
	for i, v := range x {
		levels[i] = min(max(nearestInt(float32(iscale*v)), -nmax), nmax-1)
		add(&sumLX, &sumL2, v, 1, levels[i])
	}
	for range 5 {
		changed := false
		for i, v := range x {
			lx, l2 := sumLX, sumL2
			add(&lx, &l2, v, -1, levels[i])
			if !(lx > 0) {
				continue
			}
			l := min(max(nearestInt(float32(v*l2)/lx), -nmax), nmax-1)
			if l == levels[i] {
				continue
			}
			add(&lx, &l2, v, 1, l)
			if l2 > 0 && float32(float32(lx*lx)*sumL2) > float32(float32(sumLX*sumLX)*l2) {
				levels[i], sumLX, sumL2 = l, lx, l2
				changed = true
			}
		}
		if !changed {
			break
		}
	}
	for i := range x {
		codes[i] = uint8(levels[i] + nmax)
	}
	if sumL2 > 0 {
		return sumLX / sumL2
	}
	return 0
}

func fitQ3K(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
	var scales [maxSubBlocks]float32
	for s := range 16 {
		scales[s] = descentSearch(x[s*16:s*16+16], 4, codes[s*16:s*16+16])
	}
	extreme := signedExtreme(scales[:])
	var d float32
	ls := [maxSubBlocks]int{}
	if extreme != 0 {
		iscale := -32 / extreme
		for s, v := range scales {
			ls[s] = min(max(int(int8(nearestInt(float32(iscale*v)))), -32), 31)
		}
		d = 1 / iscale
	} else {
		for s := range ls { // the reference leaves zero bytes
			ls[s] = -32
		}
	}
	storeQ3K(block, d, &ls)
	divisionRules(affinesQ3K, block, rules)
}

func fitQ6K(block []byte, x []float32, rules *[maxSubBlocks]rounding, codes *[maxBlock]uint8) {
	var scales [maxSubBlocks]float32
	for s := range 16 {
		scales[s] = signedSearch(x[s*16:s*16+16], 32, codes[s*16:s*16+16])
	}
	extreme := signedExtreme(scales[:])
	if abs(extreme) < groupEpsilon {
		clear(block)
		clear(codes[:])
		for s := range rules {
			rules[s] = rounding{kind: keep}
		}
		return
	}
	iscale := -128 / extreme
	var ls [maxSubBlocks]int
	for s, v := range scales {
		ls[s] = int(int8(min(127, nearestInt(float32(iscale*v)))))
	}
	storeQ6K(block, 1/iscale, &ls)
	divisionRules(affinesQ6K, block, rules)
}
