package lowrank

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/linalg"
)

// decomposition is the singular value decomposition of D·W·S by the eigenvectors of its smaller Gram matrix: of
//
//	D·W·M·Wᵀ·D, whose eigenvectors Q are the left vectors: Ŵ = D⁻¹·Q_r·Q_rᵀ·D·W, where W has no more rows than columns;
//	Sᵀ·Wᵀ·D²·W·S, whose eigenvectors are the right ones: Ŵ = W·S·Q_r·Q_rᵀ·S⁻¹, otherwise.
//
// The first needs no root of M at all: it projects the outputs. Both are the best of their rank (Eckart and Young), and what rank r loses is the sum of
// the values behind the first r.
type decomposition struct {
	metric  Metric
	w       linalg.Dense // as it is
	values  []float64    // squared singular values, largest first, none below zero
	vectors linalg.Matrix
	left    bool
	s       root         // of the right form
	ws      linalg.Dense // W·S, of the right form
}

// decompose decomposes p's weight. An error is that of p's context, or of what is not finite.
func decompose(p approx.Problem, m Metric) (*decomposition, error) {
	w := widened(p.W)
	d := &decomposition{metric: m, w: w, left: w.Rows <= w.Cols}
	var gram linalg.Dense
	if d.left {
		scaled := w
		if m.Rows != nil {
			scaled = w.Clone()
			scaleRows(scaled, m.Rows, p.Workers)
		}
		gram = m.times(scaled, p.Workers).TimesT(scaled, p.Workers)
	} else {
		var err error
		if d.s, err = m.root(p); err != nil {
			return nil, err
		}
		d.ws = d.s.apply(w, p.Workers)
		scaled := d.ws
		if m.Rows != nil {
			scaled = scaled.Clone()
			scaleRows(scaled, m.Rows, p.Workers)
		}
		across := scaled.Transposed()
		gram = across.TimesT(across, p.Workers)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	values, vectors, err := linalg.EigenContext(contextOf(p), linalg.Matrix{N: gram.Rows, Data: gram.Data}, p.Workers)
	if err != nil {
		return nil, fmt.Errorf("%s: decompose: %w", p.Name, err)
	}
	for i, v := range values {
		values[i] = max(v, 0)
	}
	d.values, d.vectors = values, vectors
	return d, nil
}

// tail returns what rank r loses: Σ of the values from the r-th on, smallest first.
func (d *decomposition) tail(rank int) (sum float64) {
	for k := len(d.values) - 1; k >= rank; k-- {
		sum += d.values[k]
	}
	return sum
}

// nothing is the part of the largest value below which values are rounding.
const nothing = 1e-20

// factors returns U (rows, rank) and V (rank, cols), singular values split evenly.
func (d *decomposition) factors(rank, workers int) (u, v linalg.Dense) {
	n := d.vectors.N
	q := linalg.Dense{Rows: rank, Cols: n, Data: append([]float64(nil), d.vectors.Data[:rank*n]...)}
	up, down := make([]float64, rank), make([]float64, rank)
	for k := range rank {
		if s := math.Sqrt(math.Sqrt(d.values[k])); d.values[k] > nothing*d.values[0] && s > 0 {
			up[k], down[k] = s, 1/s
		}
	}
	if d.left {
		across := q.Clone()
		scaleCols(across, d.metric.Rows, workers)
		v = across.Times(d.w, workers)
		scaleRows(v, down, workers)
		scaleCols(q, reciprocals(d.metric.Rows), workers)
		scaleRows(q, up, workers)
		return q.Transposed(), v
	}
	u = d.ws.TimesT(q, workers)
	scaleCols(u, down, workers)
	scaleRows(q, up, workers)
	return u, d.s.undo(q, workers)
}
