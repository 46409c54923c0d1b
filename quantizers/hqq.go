package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
)

// HQQ rounds to nearest with offsets fitted by half-quadratic splitting, so that Σ |W - Ŵ|^0.7 is small: Badri and Shaji 2023,
// "Half-Quadratic Quantization of Large Machine Learning Models". It needs no data. The codec must have real offsets (int*-mid).
type HQQ struct{ Codec codec.Codec }

// Name returns "hqq".
func (h HQQ) Name() string { return "hqq" }

// Needs returns calib.Nothing.
func (h HQQ) Needs() calib.Need { return calib.Nothing }

// RowWise reports whether the codec stores rows one after another.
func (h HQQ) RowWise() bool { return Nearest{Codec: h.Codec}.RowWise() }

// Check returns an error that names a codec which would do, if Codec has no real offsets.
func (h HQQ) Check() error {
	if c, ok := h.Codec.(codec.HalfQuadratic); !ok || !c.HalfQuadratic() {
		return fmt.Errorf("hqq fits real offsets, which %s does not store; use int4-g64-mid or another -mid codec", h.Codec.Name())
	}
	return nil
}

// Solve rounds p.W.
func (h HQQ) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if err := h.Check(); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	grid, err := h.Codec.Fit(p.W, nil, codec.FitOptions{HalfQuadratic: true})
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %s: %w", p.Name, h.Codec.Name(), err)
	}
	if err := roundAll(grid, p); err != nil {
		return nil, approx.Report{}, err
	}
	term := grid.Pack()
	return term, approx.Measure(p, term), p.Err()
}
