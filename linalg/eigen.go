package linalg

import (
	"errors"
	"math"
	"slices"

	"pith/internal/par"
)

// ErrNoConvergence is returned for matrices whose eigenvalues are not found, those with elements that are not finite.
var ErrNoConvergence = errors.New("the eigenvalues do not converge: the matrix has elements that are not finite")

// Eigen returns the eigenvalues of a symmetric matrix, of which the lower triangle is read, largest first, and the eigenvectors as the
// rows of an orthogonal matrix, each with its largest component (the first among equals) positive.
//
// Householder's reduction to a tridiagonal matrix, then implicit QL steps with Wilkinson's shift (Golub and Van Loan, Matrix Computations,
// sections 8.3.1 and 8.3.3). The rotations of many steps are collected and applied together, to columns that fit in a cache. Every sum runs
// in one order with products rounded by themselves, so the result is the same bytes for any number of workers and on any machine.
func Eigen(a Matrix, workers int) ([]float64, Matrix, error) {
	if len(a.Data) != a.N*a.N {
		panic("linalg: Eigen of a matrix that is not square")
	}
	n := a.N
	t := a.Clone()
	for i := range n {
		for j := range i {
			t.Data[j*n+i] = t.Data[i*n+j]
		}
	}
	r := reduceToTridiagonal(t, workers)
	z := NewMatrix(n)
	for i := range n {
		z.Row(i)[i] = 1
	}
	if err := r.diagonalize(z, workers); err != nil {
		return nil, z, err
	}
	r.back(z, workers)
	values, vectors := sorted(r.diagonal, z)
	return values, vectors, nil
}

// tridiagonal is a reduced matrix: its diagonal, what lies beside it (off[i] couples i and i+1), and the reflections that led there:
// reflection k is I − tau[k]·v·vᵀ, v being row k of reflectors from column k+1 on.
type tridiagonal struct {
	diagonal, off []float64
	reflectors    Matrix
	tau           []float64
}

// reduceToTridiagonal overwrites a, both triangles filled. 2n³ products and sums.
func reduceToTridiagonal(a Matrix, workers int) *tridiagonal {
	n := a.N
	r := &tridiagonal{make([]float64, n), make([]float64, n), a, make([]float64, n)}
	p, w := make([]float64, n), make([]float64, n)
	for k := range n {
		r.diagonal[k] = a.Row(k)[k]
		if k+1 >= n {
			break
		}
		v := a.Row(k)[k+1:] // row k is column k
		r.off[k], r.tau[k] = reflect(v)
		if r.tau[k] == 0 {
			continue
		}
		rest := n - k - 1
		par.Ranges(workers, rest, grain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				p[i] = r.tau[k] * inner(a.Row(k + 1 + i)[k+1:], v)
			}
		})
		half := r.tau[k] / 2 * inner(p[:rest], v)
		for i := range rest {
			w[i] = p[i] - float64(half*v[i])
		}
		par.Ranges(workers, rest, grain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row, vi, wi := a.Row(k + 1 + i)[k+1:], v[i], w[i]
				for j, x := range v {
					row[j] -= float64(vi*w[j]) + float64(wi*x)
				}
			}
		})
	}
	return r
}

// reflect overwrites x with the vector v of a reflection I − tau·v·vᵀ that turns x into (alpha, 0, …); tau 0: x is that already.
func reflect(x []float64) (alpha, tau float64) {
	var scale float64
	for _, v := range x[1:] {
		scale = max(scale, math.Abs(v))
	}
	if scale == 0 {
		return x[0], 0
	}
	scale = max(scale, math.Abs(x[0]))
	for i := range x {
		x[i] /= scale
	}
	norm := math.Sqrt(inner(x, x))
	alpha = -math.Copysign(norm, x[0])
	x[0] -= alpha
	return alpha * scale, 2 / inner(x, x)
}

