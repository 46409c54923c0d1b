package linalg

import (
	"math"
	"slices"

	"pith/internal/par"
)

// epsilon is the relative error of one rounding.
const epsilon = 0x1p-53

// maxSecular is how often the secular function is evaluated for one root; six times are usual.
const maxSecular = 100

// secular is the equation 1/rho + Σ z²/(p − λ) = 0, p ascending, rho above zero: its roots are the eigenvalues of diag(p) + rho·z·zᵀ. Each root
// lies between two neighbouring p, the last between the last p and that plus rho·‖z‖². The poles p are d or, squared, d².
type secular struct {
	d, z      []float64
	rho, norm float64 // norm: ‖z‖²
	squared   bool
}

// difference returns p[j] − p[i] to full relative precision.
func (s *secular) difference(j, i int) float64 {
	if s.squared {
		return (s.d[j] - s.d[i]) * (s.d[j] + s.d[i])
	}
	return s.d[j] - s.d[i]
}

// value returns the root at a distance from p[origin], or of squared poles its square root.
func (s *secular) value(origin int, distance float64) float64 {
	d := s.d[origin]
	if s.squared {
		return d + distance/(d+math.Sqrt(float64(d*d)+distance))
	}
	return d + distance
}

// point is the function near a root: where it is, counted from p[origin], its value there and the two halves of its slope, of the poles
// up to split and of those after it.
type point struct {
	at, w, dpsi, dphi, bound float64
}

// root finds root i. It returns its distance from p[origin], origin being the nearer of its neighbours, and sets delta[j] to p[j] − λ, each to
// full relative precision. from is scratch as long as d.
//
// The iteration interpolates the function by two poles and a constant ("the fixed weight method" and, where that is slow, "the middle way":
// Li, "Solving secular equations stably and efficiently", LAPACK working note 89, 1993), and falls back to bisection.
func (s *secular) root(i int, delta, from []float64) (origin int, distance float64, ok bool) {
	k := len(s.d)
	if k == 1 {
		distance = float64(s.rho * float64(s.z[0]*s.z[0]))
		delta[0] = -distance
		return 0, distance, true
	}
	left := min(i, k-2) // the poles that the function is interpolated by are left and left+1
	origin, lo, hi, at := s.start(i)
	for j := range from {
		from[j] = s.difference(j, origin)
	}
	middle, before := false, math.Inf(1)
	for range maxSecular {
		if !(at > lo && at < hi) {
			at = lo + (hi-lo)/2
		}
		p := s.evaluate(at, left, delta, from)
		if math.Abs(p.w) <= p.bound || !(lo < at && at < hi) {
			return origin, at, true
		}
		if p.w < 0 {
			lo = at
		} else {
			hi = at
		}
		if math.Abs(p.w) > before/10 {
			middle = !middle
		}
		before = math.Abs(p.w)
		next := at + s.step(p, i, origin, left, middle, delta)
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		if next == at || next <= lo || next >= hi { // nothing lies between
			return origin, at, true
		}
		at = next
	}
	return origin, at, false
}

// start chooses the origin, the interval that holds root i, and a first guess: the root of the function whose other poles count with their
// value at the middle.
func (s *secular) start(i int) (origin int, lo, hi, at float64) {
	z, k := s.z, len(s.d)
	left := min(i, k-2)
	gap := s.difference(left+1, left)
	half := gap / 2
	origin = i
	if i == k-1 {
		half = s.rho * s.norm / 2
	}
	c := 1 / s.rho
	for j := range k {
		if j != left && j != left+1 {
			c += float64(z[j]*z[j]) / (s.difference(j, i) - half)
		}
	}
	zl, zr := float64(z[left]*z[left]), float64(z[left+1]*z[left+1])
	if i == k-1 {
		w := c + zl/(-gap-half) - zr/half
		lo, hi = 0, half
		if w <= 0 {
			lo, hi = half, 2*half*(1+8*epsilon)
		}
		a, b := zl+zr-float64(c*gap), float64(zr*gap)
		root := math.Sqrt(math.Abs(float64(a*a) + 4*float64(b*c)))
		if a < 0 {
			return origin, lo, hi, 2 * b / (root - a)
		}
		return origin, lo, hi, (a + root) / (2 * c)
	}
	w := c - zl/half + zr/half
	if w > 0 {
		a, b := float64(c*gap)+zl+zr, float64(zl*gap)
		root := math.Sqrt(math.Abs(float64(a*a) - 4*float64(b*c)))
		if a > 0 {
			return i, 0, half, 2 * b / (a + root)
		}
		return i, 0, half, (a - root) / (2 * c)
	}
	a, b := float64(c*gap)-zl-zr, float64(zr*gap)
	root := math.Sqrt(math.Abs(float64(a*a) + 4*float64(b*c)))
	if a < 0 {
		return i + 1, -half, 0, 2 * b / (a - root)
	}
	return i + 1, -half, 0, -(a + root) / (2 * c)
}

