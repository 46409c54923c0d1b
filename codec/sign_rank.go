package codec

import (
	"math"

	"pith/kernels"
	"pith/tensor"
)

// magnitudeSteps is how many subspace iterations Magnitudes makes. |W| is close to rank one, and only the span counts.
const magnitudeSteps = 10

// Magnitudes returns the factors u (rows, k) and v (k, cols) of about the best approximation of rank k to |W|, in the norm that weighs
// columns by the squares of weights, at most 1 (nil: all alike): subspace iteration on A = |W|·diag(weights) from a fixed start, then u = A·q, v = q/weights
// for the orthonormal rows q. The same bytes on every machine.
func Magnitudes(w tensor.Mat, k int, weights []float32) (u, v tensor.Mat) {
	m, n := w.Rows, w.Cols
	u, v = tensor.NewMat(m, k), tensor.NewMat(k, n)
	if m == 0 || n == 0 {
		return u, v
	}
	_, _, top := largest(w)
	_, exponent := math.Frexp(float64(top))
	a := tensor.NewMat(m, n)
	for r := range m {
		row := a.Row(r)
		for c, x := range w.Row(r) {
			if row[c] = float32(math.Ldexp(float64(abs(x)), -exponent)); weights != nil {
				row[c] *= weights[c]
			}
		}
	}
	startVectors(v, a)
	orthonormal(v)
	ut := tensor.NewMat(k, m)
	for range magnitudeSteps {
		clear(u.Data)
		kernels.GemmNT(u.Data, k, a.Data, n, v.Data, n, m, k, n)
		for r := range m {
			for f, x := range u.Row(r) {
				ut.Data[f*m+r] = x
			}
		}
		orthonormal(ut)
		clear(v.Data)
		kernels.GemmNN(v.Data, n, ut.Data, m, a.Data, n, k, n, m)
		orthonormal(v)
	}
	clear(u.Data)
	kernels.GemmNT(u.Data, k, a.Data, n, v.Data, n, m, k, n)
	for i, x := range u.Data {
		u.Data[i] = float32(math.Ldexp(float64(x), exponent))
	}
	if weights != nil {
		for f := range k {
			for c := range n {
				v.Row(f)[c] /= weights[c]
			}
		}
	}
	return u, v
}

// startVectors sets the first row of v to the sums of a's columns, which is near to the first singular vector of a matrix that is nowhere
// negative, and the others to fixed signs of them.
func startVectors(v, a tensor.Mat) {
	for r := range a.Rows {
		kernels.Axpy(v.Row(0), 1, a.Row(r))
	}
	x := uint64(1)
	for f := 1; f < v.Rows; f++ {
		for c, s := range v.Row(0) {
			x += 0x9e3779b97f4a7c15 // splitmix64
			z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
			z = (z ^ z>>27) * 0x94d049bb133111eb
			if v.Row(f)[c] = s; z>>63 != 0 {
				v.Row(f)[c] = -s
			}
		}
	}
}

// orthonormal makes the rows of q orthonormal, in order (modified Gram–Schmidt, twice, in float64). What depends on the rows before becomes zero.
func orthonormal(q tensor.Mat) {
	rows := make([][]float64, q.Rows)
	for f := range rows {
		rows[f] = make([]float64, q.Cols)
		for c, x := range q.Row(f) {
			rows[f][c] = float64(x)
		}
		before := norm64(rows[f])
		for range 2 {
			for _, p := range rows[:f] {
				kernels.AddScaled64(rows[f], -kernels.Dot64(rows[f], p), p)
			}
		}
		after := norm64(rows[f])
		for c, x := range rows[f] {
			if rows[f][c] = 0; after > 1e-6*before {
				rows[f][c] = x / after
			}
			q.Row(f)[c] = float32(rows[f][c])
		}
	}
}

func norm64(x []float64) float64 { return math.Sqrt(kernels.Dot64(x, x)) }
