// Package calib holds what methods may ask to know about the activations that flow into a weight. Statistics are sums over
// tokens in float64, so those of parts of a corpus merge by addition; methods say what they need, and the loop observes no more.
// A Set is the statistics of a whole model, kept in a file and read site by site.
package calib

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"pith/internal/par"
	"pith/tensor"
)

// Need is a set of statistics.
type Need uint8

// The statistics there are.
const (
	Nothing Need = 0
	Moments Need = 1 // Σ x² of each input feature
	Gram    Need = 3 // Σ x·xᵀ, whose diagonal the moments are
	Counts  Need = 4 // how often each row of an embedding was read
)

// Has reports whether n includes all of want.
func (n Need) Has(want Need) bool { return n&want == want }

// String returns the name of what there is, as files and flags spell it.
func (n Need) String() string {
	switch n {
	case Nothing:
		return "nothing"
	case Moments:
		return "moments"
	case Gram:
		return "gram"
	case Counts:
		return "counts"
	}
	return fmt.Sprintf("need %d", uint8(n))
}

// MarshalText writes String.
func (n Need) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *Need) UnmarshalText(text []byte) error {
	for _, known := range []Need{Nothing, Moments, Gram, Counts} {
		if known.String() == string(text) {
			*n = known
			return nil
		}
	}
	return fmt.Errorf("statistics called %q are not known", text)
}

// Stats are the statistics of one input: what all weights that multiply the same activations share.
type Stats struct {
	Tokens    int64     // that the sums are over
	NonFinite int64     // tokens left out because one of their features was infinite or not a number
	SqSum     []float64 // Σ over tokens of x², one entry per input feature (column of the weight)
	AbsSum    []float64 // Σ over tokens of |x|; nil if it was not collected, as in what other programs write
	Gram      []float64 // Σ of x·xᵀ, lower triangle by rows: Gram[i(i+1)/2+j] = Σ x_i·x_j, j ≤ i; nil if it was not collected
	Counts    []int64   // of an embedding: how often each row was read; SqSum is then nil
	Drift     *Drift    // nil if it was not observed; no file keeps it

	mu      sync.Mutex
	derived map[string]*derived
}

// NewStats returns the moments of no tokens yet.
func NewStats(features int) *Stats {
	return &Stats{SqSum: make([]float64, features), AbsSum: make([]float64, features)}
}

// NewGram returns the Gram matrix and the moments of no tokens yet: 4·features·(features+1) bytes.
func NewGram(features int) *Stats {
	s := NewStats(features)
	s.Gram = make([]float64, packed(features))
	return s
}

// packed is the number of entries of a lower triangle of n rows.
func packed(n int) int { return n * (n + 1) / 2 }

// Holds returns which statistics these are.
func (s *Stats) Holds() Need {
	switch {
	case s == nil:
		return Nothing
	case s.Gram != nil:
		return Gram
	case s.Counts != nil:
		return Counts
	}
	return Moments
}

// GramRow returns the first i+1 entries of row i of the Gram matrix, those up to the diagonal. They are shared, not to be changed.
func (s *Stats) GramRow(i int) []float64 { return s.Gram[packed(i):packed(i+1)] }

// Observe adds the rows of x, (tokens, features). A row with a value that is not finite is left out and counted.
func (s *Stats) Observe(x tensor.Mat) { s.ObserveWith(1, x) }

// ObserveWith is Observe on some goroutines. Every sum runs over the tokens one after another, so its bits depend neither on workers
// nor on how tokens are cut into calls.
func (s *Stats) ObserveWith(workers int, x tensor.Mat) {
	if x.Cols != len(s.SqSum) {
		panic("calib: Observe of another number of features")
	}
	s.forget()
	x = s.finite(x)
	if s.Gram == nil {
		par.Ranges(workers, x.Cols, 256, func(lo, hi int) { addSquares(s.SqSum[lo:hi], x, lo) })
	} else {
		s.addGram(workers, x)
	}
	if s.AbsSum != nil {
		par.Ranges(workers, x.Cols, 256, func(lo, hi int) { addMagnitudes(s.AbsSum[lo:hi], x, lo) })
	}
	s.Tokens += int64(x.Rows)
}

