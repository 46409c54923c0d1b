package kernels

import "math"

// RotateColumns is how many columns RotateChain64 turns at once.
const RotateColumns = 32

// RotateChain64 turns pairs of neighbouring rows of z, RotateColumns columns wide and ld apart, one pair after another upwards: the
// last row and the one above it by the first pair of cs (cosine, sine), then that one and the next, …. z has a row more than cs
// has pairs. A pair (a above b) becomes a ← c·a − s·b, b ← s·a + c·b, as c·a − (s·b) and s·a + (c·b) with the product in brackets rounded
// and the rest fused: the same bytes at every level.
func RotateChain64(z []float64, ld int, cs []float64) {
	n := len(cs) / 2
	if len(cs) != 2*n || ld < RotateColumns || len(z) < n*ld+RotateColumns {
		panic("kernels: rotation slice or stride shorter than its shape")
	}
	if n > 0 {
		rotateChain64(chosen, z, ld, cs)
	}
}

func rotateChain64Plain(z []float64, ld int, cs []float64) {
	for i := len(cs)/2 - 1; i >= 0; i-- {
		at := len(cs)/2 - 1 - i
		c, s := cs[2*at], cs[2*at+1]
		a, b := z[i*ld:][:RotateColumns], z[(i+1)*ld:][:RotateColumns]
		for k, x := range a {
			y := b[k]
			b[k] = math.FMA(s, x, float64(c*y))
			a[k] = math.FMA(c, x, -float64(s*y))
		}
	}
}

// RotateChainDown64 turns pairs as RotateChain64 does, but downwards: the first row and the one below it by the first pair of cs, then that
// one and the next, …. A pair (b above a) becomes a ← c·a − s·b, b ← s·a + c·b.
func RotateChainDown64(z []float64, ld int, cs []float64) {
	n := len(cs) / 2
	if len(cs) != 2*n || ld < RotateColumns || len(z) < n*ld+RotateColumns {
		panic("kernels: rotation slice or stride shorter than its shape")
	}
	if n > 0 {
		rotateChainDown64(chosen, z, ld, cs)
	}
}

func rotateChainDown64Plain(z []float64, ld int, cs []float64) {
	for i := range len(cs) / 2 {
		c, s := cs[2*i], cs[2*i+1]
		b, a := z[i*ld:][:RotateColumns], z[(i+1)*ld:][:RotateColumns]
		for k, x := range a {
			y := b[k]
			b[k] = math.FMA(s, x, float64(c*y))
			a[k] = math.FMA(c, x, -float64(s*y))
		}
	}
}

// block64 is how many float64 the vector kernels take at a time.
const block64 = 32

// Dot64 returns Σ x·y: 32 fused partial sums (element i in sum i mod 32), halves added to halves, the rest of len(x) mod 32 elements after
// them. The same bytes at every level.
func Dot64(x, y []float64) float64 {
	y = y[:len(x)]
	blocks := len(x) / block64
	s := 0.0
	if blocks > 0 {
		s = dotBlocks64(chosen, x, y, blocks)
	}
	for i := blocks * block64; i < len(x); i++ {
		s = math.FMA(x[i], y[i], s)
	}
	return s
}

func dot64Plain(x, y []float64, blocks int) float64 {
	var sums [block64]float64
	for i := range blocks * block64 {
		sums[i%block64] = math.FMA(x[i], y[i], sums[i%block64])
	}
	for half := block64 / 2; half > 0; half /= 2 {
		for i := range half {
			sums[i] += sums[i+half]
		}
	}
	return sums[0]
}

// Rank2Sub64 computes y −= f·x + g·w element by element, as y − f·x fused, then − g·w fused.
func Rank2Sub64(y []float64, f float64, x []float64, g float64, w []float64) {
	x, w = x[:len(y)], w[:len(y)]
	blocks := len(y) / block64
	if blocks > 0 {
		rank2Sub64(chosen, y, f, x, g, w, blocks)
	}
	rank2Sub64Plain(y, f, x, g, w, blocks*block64)
}

func rank2Sub64Plain(y []float64, f float64, x []float64, g float64, w []float64, from int) {
	for i := from; i < len(y); i++ {
		y[i] = math.FMA(-g, w[i], math.FMA(-f, x[i], y[i]))
	}
}

// AddScaled64 computes y += f·x, each element fused.
func AddScaled64(y []float64, f float64, x []float64) {
	Rank2Sub64(y, -f, x, 0, x)
}
