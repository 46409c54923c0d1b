package linalg

import (
	"math"

	"pith/kernels"
)

// maxSteps is how many QL steps one eigenvalue may take; a few are usual.
const maxSteps = 60

// diagonalize turns the diagonal into the eigenvalues, and the rows of z, which has room for RotateColumns columns at a time, into the
// eigenvectors of the tridiagonal matrix: implicit QL steps with Wilkinson's shift (Golub and Van Loan, Matrix Computations, section 8.3.3).
func (r *tridiagonal) diagonalize(z padded) error {
	d, e, n := r.diagonal, r.off, len(r.diagonal)
	var norm float64
	for i := range n {
		norm = max(norm, math.Abs(d[i])+math.Abs(e[i]))
	}
	for l := range n {
		for step := 0; ; step++ {
			m := l
			for ; m+1 < n; m++ {
				if math.Abs(e[m])+norm == norm { // no larger than the errors that the reduction has made
					break
				}
			}
			if m == l {
				break
			}
			if step == maxSteps {
				return ErrNoConvergence
			}
			top, cs := r.step(l, m)
			for c := 0; c < z.ld; c += kernels.RotateColumns {
				kernels.RotateChain64(z.data[top*z.ld+c:], z.ld, cs)
			}
		}
	}
	return nil
}

// step is one implicit QL step on the part l … m of the matrix. It returns its rotations as cosine and sine: of the rows top+n and top+n−1,
// then top+n−1 and top+n−2, … down to top.
func (r *tridiagonal) step(l, m int) (top int, cs []float64) {
	d, e := r.diagonal, r.off
	g := (d[l+1] - d[l]) / (2 * e[l])
	g = d[m] - d[l] + e[l]/(g+math.Copysign(hypot(g, 1), g))
	s, c, p := 1.0, 1.0, 0.0
	done := make([]float64, 0, 2*(m-l))
	for i := m - 1; i >= l; i-- {
		f, b := float64(s*e[i]), float64(c*e[i])
		h := hypot(f, g)
		if e[i+1] = h; h == 0 { // the matrix falls apart here
			d[i+1] -= p
			e[m] = 0
			return i + 1, done
		}
		s, c = f/h, g/h
		g = d[i+1] - p
		t := float64((d[i]-g)*s) + float64(2*float64(c*b))
		p = float64(s * t)
		d[i+1] = g + p
		g = float64(c*t) - b
		done = append(done, c, s)
	}
	d[l] -= p
	e[l], e[m] = g, 0
	return l, done
}

// hypot returns √(x²+y²) without overflow; math.Hypot is not the same bytes on all machines.
func hypot(x, y float64) float64 {
	x, y = math.Abs(x), math.Abs(y)
	x, y = max(x, y), min(x, y)
	if x > 0x1p-400 && x < 0x1p400 {
		return math.Sqrt(math.FMA(x, x, float64(y*y)))
	}
	if x == 0 {
		return 0
	}
	t := y / x
	return float64(x * math.Sqrt(1+float64(t*t)))
}
