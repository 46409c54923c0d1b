package pruning

import (
	"math"

	"pith/calib"
)

// Magnitude scores |w|.
type Magnitude struct{}

// Name returns "magnitude".
func (Magnitude) Name() string { return "magnitude" }

// Needs returns calib.Nothing.
func (Magnitude) Needs() calib.Need { return calib.Nothing }

// Scores always has scores.
func (Magnitude) Scores(*Inputs, int) (Score, string) {
	return func(dst, w []float32, _, _ int) {
		for i, v := range w {
			dst[i] = abs(v)
		}
	}, ""
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }
