package lowrank

import (
	"fmt"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

// Spectrum is the products of every rank that a weighting finds best for one weight.
type Spectrum struct {
	Tails []float64 // what each rank loses, as the weighting counts: element r is the loss of rank r, element 0 that of storing nothing
	Note  string    // what the weighting counts by, if that is not what its name says
	d     *decomposition
}

// Spectrum returns the spectrum of p's weight.
func (f Factorizer) Spectrum(p approx.Problem) (*Spectrum, error) {
	if err := codec.CheckFinite(p.W); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	m, note, err := f.Weighting.Metric(p)
	if err != nil {
		return nil, err
	}
	d, err := decompose(p, m)
	if err != nil {
		return nil, err
	}
	tails := make([]float64, len(d.values)+1)
	for k := len(d.values) - 1; k >= 0; k-- {
		tails[k] = tails[k+1] + d.values[k]
	}
	return &Spectrum{tails, note, d}, nil
}

// Product returns the best product of a rank, without rounding of the factors.
func (s *Spectrum) Product(rank, workers int) tensor.Mat {
	u, v := s.d.factors(rank, workers)
	return narrowed(u.Times(v, workers))
}
