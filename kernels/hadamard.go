package kernels

import (
	"math"
	"math/bits"
)

// Hadamard multiplies x, whose length must be a power of two, by the orthonormal Walsh–Hadamard matrix of its size in Sylvester's
// order: x ← H·x/√n, H[i,j] = (-1)^popcount(i&j). It is its own inverse. Butterflies run over distances 1, 2, 4 … n/2, each a sum
// and a difference, and one scaling follows, so every level gives the same bytes.
func Hadamard(x []float32) { hadamard(chosen, x) }

// FlipSigns negates x[i] where bit i&63 of signs[i/64] is 1.
func FlipSigns(x []float32, signs []uint64) { flipSigns(chosen, x, signs) }

// Rotate multiplies x, of any length n, by the fixed pseudo-random orthonormal matrix Q of its size: signs then Hadamard over the
// first p entries, p the largest power of two ≤ n; if n is none, other signs and Hadamard over the last p as well. It spreads
// every entry over at least p others, so that the entries of long vectors look like Gaussian noise (randomised Hadamard transform:
// Ailon and Chazelle 2006; for weights: Tseng et al. 2024, arXiv 2402.04396). Signs depend on n only (rotationSigns): nothing is stored.
func Rotate(x []float32) { rotate(chosen, x) }

// RotateBack multiplies x by Qᵀ, the inverse of Rotate up to rounding.
func RotateBack(x []float32) { rotateBack(chosen, x) }

// RotateSquares turns the squares of a random vector's entries into those of the rotated vector, in the mean over all signs: means
// over the first p entries and over the last. It is what is known of rotated moments if the entries' products are not.
func RotateSquares(s []float64) {
	n := len(s)
	p := powerWithin(n)
	for pass, from := range [2]int{0, n - p} {
		if pass == 1 && from == 0 {
			break
		}
		part := s[from : from+p]
		var sum float64
		for _, v := range part {
			sum += v
		}
		for i := range part {
			part[i] = sum / float64(p)
		}
	}
}

func rotate(l level, x []float32) {
	n := len(x)
	p := powerWithin(n)
	var buf [signWords]uint64
	for pass, from := range [2]int{0, n - p} {
		if pass == 1 && from == 0 {
			break
		}
		part := x[from : from+p]
		for c := 0; c < p; c += 64 * signWords {
			end := min(p, c+64*signWords)
			flipSigns(l, part[c:end], rotationSigns(buf[:], n, pass, c, end))
		}
		hadamard(l, part)
	}
}

func rotateBack(l level, x []float32) {
	n := len(x)
	p := powerWithin(n)
	var buf [signWords]uint64
	for pass := 1; pass >= 0; pass-- {
		from := pass * (n - p)
		if pass == 1 && from == 0 {
			continue
		}
		part := x[from : from+p]
		hadamard(l, part)
		for c := 0; c < p; c += 64 * signWords {
			end := min(p, c+64*signWords)
			flipSigns(l, part[c:end], rotationSigns(buf[:], n, pass, c, end))
		}
	}
}

// powerWithin returns the largest power of two that is at most n, 0 for 0.
func powerWithin(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << (bits.Len(uint(n)) - 1)
}

// signWords is how many words of signs are made at a time.
const signWords = 16

// rotationSigns returns the signs of entries c … end of the pass-th transform of vectors of n: c is a multiple of 64. Word k of a
// pass is splitmix64's output (Steele, Lea and Flood 2014) of the state n·2³² + pass·2³¹ + k. They are a constant of the format.
func rotationSigns(buf []uint64, n, pass, c, end int) []uint64 {
	words := buf[:(end-c+63)/64]
	for i := range words {
		z := (uint64(n)<<32 | uint64(pass)<<31 | uint64(c/64+i)) + 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		words[i] = z ^ z>>31
	}
	return words
}

// checkPower panics if n is no power of two.
func checkPower(n int) {
	if n&(n-1) != 0 {
		panic("kernels: Hadamard of a length that is no power of two")
	}
}

// hadamardScale returns 1/√n rounded to float32.
func hadamardScale(n int) float32 { return float32(1 / math.Sqrt(float64(n))) }

func hadamardPlain(x []float32) {
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			a, b := x[i:i+h], x[i+h:i+2*h]
			for j, v := range a {
				a[j], b[j] = v+b[j], v-b[j]
			}
		}
	}
	s := hadamardScale(len(x))
	for i := range x {
		x[i] *= s
	}
}

func flipSignsPlain(x []float32, signs []uint64) {
	for i, v := range x {
		x[i] = math.Float32frombits(math.Float32bits(v) ^ uint32(signs[i/64]>>(i&63)&1)<<31)
	}
}
