package kernels

import "math"

// Max returns the largest of x, which must not be empty.
func Max(x []float32) float32 {
	tops := [16]float32{}
	for i := range tops {
		tops[i] = x[0]
	}
	switch done := maxBlocks(chosen, x, &tops); {
	case done == len(x):
	case done > 0:
		maxBlocks(chosen, x[len(x)-16:], &tops) // some of them once more, which changes nothing
	default:
		for i, v := range x {
			tops[i] = max(tops[i], v)
		}
	}
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			tops[i] = max(tops[i], tops[i+n])
		}
	}
	return tops[0]
}

// ExpSum replaces each x by e^(x−shift), exponents clamped to [−86, 88], and returns the sum: the numerators and the denominator of
// a softmax if shift is the largest x. Exponentials are within 2e-7 relative; the sum is that of 16 partial sums in float32.
// Every level gives the same bytes.
func ExpSum(x []float32, shift float32) float32 { return expSum(chosen, x, shift) }

func expSum(l level, x []float32, shift float32) float32 {
	var sums [16]float32
	for i := expSumBlocks(l, x, shift, &sums); i < len(x); i++ {
		x[i] = Exp(x[i] - shift)
		sums[i%16] += x[i]
	}
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			sums[i] += sums[i+n]
		}
	}
	return sums[0]
}

// SiLUMul replaces each gate by gate·sigmoid(gate)·up. Every level gives the same bytes.
func SiLUMul(gate, up []float32) { siluMul(chosen, gate, up) }

func siluMul(l level, gate, up []float32) {
	up = up[:len(gate)]
	done := siluMulBlocks(l, gate, up)
	up = up[done:]
	for i, v := range gate[done:] {
		gate[done+i] = v / (1 + Exp(-v)) * up[i]
	}
}

// Exp returns eˣ within 2e-7 relative, x clamped to [−86, 88]: x = n·ln 2 + r with |r| ≤ ln 2/2, and e^r is its Taylor polynomial of
// degree 7, whose remainder is below 1e-8. The conversions keep products and sums from being fused.
func Exp(x float32) float32 {
	switch {
	case x < expLow:
		x = expLow
	case x > expHigh:
		x = expHigh
	}
	shifted := float32(x*math.Log2E) + expMagic // n in the lowest bits
	n := shifted - expMagic
	r := x - float32(n*expLn2)
	r += float32(n * expLn2Rest)
	p := float32(1.0/5040*r) + 1.0/720
	p = float32(p*r) + 1.0/120
	p = float32(p*r) + 1.0/24
	p = float32(p*r) + 1.0/6
	p = float32(p*r) + 0.5
	p = float32(float32(p*r)*r) + r
	p++
	return math.Float32frombits(math.Float32bits(p) + math.Float32bits(shifted)<<23)
}

// Constants of Exp. ln 2 comes in two parts: the first has 9 bits, so that its product with n is exact; the rest is negated.
const (
	expLow, expHigh    = -86, 88
	expMagic           = 3 << 22 // adding 1.5·2²³ rounds to a whole number
	expLn2, expLn2Rest = 0.693359375, 2.12194440e-4
)

// expTable holds the constants in the order in which vector code reads them, 16 copies each.
var expTable = func() *[13][16]float32 {
	t := new([13][16]float32)
	for i, v := range []float32{expLow, expHigh, math.Log2E, expMagic, expLn2, expLn2Rest,
		1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1} {
		for j := range t[i] {
			t[i][j] = v
		}
	}
	return t
}()
