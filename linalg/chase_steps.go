package linalg

import "math"

// down is a step from row low to row m with a shift.
func (q *chase) down(s *sweep, low, m int, shift float64) {
	d, e := q.d, q.e
	f := (math.Abs(d[low]) - shift) * (math.Copysign(1, d[low]) + shift/d[low])
	g := e[low]
	for i := low; i < m; i++ {
		c, n, r := rotation(f, g)
		if i > low {
			e[i-1] = r
		}
		f = float64(c*d[i]) + float64(n*e[i])
		e[i] = float64(c*e[i]) - float64(n*d[i])
		g = float64(n * d[i+1])
		d[i+1] = float64(c * d[i+1])
		s.right = append(s.right, c, n)
		c, n, d[i] = rotation(f, g)
		f = float64(c*e[i]) + float64(n*d[i+1])
		d[i+1] = float64(c*d[i+1]) - float64(n*e[i])
		if i+1 < m {
			g = float64(n * e[i+1])
			e[i+1] = float64(c * e[i+1])
		}
		s.left = append(s.left, c, n)
	}
	q.end(m-1, f)
}

// up is a step from row m to row low with a shift.
func (q *chase) up(s *sweep, low, m int, shift float64) {
	d, e := q.d, q.e
	f := (math.Abs(d[m]) - shift) * (math.Copysign(1, d[m]) + shift/d[m])
	g := e[m-1]
	for i := m; i > low; i-- {
		c, n, r := rotation(f, g)
		if i < m {
			e[i] = r
		}
		f = float64(c*d[i]) + float64(n*e[i-1])
		e[i-1] = float64(c*e[i-1]) - float64(n*d[i])
		g = float64(n * d[i-1])
		d[i-1] = float64(c * d[i-1])
		s.left = append(s.left, c, n)
		c, n, d[i] = rotation(f, g)
		f = float64(c*e[i-1]) + float64(n*d[i-1])
		d[i-1] = float64(c*d[i-1]) - float64(n*e[i-1])
		if i > low+1 {
			g = float64(n * e[i-2])
			e[i-2] = float64(c * e[i-2])
		}
		s.right = append(s.right, c, n)
	}
	q.end(low, f)
}

// zeroDown is a step from row low to row m without shift, in which nothing is subtracted.
func (q *chase) zeroDown(s *sweep, low, m int) {
	d, e := q.d, q.e
	c, oldC, n, oldN, r := 1.0, 1.0, 0.0, 0.0, 0.0
	for i := low; i < m; i++ {
		c, n, r = rotation(float64(d[i]*c), e[i])
		if i > low {
			e[i-1] = float64(oldN * r)
		}
		oldC, oldN, d[i] = rotation(float64(oldC*r), float64(d[i+1]*n))
		s.right = append(s.right, c, n)
		s.left = append(s.left, oldC, oldN)
	}
	h := float64(d[m] * c)
	d[m] = float64(h * oldC)
	q.end(m-1, float64(h*oldN))
}

// zeroUp is a step from row m to row low without shift.
func (q *chase) zeroUp(s *sweep, low, m int) {
	d, e := q.d, q.e
	c, oldC, n, oldN, r := 1.0, 1.0, 0.0, 0.0, 0.0
	for i := m; i > low; i-- {
		c, n, r = rotation(float64(d[i]*c), e[i-1])
		if i < m {
			e[i] = float64(oldN * r)
		}
		oldC, oldN, d[i] = rotation(float64(oldC*r), float64(d[i-1]*n))
		s.left = append(s.left, c, n)
		s.right = append(s.right, oldC, oldN)
	}
	h := float64(d[low] * c)
	d[low] = float64(h * oldC)
	q.end(low, float64(h*oldN))
}

// end stores what the step leaves beside the diagonal.
func (q *chase) end(i int, v float64) {
	if math.Abs(v) <= q.absolute {
		v = 0
	}
	q.e[i] = v
}
