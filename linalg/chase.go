package linalg

import (
	"math"

	"pith/kernels"
)

// chase is the singular value decomposition of an upper bidiagonal matrix by QR steps, with shifts where they cost no accuracy and without
// otherwise, so that small values keep their digits (Demmel and Kahan, "Accurate singular values of bidiagonal matrices", 1990; LAPACK's
// dbdsqr).
type chase struct {
	d, e     []float64
	left     padded // row i: left vector i; in whole pieces of RotateColumns columns
	right    padded
	absolute float64 // what lies beside the diagonal is zero below this
	relative float64 // or below this part of the value that it touches
}

// sweep is the rotations of one step: of rows top and top+1 first and on downwards, or upwards, ending there; as cosine and sine.
type sweep struct {
	top         int
	down        bool
	left, right []float64
}

// qrSteps is how many steps one value may take; two are usual.
const qrSteps = 30

// run turns d into the singular values, in any order and of any sign.
func (q *chase) run() error {
	n := len(q.d)
	q.thresholds()
	steps, oldLow, oldHigh, down := 0, -1, -1, true
	for m := n - 1; m > 0; {
		low, ok := q.block(m)
		if !ok {
			m--
			continue
		}
		if steps++; steps > qrSteps*n {
			return ErrNoConvergence
		}
		if low > oldHigh || m < oldLow || oldHigh < 0 { // another block: from its larger end to the smaller
			down = math.Abs(q.d[low]) >= math.Abs(q.d[m])
		}
		oldLow, oldHigh = low, m
		least, split := q.converged(low, m, down)
		if split {
			continue
		}
		s := sweep{top: low, down: down}
		switch shift := q.shift(low, m, least, down); {
		case shift == 0 && down:
			q.zeroDown(&s, low, m)
		case shift == 0:
			q.zeroUp(&s, low, m)
		case down:
			q.down(&s, low, m, shift)
		default:
			q.up(&s, low, m, shift)
		}
		s.apply(q.left, s.left)
		s.apply(q.right, s.right)
	}
	return nil
}

// thresholds settles what counts as zero: a bound on the least singular value, times what rounding does.
func (q *chase) thresholds() {
	n := len(q.d)
	q.relative = 100 * epsilon
	if n == 0 {
		return
	}
	mu := math.Abs(q.d[0])
	least := mu
	for i := 1; i < n && least > 0; i++ {
		mu = math.Abs(q.d[i]) * (mu / (mu + math.Abs(q.e[i-1])))
		least = min(least, mu)
	}
	q.absolute = max(q.relative*(least/math.Sqrt(float64(n))), 6*float64(n)*float64(n)*0x1p-1022)
}

// block finds the first row of the block that ends with row m, none if row m stands alone.
func (q *chase) block(m int) (int, bool) {
	if math.Abs(q.d[m]) <= q.absolute {
		q.d[m] = 0
	}
	for l := m - 1; l >= 0; l-- {
		if math.Abs(q.d[l]) <= q.absolute {
			q.d[l] = 0
		}
		if math.Abs(q.e[l]) <= q.absolute {
			q.e[l] = 0
			return l + 1, l+1 < m
		}
	}
	return 0, true
}

// converged looks for an element beside the diagonal that may be set to zero; if there is none, least is a bound on the values of the block.
func (q *chase) converged(low, m int, down bool) (least float64, split bool) {
	d, e := q.d, q.e
	first, touched := low, low
	if down {
		first, touched = m-1, m
	}
	if math.Abs(e[first]) <= q.relative*math.Abs(d[touched]) {
		e[first] = 0
		return 0, true
	}
	i, end, step, ahead := m-1, low-1, -1, 0
	mu := math.Abs(d[m])
	if down {
		i, end, step, ahead = low, m, 1, 1
		mu = math.Abs(d[low])
	}
	least = mu
	for ; i != end; i += step {
		if math.Abs(e[i]) <= q.relative*mu {
			e[i] = 0
			return 0, true
		}
		mu = math.Abs(d[i+ahead]) * (mu / (mu + math.Abs(e[i])))
		least = min(least, mu)
	}
	return least, false
}

// shift returns the shift of the next step: the least singular value of the block's last two rows, or zero where it would cost accuracy.
func (q *chase) shift(low, m int, least float64, down bool) float64 {
	var largest float64
	for i := low; i <= m; i++ {
		largest = max(largest, math.Abs(q.d[i]))
		if i < m {
			largest = max(largest, math.Abs(q.e[i]))
		}
	}
	if float64(len(q.d))*q.relative*(least/largest) <= q.relative/100 {
		return 0
	}
	end, shift := math.Abs(q.d[m]), 0.0
	if down {
		end, shift = math.Abs(q.d[low]), least2(q.d[m-1], q.e[m-1], q.d[m])
	} else {
		shift = least2(q.d[low], q.e[low], q.d[low+1])
	}
	if end > 0 {
		if r := shift / end; float64(r*r) < epsilon {
			return 0
		}
	}
	return shift
}

// apply turns the rows of z.
func (s *sweep) apply(z padded, cs []float64) {
	for c := 0; c < z.ld; c += kernels.RotateColumns {
		if s.down {
			kernels.RotateChainDown64(z.data[s.top*z.ld+c:], z.ld, cs)
		} else {
			kernels.RotateChain64(z.data[s.top*z.ld+c:], z.ld, cs)
		}
	}
}

// least2 returns the least singular value of the matrix (f g; 0 h).
func least2(f, g, h float64) float64 {
	f, g, h = math.Abs(f), math.Abs(g), math.Abs(h)
	least, most := min(f, h), max(f, h)
	if least == 0 {
		return 0
	}
	a, b := 1+least/most, (most-least)/most
	if g < most {
		u := g / most
		u = float64(u * u)
		return least * (2 / (math.Sqrt(float64(a*a)+u) + math.Sqrt(float64(b*b)+u)))
	}
	u := most / g
	if u == 0 {
		return float64(least*most) / g
	}
	a, b = float64(a*u), float64(b*u)
	return 2 * float64(float64(least*(1/(math.Sqrt(1+float64(a*a))+math.Sqrt(1+float64(b*b)))))*u)
}

// rotation returns the cosine and sine that turn (f, g) into (r, 0).
func rotation(f, g float64) (c, s, r float64) {
	switch {
	case g == 0:
		return 1, 0, f
	case f == 0:
		return 0, math.Copysign(1, g), math.Abs(g)
	}
	r = math.Copysign(hypot(f, g), f)
	return f / r, g / r, r
}
