package lowrank

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/linalg"
)

// gramForm is the quadratic form of what outputs lose, over its mean diagonal: H with its damping, and the lower triangle of L, H = L·Lᵀ, both by
// rows. Where signs and factors are chosen float32 is enough: what it rounds is far below what they round.
type gramForm struct {
	n    int
	h, l []float32
	unit float64 // what H was divided by
	damp float64 // what was added to H's diagonal, over unit
}

// form returns the form of p's statistics; nil and why where there is none.
func (b BitStack) form(p approx.Problem) (*gramForm, string, error) {
	damping := b.Damping
	if damping == 0 {
		damping = bitStackDamping
	}
	if p.Stats == nil {
		return nil, "no Gram matrix", nil
	}
	got, err := p.Stats.TryDerive(fmt.Sprintf("lowrank.form %.17g", damping), func() (any, error) {
		h, why := p.Stats.MeanGram(p.W.Cols)
		if why != "" {
			return derivedForm{why: why}, nil
		}
		f, err := makeForm(h, damping, p)
		if f == nil && err == nil {
			return derivedForm{why: "inputs that are all zero"}, nil
		}
		return derivedForm{form: f}, err
	})
	if err != nil {
		return nil, "", err
	}
	return got.(derivedForm).form, got.(derivedForm).why, nil
}

// derivedForm is what statistics keep.
type derivedForm struct {
	form *gramForm
	why  string
}

// makeForm returns the form of H, of which it makes use; nil if H is zero. It damps more where that does not make H definite.
func makeForm(h linalg.Matrix, damping float64, p approx.Problem) (*gramForm, error) {
	n := h.N
	mean := make([]float64, n)
	var sum float64
	for i := range n {
		mean[i] = h.Row(i)[i]
		sum += mean[i]
	}
	f := &gramForm{n: n, unit: sum / float64(n)}
	for f.damp = damping; ; f.damp *= 10 {
		if added := f.damp * f.unit; !(added > 0) || math.IsInf(added, 0) {
			return nil, nil
		}
		for i := range n {
			h.Row(i)[i] = mean[i] + f.damp*f.unit
		}
		l := h.Clone()
		if err := linalg.Cholesky(l, p.Workers); err == nil {
			f.l = halved(l, math.Sqrt(f.unit))
			break
		}
	}
	f.h = halved(h, f.unit)
	for i := range n {
		for j := range i {
			f.h[j*n+i] = f.h[i*n+j]
		}
	}
	return f, p.Err()
}

// halved returns the lower triangle of m over unit in float32, zeros above.
func halved(m linalg.Matrix, unit float64) []float32 {
	out := make([]float32, m.N*m.N)
	for i := range m.N {
		for j, v := range m.Row(i)[:i+1] {
			out[i*m.N+j] = float32(v / unit)
		}
	}
	return out
}
