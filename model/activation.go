package model

import (
	"math"

	"pith/kernels"
)

// tanh32 returns tanh x within 3e-7.
func tanh32(x float32) float32 {
	if x2 := x * x; x2 < 0.01 {
		p := 2.0/15 - x2*17.0/315 // conversions keep products and sums from being fused
		p = float32(x2*p) - 1.0/3
		return x * (1 + float32(x2*p))
	}
	return 1 - 2/(kernels.Exp(2*x)+1)
}

// apply replaces each x by its activation.
func (a Activation) apply(x []float32) {
	switch a {
	case SiLU:
		for i, v := range x {
			x[i] = v / (1 + kernels.Exp(-v))
		}
	case GELU:
		for i, v := range x {
			x[i] = float32(0.5 * float64(v) * (1 + math.Erf(float64(v)/math.Sqrt2)))
		}
	case GELUTanh:
		for i, v := range x {
			x[i] = 0.5 * v * (1 + tanh32(0.7978845608028654*(v+float32(0.044715*v*v*v))))
		}
	}
}

// gate replaces each gate by act(gate)·up.
func (a Activation) gate(gate, up []float32) {
	up = up[:len(gate)]
	if a == SiLU {
		kernels.SiLUMul(gate, up)
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
