package pruning

import (
	"math"

	"pith/calib"
)

// Wanda scores |w|·‖x_j‖, the norm of the element's input over tokens (Sun et al. 2023, arXiv 2306.11695). ‖x_j‖² is the mean over tokens in
// float32, and so are the root and the product, as in the authors' code: the same inputs give the same masks, bit for bit.
type Wanda struct{}

// Name returns "wanda".
func (Wanda) Name() string { return "wanda" }

// Needs returns calib.Moments.
func (Wanda) Needs() calib.Need { return calib.Moments }

// Scores needs moments.
func (Wanda) Scores(in *Inputs, _ int) (Score, string) {
	squares := in.Stats.Importance()
	if squares == nil {
		return nil, "no statistics of the input"
	}
	norms := make([]float32, len(squares))
	for j, v := range squares {
		norms[j] = float32(math.Sqrt(float64(v))) // rounded once: 53 bits are more than twice 24
	}
	return times(norms), ""
}

// times returns the scores |w|·factor of the column.
func times(factors []float32) Score {
	return func(dst, w []float32, _, col int) {
		for i, f := range factors[col : col+len(w)] {
			dst[i] = abs(w[i]) * f
		}
	}
}
