package kernels

import "math"

// fma32 returns a·b + c rounded once to float32, what a vector lane's fused multiply-add gives; which NaN is not promised.
func fma32(a, b, c float32) float32 {
	return float32(fusedSum(float64(a)*float64(b), float64(c)))
}

// fusedSum returns p + c rounded once to float32: c is a float32 and p the product of two, which float64 holds exactly.
func fusedSum(p, c float64) float64 {
	s := p + c
	if twiceRounded(s) {
		return fusedSumOdd(p, c, s)
	}
	return float64(float32(s))
}

// twiceRounded reports whether rounding the float64 sum s to float32 may differ from rounding the exact sum: only if s lies exactly
// between two float32, which its 29 bits beyond a float32's show, or if it is smaller than 2⁻¹²⁶, where a float32 has fewer bits.
func twiceRounded(s float64) bool {
	u := math.Float64bits(s)
	return u<<35 == 1<<63 || u<<1-1 < subnormal32
}

// subnormal32 is, less one, the bits of 2⁻¹²⁶ as a float64 without their sign bit; zero becomes the largest number.
const subnormal32 = (1023-126)<<53 - 1

// fusedSumOdd rounds to odd first: of the two float64 around an inexact sum it takes the one with an odd last bit, which lies between
// the same two float32 as the sum itself (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms
// using rounding to odd", IEEE Transactions on Computers 57(4), 2008). s is p + c in float64.
//
//go:noinline
func fusedSumOdd(p, c, s float64) float64 {
	t := s - p
	rest := (p - (s - t)) + (c - t) // s + rest = p + c exactly (Knuth's TwoSum)
	if u := math.Float64bits(s); rest != 0 && u&1 == 0 {
		if (rest > 0) == (s > 0) {
			u++
		} else {
			u--
		}
		s = math.Float64frombits(u)
	}
	return float64(float32(s))
}

// fusedWidth is how many sums fusedSums makes at once, so that their chains overlap.
const fusedWidth = 8

// fusedSums adds a[p]·b[p][j] to each sums[j] in the order of p by fused multiply-adds of float32.
func fusedSums(sums *[fusedWidth]float64, a []float64, b [][fusedWidth]float64) {
	for p, v := range a {
		for j, w := range &b[p] {
			product, c := v*w, sums[j]
			s := product + c
			if twiceRounded(s) {
				s = fusedSumOdd(product, c, s)
			}
			sums[j] = float64(float32(s))
		}
	}
}

// fusedProducts adds a[i]·b[i] to each sums[i] by fused multiply-adds of float32.
func fusedProducts(sums []float64, a, b []float32) {
	a, b = a[:len(sums)], b[:len(sums)]
	for i, c := range sums {
		product := float64(a[i]) * float64(b[i])
		s := product + c
		if twiceRounded(s) {
			s = fusedSumOdd(product, c, s)
		}
		sums[i] = float64(float32(s))
	}
}
