package linalg

import "math"

// epsilon is the relative error of one rounding.
const epsilon = 0x1p-53

// maxSecular is how often the secular function is evaluated for one root; six times are usual.
const maxSecular = 100

// secular is the equation 1/rho + Σ z²/(d − λ) = 0, d ascending, rho above zero: its roots are the eigenvalues of diag(d) + rho·z·zᵀ. Each root
// lies between two neighbouring d, the last between the last d and that plus rho·‖z‖².
type secular struct {
	d, z      []float64
	rho, norm float64 // norm: ‖z‖²
}

// point is the function near a root: where it is, counted from d[origin], its value there and the two halves of its slope, of the poles
// up to split and of those after it.
type point struct {
	at, w, dpsi, dphi, bound float64
}

// root finds root i. It returns its distance from d[origin], origin being the nearer of its neighbours, and sets delta[j] to d[j] − λ, each to
// full relative precision.
//
// The iteration interpolates the function by two poles and a constant ("the fixed weight method" and, where that is slow, "the middle way":
// Li, "Solving secular equations stably and efficiently", LAPACK working note 89, 1993), and falls back to bisection.
func (s *secular) root(i int, delta []float64) (origin int, distance float64, ok bool) {
	k := len(s.d)
	if k == 1 {
		distance = float64(s.rho * float64(s.z[0]*s.z[0]))
		delta[0] = -distance
		return 0, distance, true
	}
	left := min(i, k-2) // the poles that the function is interpolated by are left and left+1
	origin, lo, hi, at := s.start(i)
	middle, before := false, math.Inf(1)
	for range maxSecular {
		if !(at > lo && at < hi) {
			at = lo + (hi-lo)/2
		}
		p := s.evaluate(at, origin, left, delta)
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
	d, z, k := s.d, s.z, len(s.d)
	left := min(i, k-2)
	gap := d[left+1] - d[left]
	half := gap / 2
	origin = i
	if i == k-1 {
		half = s.rho * s.norm / 2
	}
	c := 1 / s.rho
	for j := range k {
		if j != left && j != left+1 {
			c += float64(z[j]*z[j]) / ((d[j] - d[i]) - half)
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
func (s *secular) evaluate(at float64, origin, left int, delta []float64) point {
	d, from := s.d, s.d[origin]
	z, delta := s.z[:len(d)], delta[:len(d)]
	var psi, phi, err float64
	p := point{at: at}
	for j := 0; j <= left; j++ {
		v := (d[j] - from) - at
		delta[j] = v
		t := z[j] / v
		psi += float64(z[j] * t)
		p.dpsi += float64(t * t)
		err -= psi
	}
	for j := len(d) - 1; j > left; j-- {
		v := (d[j] - from) - at
		delta[j] = v
		t := z[j] / v
		phi += float64(z[j] * t)
		p.dphi += float64(t * t)
		err += math.Abs(phi)
	}
	p.w = 1/s.rho + psi + phi
	p.bound = epsilon * (8*(math.Abs(phi)-psi) + err + 1/s.rho + math.Abs(at)*(p.dpsi+p.dphi))
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
		c = p.w - float64(r*slope) - float64((s.d[left]-s.d[left+1])*float64(t*t))
	default:
		t := s.z[left+1] / r
		c = p.w - float64(l*slope) - float64((s.d[left+1]-s.d[left])*float64(t*t))
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
