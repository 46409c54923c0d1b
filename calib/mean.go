package calib

import (
	"fmt"
	"math"

	"pith/linalg"
)

// minTokens is the least number of tokens from which a Gram matrix says more than noise.
const minTokens = 2

// MeanGram returns the mean of x·xᵀ over tokens (lower triangle), features of them; or why there is none, in a few words.
func (s *Stats) MeanGram(features int) (h linalg.Matrix, why string) {
	switch {
	case s == nil || s.Gram == nil:
		return h, "no Gram matrix"
	case len(s.SqSum) != features || len(s.Gram) != packed(features):
		panic("calib: MeanGram of another number of features")
	case s.Tokens < minTokens:
		return h, fmt.Sprintf("statistics of %d tokens", s.Tokens)
	}
	h = linalg.NewMatrix(features)
	for i := range features {
		row := h.Row(i)[:i+1]
		for j, v := range s.GramRow(i) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return h, fmt.Sprintf("Gram matrix: element (%d, %d) is %g", i, j, v)
			}
			row[j] = v / float64(s.Tokens)
		}
		if row[i] < 0 {
			return h, fmt.Sprintf("Gram matrix: diagonal element %d is negative", i)
		}
	}
	return h, ""
}