// finite returns the rows of x that are finite, x itself if all are, and counts the others.
func (s *Stats) finite(x tensor.Mat) tensor.Mat {
	var bad []int
	for t := range x.Rows {
		if !allFinite(x.Row(t)) {
			bad = append(bad, t)
		}
	}
	if bad == nil {
		return x
	}
	s.NonFinite += int64(len(bad))
	kept := tensor.NewMat(x.Rows-len(bad), x.Cols)
	row := 0
	for t := range x.Rows {
		if !slices.Contains(bad, t) {
			copy(kept.Row(row), x.Row(t))
			row++
		}
	}
	return kept
}

func allFinite(x []float32) bool {
	for _, v := range x {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return false
		}
	}
	return true
}

// addSquares adds the squares of columns c … c+len(sums) of x.
func addSquares(sums []float64, x tensor.Mat, c int) {
	for t := range x.Rows {
		for i, v := range x.Row(t)[c : c+len(sums)] {
			sums[i] += float64(v) * float64(v) // exact: 24 bits by 24, so fusing changes nothing
		}
	}
}

// addMagnitudes adds the magnitudes of columns c … c+len(sums) of x.
func addMagnitudes(sums []float64, x tensor.Mat, c int) {
	for t := range x.Rows {
		for i, v := range x.Row(t)[c : c+len(sums)] {
			sums[i] += math.Abs(float64(v))
		}
	}
}

// ObserveRows counts that these rows of an embedding were read.
func (s *Stats) ObserveRows(tokens []int32) {
	for _, t := range tokens {
		s.Counts[t]++
	}
	s.Tokens += int64(len(tokens))
}

// Reset makes s the statistics of no tokens again, in the memory it has.
func (s *Stats) Reset() {
	s.forget()
	clear(s.SqSum)
	clear(s.AbsSum)
	clear(s.Gram)
	clear(s.Counts)
	if s.Drift != nil {
		clear(s.Drift.Input)
		clear(s.Drift.Output)
	}
	s.Tokens, s.NonFinite = 0, 0
}

// Merge adds the statistics of other tokens of the same input. For the same bytes on every run, merge in a fixed order.
func (s *Stats) Merge(other *Stats) error {
	switch {
	case len(s.SqSum) != len(other.SqSum):
		return fmt.Errorf("statistics of %d features cannot be merged with those of %d", len(other.SqSum), len(s.SqSum))
	case len(s.Counts) != len(other.Counts):
		return fmt.Errorf("counts of %d rows cannot be merged with those of %d", len(other.Counts), len(s.Counts))
	case s.Drift != nil || other.Drift != nil:
		return errors.New("what compression changed in one run cannot be merged with another run's")
	case (s.Gram == nil) != (other.Gram == nil):
		return fmt.Errorf("a Gram matrix cannot be merged with moments alone; collect both with --moments-only, or neither")
	}
	s.forget()
	add(s.SqSum, other.SqSum)
	if s.AbsSum == nil || other.AbsSum == nil {
		s.AbsSum = nil
	}
	add(s.AbsSum, other.AbsSum[:len(s.AbsSum)])
	add(s.Gram, other.Gram)
	add(s.Counts, other.Counts)
	s.Tokens += other.Tokens
	s.NonFinite += other.NonFinite
	return nil
}

func add[T int64 | float64](to, from []T) {
	for i, v := range from {
		to[i] += v
	}
}

// Importance returns the mean of x² of each feature: how much an error in a column of the weight costs at its output. It is
// nil, all columns equal, if s is nil, saw no token, or has no moments. Where the largest is beyond 2^±40, as after huge norm weights,
// all are multiplied by the power of two that brings it to 0.5 … 1, so that sums of them stay finite and above zero in float32.
func (s *Stats) Importance() []float32 {
	if s == nil || s.Tokens == 0 || s.SqSum == nil {
		return nil
	}
	var top float64
	for _, v := range s.SqSum {
		top = max(top, v/float64(s.Tokens))
	}
	_, exponent := math.Frexp(top)
	if exponent >= -40 && exponent <= 40 {
		exponent = 0
	}
	out := make([]float32, len(s.SqSum))
	for c, v := range s.SqSum {
		out[c] = float32(math.Ldexp(v/float64(s.Tokens), -exponent))
	}
	return out
}
