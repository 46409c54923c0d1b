// Package calib holds what methods may ask to know about the activations that flow into a weight. Statistics are sums over
// tokens, so those of parts of a corpus, or of workers, merge by addition; methods say what they need, and the loop observes no more.
package calib

import (
	"fmt"

	"pith/tensor"
)

// Need is a set of statistics.
type Need uint8

// The statistics there are.
const (
	Nothing Need = 0
	Moments Need = 1 // Σ x² of each input feature
)

// Has reports whether n includes all of want.
func (n Need) Has(want Need) bool { return n&want == want }

// Stats are the statistics of one input: what all weights that multiply the same activations share.
type Stats struct {
	Tokens int64
	SqSum  []float64 // Σ over tokens of x², one entry per input feature (column of the weight)
}

// NewStats returns the statistics of no tokens yet.
func NewStats(features int) *Stats { return &Stats{SqSum: make([]float64, features)} }

// Observe adds the rows of x, (tokens, features).
func (s *Stats) Observe(x tensor.Mat) {
	if x.Cols != len(s.SqSum) {
		panic("calib: Observe of another number of features")
	}
	for t := range x.Rows {
		for c, v := range x.Row(t) {
			s.SqSum[c] += float64(float64(v) * float64(v))
		}
	}
	s.Tokens += int64(x.Rows)
}

// Merge adds the statistics of other tokens of the same input. For the same bytes on every run, merge in a fixed order.
func (s *Stats) Merge(other *Stats) error {
	if len(s.SqSum) != len(other.SqSum) {
		return fmt.Errorf("statistics of %d features cannot be merged with those of %d", len(other.SqSum), len(s.SqSum))
	}
	for c, v := range other.SqSum {
		s.SqSum[c] += v
	}
	s.Tokens += other.Tokens
	return nil
}

// Importance returns the mean of x² of each feature: how much an error in a column of the weight costs at its output. It is
// nil, all columns equal, if s is nil or saw no token.
func (s *Stats) Importance() []float32 {
	if s == nil || s.Tokens == 0 {
		return nil
	}
	out := make([]float32, len(s.SqSum))
	for c, v := range s.SqSum {
		out[c] = float32(v / float64(s.Tokens))
	}
	return out
}
