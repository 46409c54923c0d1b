package kernels

import "math"

// Rotate64 is Rotate in float64: the same matrix, for statistics that are sums.
func Rotate64(x []float64) {
	n := len(x)
	p := powerWithin(n)
	var buf [signWords]uint64
	for pass, from := range [2]int{0, n - p} {
		if pass == 1 && from == 0 {
			break
		}
		part := x[from : from+p]
		for c := 0; c < p; c += 64 * signWords {
			end := min(p, c+64*signWords)
			signs := rotationSigns(buf[:], n, pass, c, end)
			for i, v := range part[c:end] {
				part[c+i] = math.Float64frombits(math.Float64bits(v) ^ signs[i/64]>>(i&63)<<63)
			}
		}
		hadamard64(part)
	}
}

// hadamard64 is hadamardPlain in float64, two stages a pass over memory.
func hadamard64(x []float64) {
	n, h := len(x), 1
	if n >= 4 {
		h = 4
		for i := 0; i < n; i += 4 {
			q := (*[4]float64)(x[i:])
			s, t, u, w := q[0]+q[1], q[0]-q[1], q[2]+q[3], q[2]-q[3]
			q[0], q[1], q[2], q[3] = s+u, t+w, s-u, t-w
		}
	}
	for ; 4*h <= n; h *= 4 {
		for i := 0; i < n; i += 4 * h {
			a, b, c, d := x[i:i+h], x[i+h:i+2*h], x[i+2*h:i+3*h], x[i+3*h:i+4*h]
			b, c, d = b[:len(a)], c[:len(a)], d[:len(a)]
			for j, v := range a {
				s, t := v+b[j], v-b[j]
				u, w := c[j]+d[j], c[j]-d[j]
				a[j], b[j], c[j], d[j] = s+u, t+w, s-u, t-w
			}
		}
	}
	if h < n {
		a, b := x[:h], x[h:]
		b = b[:len(a)]
		for j, v := range a {
			a[j], b[j] = v+b[j], v-b[j]
		}
	}
	s := 1 / math.Sqrt(float64(n))
	for i := range x {
		x[i] *= s
	}
}
