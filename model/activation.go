package model

import "math"

// exp32 returns eˣ within 2e-7 relative, 0 below −87.3 and at most e^88. x = n·ln 2 + r with |r| ≤ ln 2/2; e^r by its
// Taylor polynomial of degree 7 (remainder below 1e-8).
func exp32(x float32) float32 {
	if !(x > -87.3) { // underflow, and NaN
		if x != x {
			return x
		}
		return 0
	}
	x = min(x, 88)
	const magic = 3 << 22 // adding it rounds to a whole number
	n := float32(x*math.Log2E+magic) - magic
	r := float32(x-n*0.693359375) + n*2.12194440e-4
	p := float32(1.0 / 5040)
	p = p*r + 1.0/720
	p = p*r + 1.0/120
	p = p*r + 1.0/24
	p = p*r + 1.0/6
	p = p*r + 0.5
	p = p*r*r + r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// tanh32 returns tanh x within 3e-7.
func tanh32(x float32) float32 {
	if x2 := x * x; x2 < 0.01 {
		return x * (1 + x2*(-1.0/3+x2*(2.0/15-x2*17.0/315)))
	}
	return 1 - 2/(exp32(2*x)+1)
}

// apply replaces each x by its activation.
func (a Activation) apply(x []float32) {
	switch a {
	case SiLU:
		for i, v := range x {
			x[i] = v / (1 + exp32(-v))
		}
	case GELU:
		for i, v := range x {
			x[i] = float32(0.5 * float64(v) * (1 + math.Erf(float64(v)/math.Sqrt2)))
		}
	case GELUTanh:
		for i, v := range x {
			x[i] = 0.5 * v * (1 + tanh32(0.7978845608028654*(v+0.044715*v*v*v)))
		}
	}
}

// gate replaces each gate by act(gate)·up.
func (a Activation) gate(gate, up []float32) {
	up = up[:len(gate)]
	if a == SiLU {
		for i, v := range gate {
			gate[i] = v / (1 + exp32(-v)) * up[i]
		}
		return
	}
	a.apply(gate)
	for i, u := range up {
		gate[i] *= u
	}
}

// softcapped replaces each s by c·tanh(s/c).
func softcapped(s []float32, c float32) {
	for i, v := range s {
		s[i] = c * tanh32(v/c)
	}
}

// softmax replaces s by its exponentials relative to the largest, and returns one over their sum.
func softmax(s []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range s {
		top = max(top, v)
	}
	var sum float64
	for i, v := range s {
		e := exp32(v - top)
		s[i] = e
		sum += float64(e)
	}
	return float32(1 / sum)
}
