package lowrank

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/linalg"
	"pith/tensor"
)

// storing is the problem of the method that stores one of a set's terms.
func storing(m approx.Members, w tensor.Mat) approx.Problem {
	return approx.Problem{Name: m.Names[0], W: w, Workers: m.Workers, Context: m.Context}
}

// meanMetric returns the mean over members of the Gram matrices of their inputs, full, with relative each divided by its trace; none (Rows 0) if one member has none, and why.
func meanMetric(m approx.Members, relative bool) (h linalg.Dense, note string) {
	n := m.W[0].Cols
	for l, s := range m.Stats {
		g, why := s.MeanGram(n)
		if why != "" {
			return linalg.Dense{}, fmt.Sprintf("not weighted by inputs: %s: %s", m.Names[l], why)
		}
		if l == 0 {
			h = linalg.NewDense(n, n)
		}
		part := 1 / float64(len(m.W))
		if trace := trace(g); relative && trace > 0 {
			part /= trace
		}
		for i := range n {
			for j, v := range g.Row(i)[:i+1] {
				h.Data[i*n+j] += v * part
			}
		}
	}
	mirror(h)
	return h, ""
}

func trace(g linalg.Matrix) (sum float64) {
	for i := range g.N {
		sum += g.Row(i)[i]
	}
	return sum
}

// mirror copies the lower triangle to the upper one.
func mirror(h linalg.Dense) {
	for i := range h.Rows {
		for j := range i {
			h.Data[j*h.Cols+i] = h.Data[i*h.Cols+j]
		}
	}
}

// ownMetric is meanMetric of one weight's statistics.
func ownMetric(s *calib.Stats, n int) (h linalg.Dense, note string) {
	g, why := s.MeanGram(n)
	if why != "" {
		return linalg.Dense{}, "not weighted by inputs: " + why
	}
	h = linalg.Dense{Rows: n, Cols: n, Data: g.Data}
	mirror(h)
	return h, ""
}

// timesMetric returns A·H, A itself if there is no metric.
func timesMetric(a, h linalg.Dense, workers int) linalg.Dense {
	if h.Rows == 0 {
		return a
	}
	return a.Times(h, workers)
}

// inner is Σ a·b, over elements in their order.
func inner(a, b linalg.Dense) (sum float64) {
	for i, v := range a.Data {
		sum += float64(v * b.Data[i])
	}
	return sum
}

// leastSquares solves A·x = b of a small symmetric positive semidefinite A for x of least length: directions in which A has next to nothing
// are left out.
func leastSquares(a linalg.Matrix, b []float64) ([]float64, error) {
	values, vectors, err := linalg.Eigen(a, 1)
	if err != nil {
		return nil, err
	}
	x := make([]float64, len(b))
	for k, value := range values {
		if value <= 1e-13*values[0] || value <= 0 {
			break
		}
		v := vectors.Row(k)
		var along float64
		for i, u := range v {
			along += float64(u * b[i])
		}
		for i, u := range v {
			x[i] += float64(along / value * u)
		}
	}
	return x, nil
}
