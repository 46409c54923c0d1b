package quantizers

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

// gainBands is how many bands of rows gains are tried on.
const gainBands = 2

// bestGain returns the multiple of the fitted scales that loses least on a sample of the rows: one of q.Gains, or the lowest point
// of the parabola through the best of them and its neighbours.
func (q LDLQ) bestGain(p approx.Problem, f *feedback) (float32, error) {
	if len(q.Gains) == 0 {
		return 1, nil
	}
	grid, err := q.Codec.Fit(p.W, nil, codec.FitOptions{})
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", p.Name, q.Codec.Name(), err)
	}
	sample := p
	sample.W = bandRows(p.W, bandsOf(grid, p.W.Rows))
	trial := q
	trial.Refit, trial.Sweeps = false, 0
	lost := make([]float64, len(q.Gains))
	best := 0
	for i, gain := range q.Gains {
		if lost[i], err = trial.lost(sample, f, gain); err != nil {
			return 0, err
		}
		if lost[i] < lost[best] {
			best = i
		}
	}
	if best == 0 || best == len(lost)-1 {
		return q.Gains[best], nil
	}
	vertex := lowest(q.Gains[best-1:best+2], lost[best-1:best+2])
	l, err := trial.lost(sample, f, vertex)
	if err == nil && l < lost[best] {
		return vertex, nil
	}
	return q.Gains[best], err
}

// lost returns the proxy loss of p.W rounded with a gain.
func (q LDLQ) lost(p approx.Problem, f *feedback, gain float32) (float64, error) {
	_, loss, err := q.round(p, f, gain)
	return loss, err
}

// bandRows returns the rows of gainBands bands out of the middle of equal ranges of them.
func bandRows(w tensor.Mat, bands []codec.Band) tensor.Mat {
	n := min(gainBands, len(bands))
	out := tensor.Mat{Cols: w.Cols, Stride: w.Cols}
	for i := range n {
		r0, r1 := bands[(2*i+1)*len(bands)/(2*n)].Rows()
		for r := r0; r < r1; r++ {
			out.Data = append(out.Data, w.Row(r)...)
		}
		out.Rows += r1 - r0
	}
	return out
}

// lowest returns where the parabola through three points is lowest, x in logarithms; the middle one is the lowest of the three.
func lowest(gains []float32, lost []float64) float32 {
	x0, x1, x2 := math.Log(float64(gains[0])), math.Log(float64(gains[1])), math.Log(float64(gains[2]))
	a, b := (x1-x0)*(lost[1]-lost[2]), (x1-x2)*(lost[1]-lost[0])
	if a == b {
		return gains[1]
	}
	return float32(math.Exp(x1 - 0.5*(float64((x1-x0)*a)-float64((x1-x2)*b))/(a-b)))
}
