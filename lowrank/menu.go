package lowrank

import (
	"pith/approx"
	"pith/codec"
)

// Menu returns one entry: the exact size, and what the rank loses of the metric's norm, the tail of the spectrum, without the rounding of the
// factors. Shapes that the codec cannot store, codecs without factors, and weights whose metric is not known have none.
func (f Factorizer) Menu(p approx.Problem) ([]approx.Entry, error) {
	c, ok := f.Codec.(codec.LowRank)
	if !ok || c.Check(p.W.Rows, p.W.Cols) != nil || codec.CheckFinite(p.W) != nil {
		return nil, nil
	}
	m, _, err := f.Weighting.Metric(p)
	if err != nil {
		return nil, nil
	}
	d, err := decompose(p, m)
	if err != nil {
		return nil, err
	}
	loss := 0.0
	if all := d.tail(0); all > 0 {
		loss = d.tail(c.Rank(p.W.Rows, p.W.Cols)) / all
	}
	return []approx.Entry{{Method: f.Name(), Codec: c.Name(), Bytes: c.Size(p.W.Rows, p.W.Cols), Loss: loss}}, nil
}
