package lowrank

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/linalg"
)

// gramForm is the quadratic form of what outputs lose: H with its damping, both triangles, and L of H = L·Lᵀ.
type gramForm struct {
	n    int
	h, l linalg.Matrix
	mean []float64 // H's diagonal as observed
	damp float64   // what was added to it
}

// form returns the form of p's statistics; nil and why where there is none.
func (b BitStack) form(p approx.Problem) (*gramForm, string, error) {
	damping := b.Damping
	if damping == 0 {
		damping = bitStackDamping
	}
	n := p.W.Cols
	h, why := p.Stats.MeanGram(n)
	if why != "" {
		return nil, why, nil
	}
	type made struct {
		form *gramForm
		why  string
	}
	key := fmt.Sprintf("lowrank.form %.17g", damping)
	got, err := p.Stats.TryDerive(key, func() (any, error) {
		f := &gramForm{n: n, h: h, mean: make([]float64, n)}
		var sum float64
		for i := range n {
			f.mean[i] = h.Row(i)[i]
			sum += f.mean[i]
		}
		for f.damp = damping * sum / float64(n); ; f.damp *= 10 {
			if !(f.damp > 0) || math.IsInf(f.damp, 0) {
				return made{why: "inputs that are all zero"}, nil
			}
			for i := range n {
				h.Row(i)[i] = f.mean[i] + f.damp
				for j := range i {
					h.Data[j*n+i] = h.Row(i)[j]
				}
			}
			f.l = h.Clone()
			if err := linalg.Cholesky(f.l, p.Workers); err == nil {
				return made{form: f}, p.Err()
			}
		}
	})
	if err != nil {
		return nil, "", err
	}
	return got.(made).form, got.(made).why, nil
}
