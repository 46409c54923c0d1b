package linalg

import (
	"context"
	"errors"
	"math"
	"slices"

	"pith/internal/par"
	"pith/kernels"
)

// ErrNoConvergence is returned for matrices whose eigenvalues are not found, those with elements that are not finite.
var ErrNoConvergence = errors.New("the eigenvalues do not converge: the matrix has elements that are not finite")

// Eigen returns the eigenvalues of a symmetric matrix, of which the lower triangle is read, largest first, and the eigenvectors as the
// rows of an orthogonal matrix, each with its largest component (the first among equals) positive.
//
// Householder's reduction to a tridiagonal matrix, then implicit QL steps with Wilkinson's shift (Golub and Van Loan, Matrix Computations,
// sections 8.3.1 and 8.3.3). The rotations of many steps are collected and applied together, to columns that fit in a cache. Every sum runs in
// one order and is fused or rounded in one way (package kernels), so the result is the same bytes for any number of workers and on any machine.
func Eigen(a Matrix, workers int) ([]float64, Matrix, error) {
	return EigenContext(context.Background(), a, workers)
}

// EigenContext is Eigen that stops soon after ctx has ended, with its error.
func EigenContext(ctx context.Context, a Matrix, workers int) ([]float64, Matrix, error) {
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
	if ctx.Err() != nil {
		return nil, Matrix{}, ctx.Err()
	}
	ld := (n + kernels.RotateColumns - 1) / kernels.RotateColumns * kernels.RotateColumns
	wide := padded{ld, make([]float64, n*ld)}
	for i := range n {
		wide.data[i*ld+i] = 1
	}
	if err := r.diagonalize(wide, workers); err != nil {
		return nil, Matrix{}, err
	}
	z := NewMatrix(n)
	for i := range n {
		copy(z.Row(i), wide.data[i*ld:])
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
				p[i] = r.tau[k] * kernels.Dot64(a.Row(k + 1 + i)[k+1:], v)
			}
		})
		half := r.tau[k] / 2 * kernels.Dot64(p[:rest], v)
		for i := range rest {
			w[i] = p[i] - float64(half*v[i])
		}
		par.Ranges(workers, rest, grain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				kernels.Rank2Sub64(a.Row(k + 1 + i)[k+1:], v[i], w[:rest], w[i], v)
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
	norm := math.Sqrt(kernels.Dot64(x, x))
	alpha = -math.Copysign(norm, x[0])
	x[0] -= alpha
	return alpha * scale, 2 / kernels.Dot64(x, x)
}

// sweep is the rotations of one QL step: of the rows top+n and top+n−1, then top+n−1 and top+n−2, … down to top, as cosine and sine.
type sweep struct {
	top int
	cs  []float64
}

const (
	maxSteps  = 60      // QL steps for one eigenvalue; a few are usual
	batchSize = 1 << 15 // rotations that are applied together
)

// diagonalize turns the diagonal into the eigenvalues, and the rows of z into eigenvectors of the tridiagonal matrix.
func (r *tridiagonal) diagonalize(z padded, workers int) error {
	d, e, n := r.diagonal, r.off, len(r.diagonal)
	var norm float64
	for i := range n {
		norm = max(norm, math.Abs(d[i])+math.Abs(e[i]))
	}
	var batch []sweep
	rotations := 0
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
			batch = append(batch, r.step(l, m))
			if rotations += m - l; rotations >= batchSize {
				rotate(z, batch, workers)
				batch, rotations = batch[:0], 0
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
func (r *tridiagonal) step(l, m int) sweep {
	d, e := r.diagonal, r.off
	g := (d[l+1] - d[l]) / (2 * e[l])
	g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Hypot(g, 1), g))
	s, c, p := 1.0, 1.0, 0.0
	done := make([]float64, 0, 2*(m-l))
	for i := m - 1; i >= l; i-- {
		f, b := float64(s*e[i]), float64(c*e[i])
		h := math.Hypot(f, g)
		if e[i+1] = h; h == 0 { // the matrix falls apart here
			d[i+1] -= p
			e[m] = 0
			return sweep{i + 1, done}
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
	return sweep{l, done}
}

// padded is a matrix whose rows have room for whole pieces of columns that are rotated at once.
type padded struct {
	ld   int
	data []float64
}

// rotate applies sweeps to the rows of z in their order, some columns at a time.
func rotate(z padded, batch []sweep, workers int) {
	par.For(workers, z.ld/kernels.RotateColumns, func(part int) {
		for _, s := range batch {
			kernels.RotateChain64(z.data[s.top*z.ld+part*kernels.RotateColumns:], z.ld, s.cs)
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
				kernels.AddScaled64(x, -r.tau[k]*kernels.Dot64(v, x), v)
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