// inner is Σ x·y in four sums that are added at the end.
func inner(x, y []float64) float64 {
	var s0, s1, s2, s3 float64
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += float64(x[i] * y[i])
		s1 += float64(x[i+1] * y[i+1])
		s2 += float64(x[i+2] * y[i+2])
		s3 += float64(x[i+3] * y[i+3])
	}
	for ; i < len(x); i++ {
		s0 += float64(x[i] * y[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// rotation turns rows i and i+1 by the angle of cosine c and sine s.
type rotation struct {
	i    int
	c, s float64
}

const (
	maxSteps  = 60      // QL steps for one eigenvalue; a few are usual
	batchSize = 1 << 15 // rotations that are applied together
	chunk     = 64      // columns that are rotated at once
)

// diagonalize turns the diagonal into the eigenvalues, and the rows of z into eigenvectors of the tridiagonal matrix.
func (r *tridiagonal) diagonalize(z Matrix, workers int) error {
	d, e, n := r.diagonal, r.off, z.N
	var norm float64
	for i := range n {
		norm = max(norm, math.Abs(d[i])+math.Abs(e[i]))
	}
	var batch []rotation
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
			if step == maxSteps || math.IsNaN(d[l]) {
				return ErrNoConvergence
			}
			if batch = append(batch, r.step(l, m)...); len(batch) >= batchSize {
				rotate(z, batch, workers)
				batch = batch[:0]
			}
		}
	}
	rotate(z, batch, workers)
	for _, v := range d {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ErrNoConvergence
		}
	}
	return nil
}

// step is one implicit QL step on the part l … m of the matrix.
func (r *tridiagonal) step(l, m int) []rotation {
	d, e := r.diagonal, r.off
	g := (d[l+1] - d[l]) / (2 * e[l])
	g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Hypot(g, 1), g))
	s, c, p := 1.0, 1.0, 0.0
	done := make([]rotation, 0, m-l)
	for i := m - 1; i >= l; i-- {
		f, b := float64(s*e[i]), float64(c*e[i])
		h := math.Hypot(f, g)
		if e[i+1] = h; h == 0 { // the matrix falls apart here
			d[i+1] -= p
			e[m] = 0
			return done
		}
		s, c = f/h, g/h
		g = d[i+1] - p
		t := float64((d[i]-g)*s) + float64(2*float64(c*b))
		p = float64(s * t)
		d[i+1] = g + p
		g = float64(c*t) - b
		done = append(done, rotation{i, c, s})
	}
	d[l] -= p
	e[l], e[m] = g, 0
	return done
}

// rotate applies rotations to the rows of z in their order, some columns at a time.
func rotate(z Matrix, batch []rotation, workers int) {
	if len(batch) == 0 {
		return
	}
	par.For(workers, (z.N+chunk-1)/chunk, func(part int) {
		lo := part * chunk
		hi := min(z.N, lo+chunk)
		for _, q := range batch {
			a, b := z.Row(q.i)[lo:hi], z.Row(q.i + 1)[lo:hi]
			b = b[:len(a)]
			for k, x := range a {
				y := b[k]
				b[k] = float64(q.s*x) + float64(q.c*y)
				a[k] = float64(q.c*x) - float64(q.s*y)
			}
		}
	})
}

// back applies the reflections to each row of z: eigenvectors of the tridiagonal matrix become those of the whole one. A few rows share
// each reflector while it is in the cache.
func (r *tridiagonal) back(z Matrix, workers int) {
	const rows = 8
	n := z.N
	par.For(workers, (n+rows-1)/rows, func(part int) {
		for k := n - 2; k >= 0; k-- {
			if r.tau[k] == 0 {
				continue
			}
			v := r.reflectors.Row(k)[k+1:]
			for i := part * rows; i < min(n, (part+1)*rows); i++ {
				x := z.Row(i)[k+1:]
				f := r.tau[k] * inner(v, x)
				for j, y := range v {
					x[j] -= float64(f * y)
				}
			}
		}
	})
}

// sorted orders eigenvalues from the largest, with their vectors, and settles the vectors' signs.
func sorted(values []float64, z Matrix) ([]float64, Matrix) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	out, vectors := make([]float64, len(values)), NewMatrix(z.N)
	for i, from := range order {
		out[i] = values[from]
		row := vectors.Row(i)
		copy(row, z.Row(from))
		largest := 0
		for j, v := range row {
			if math.Abs(v) > math.Abs(row[largest]) {
				largest = j
			}
		}
		if len(row) > 0 && row[largest] < 0 {
			for j := range row {
				row[j] = -row[j]
			}
		}
	}
	return out, vectors
}
