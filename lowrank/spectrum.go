package lowrank

import (
	"fmt"

	"pith/approx"
	"pith/codec"
)

// Spectrum returns what each rank of p's weight loses, as the weighting counts: element r is the loss of the best product of rank r, element 0 that
// of storing nothing. A note says what the weighting counts by if that is not what its name says.
func (f Factorizer) Spectrum(p approx.Problem) (tails []float64, note string, err error) {
	if err := codec.CheckFinite(p.W); err != nil {
		return nil, "", fmt.Errorf("%s: %w", p.Name, err)
	}
	m, note, err := f.Weighting.Metric(p)
	if err != nil {
		return nil, "", err
	}
	d, err := decompose(p, m)
	if err != nil {
		return nil, "", err
	}
	tails = make([]float64, len(d.values)+1)
	for k := len(d.values) - 1; k >= 0; k-- {
		tails[k] = tails[k+1] + d.values[k]
	}
	return tails, note, nil
}
