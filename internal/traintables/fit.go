package main

import (
	"math"

	"pith/trellis"
)

// rounds says how long a training runs.
type rounds struct {
	free, rounded int     // with values as they come, and with values rounded as they are stored
	chunks        int     // of samples in each
	fade          float64 // weight of a round's samples in the next
}

// lloyd moves the values n times; every round has samples of its own, those of seeds from t.next on. It returns the mean squared
// error of the last round, before its move.
func (t *trainer) lloyd(n rounds, limit float64) (mse float64) {
	for i := range n.free + n.rounded {
		values := t.values
		if i >= n.free {
			values = t.rounded(limit).Values()
		}
		var sums, counts []float64
		mse, sums, counts = t.round(values, t.next, n.chunks)
		t.next += uint64(n.chunks)
		if t.mirror {
			fold(sums, counts)
		}
		for e := range sums {
			t.sums[e] = float64(t.sums[e]*n.fade) + sums[e]
			t.counts[e] = float64(t.counts[e]*n.fade) + counts[e]
			if t.counts[e] > 0.5 {
				t.values[e] = t.sums[e] / t.counts[e]
			}
		}
	}
	return mse
}

// fold adds up what belongs to the two entries of a mirrored pair, so that both move alike.
func fold(sums, counts []float64) {
	for e := range len(sums) / 2 {
		o := len(sums) - 1 - e
		sums[e] -= sums[o]
		sums[o] = -sums[e]
		counts[e] += counts[o]
		counts[o] = counts[e]
	}
}

// rounded returns the values as whole numbers of at most limit times the gain with the least squared error, entries weighed by how
// often they are used.
func (t *trainer) rounded(limit float64) trellis.Table {
	peak := 0.
	for _, v := range t.values {
		peak = max(peak, math.Abs(v))
	}
	best, least := float32(1), math.Inf(1)
	for i := range 300 {
		gain := float32(peak / limit * (1.05 - float64(i)/1000))
		var loss float64
		for e, v := range t.values {
			d := v - float64(gain)*entry(v, gain, limit)
			loss += (t.counts[e] + 1e-6) * d * d
		}
		if loss < least {
			best, least = gain, loss
		}
	}
	out := trellis.Table{Gain: best, Rows: t.rows, Entries: make([]int16, len(t.values))}
	for e, v := range t.values {
		out.Entries[e] = int16(entry(v, best, limit))
	}
	return out
}

// entry returns the whole number of at most limit whose product with gain is nearest to v.
func entry(v float64, gain float32, limit float64) float64 {
	return math.RoundToEven(max(-limit, min(limit, v/float64(gain))))
}