// evaluate sets delta. The bound is of what rounding may have done to the value.
func (s *secular) evaluate(at float64, left int, delta, from []float64) point {
	z, delta := s.z[:len(from)], delta[:len(from)]
	var psi, phi, err float64
	p := point{at: at}
	for j := 0; j <= left; j++ {
		v := from[j] - at
		delta[j] = v
		t := z[j] / v
		psi += float64(z[j] * t)
		p.dpsi += float64(t * t)
		err -= psi
	}
	for j := len(from) - 1; j > left; j-- {
		v := from[j] - at
		delta[j] = v
		t := z[j] / v
		phi += float64(z[j] * t)
		p.dphi += float64(t * t)
		err += math.Abs(phi)
	}
	p.w = 1/s.rho + psi + phi
	p.bound = epsilon * (8*(math.Abs(phi)-psi) + err + 1/s.rho + float64(math.Abs(at)*(p.dpsi+p.dphi)))
	return p
}

// step returns how far the root of the interpolation lies.
func (s *secular) step(p point, i, origin, left int, middle bool, delta []float64) float64 {
	l, r := delta[left], delta[left+1]
	slope := p.dpsi + p.dphi
	var c float64
	switch {
	case i == len(s.d)-1:
		c = math.Abs(p.w - float64(l*p.dpsi) - float64(r*p.dphi))
	case middle:
		c = p.w - float64(l*p.dpsi) - float64(r*p.dphi)
	case origin == left:
		t := s.z[left] / l
		c = p.w - float64(r*slope) - float64(s.difference(left, left+1)*float64(t*t))
	default:
		t := s.z[left+1] / r
		c = p.w - float64(l*slope) - float64(s.difference(left+1, left)*float64(t*t))
	}
	a, b := float64((l+r)*p.w)-float64(float64(l*r)*slope), float64(float64(l*r)*p.w)
	root := math.Sqrt(math.Abs(float64(a*a) - 4*float64(b*c)))
	var eta float64
	switch {
	case c == 0:
		eta = b / a
	case i == len(s.d)-1 && a >= 0:
		eta = (a + root) / (2 * c)
	case i == len(s.d)-1:
		eta = 2 * b / (a - root)
	case a <= 0:
		eta = (a - root) / (2 * c)
	default:
		eta = 2 * b / (a + root)
	}
	if !(float64(p.w*eta) < 0) { // the function ascends
		return -p.w / slope
	}
	return eta
}

// roots finds all roots: their values, and as rows of a matrix p − λ.
func (s *secular) roots(c crew) ([]float64, Dense, error) {
	k := len(s.d)
	values, deltas, failed := make([]float64, k), NewDense(k, k), make([]bool, k)
	par.Ranges(c.workers, k, grain, func(lo, hi int) {
		from := make([]float64, k)
		for i := lo; i < hi && !c.stopped(); i++ {
			origin, distance, ok := s.root(i, deltas.Row(i), from)
			values[i], failed[i] = s.value(origin, distance), !ok
		}
	})
	if slices.Contains(failed, true) {
		return nil, deltas, ErrNoConvergence
	}
	return values, deltas, c.ctx.Err()
}

// weights returns the z for which the roots found are exact: by Löwner's formula, from the products of p − λ (Gu and Eisenstat).
func (s *secular) weights(deltas Dense, c crew) []float64 {
	k := len(s.d)
	w := make([]float64, k)
	par.Ranges(c.workers, k, grain, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			w[j] = deltas.Row(j)[j]
		}
		for i := range k {
			delta := deltas.Row(i)
			for j := lo; j < hi; j++ {
				if j != i {
					w[j] *= delta[j] / s.difference(j, i)
				}
			}
		}
		for j := lo; j < hi; j++ {
			w[j] = math.Copysign(math.Sqrt(math.Max(-w[j], 0)), s.z[j])
		}
	})
	return w
}
