package main

import (
	"math"
	"math/rand/v2"

	"pith/internal/par"
	"pith/kernels"
	"pith/trellis"
)

// chunkTiles is how many tiles share a seed; sums are over chunks, in order, so that the number of workers does not matter.
const chunkTiles = 32

// trainer fits the table of one code at one rate to a unit Gaussian by Lloyd's iteration: encode samples, then move every entry to
// the mean of the samples it stands for (Linde, Buzo and Gray 1980; for trellises, Stewart, Gray and Linde 1982). Tiles are
// tail-biting, as those that are stored.
type trainer struct {
	bits    int // of a state
	steps   []uint8
	rows    []uint16
	index   []int32 // entry of each state, states as the search has them: oldest bit first
	entries int
	unit    float64 // of the search, to a standard deviation
	doubled int
	seed    uint64
	next    uint64 // first chunk of samples not used yet
	workers int

	mirror bool    // the last entry is the negative of the first, and so on
	early  float64 // error when its training had begun

	values []float64 // of the entries, in standard deviations
	sums   []float64 // of samples by entry, older rounds fading
	counts []float64
}

// start sets values to the quantiles of a Gaussian of standard deviation spread, in order.
func (t *trainer) start(spread float64) {
	for i := range t.values {
		p := (float64(i) + 0.5) / float64(t.entries)
		t.values[i] = spread * math.Sqrt2 * math.Erfinv(2*p-1)
	}
}

// units rounds v standard deviations to units of the search.
func (t *trainer) units(v float64) int16 {
	return int16(math.RoundToEven(max(-32767, min(32767, t.unit*v))))
}

// search returns a search with the given values of entries.
func (t *trainer) search(values []float64) *kernels.Viterbi {
	v := &kernels.Viterbi{L: t.bits, V: 1, Steps: t.steps, Table: make([]int16, 1<<t.bits), Doublings: t.doubled}
	for s, e := range t.index {
		v.Table[s] = t.units(values[e])
	}
	return v
}

// sample is what one chunk of tiles adds up to.
type sample struct {
	sums, counts []float64
	squares      float64 // of errors
}

// round encodes chunks chunks of samples from first on with the given values, and returns the mean squared error, and the sum and
// number of samples of each entry.
func (t *trainer) round(values []float64, first uint64, chunks int) (mse float64, sums, counts []float64) {
	samples := make([]sample, chunks)
	pool := make(chan *kernels.Viterbi, t.workers)
	for range t.workers {
		pool <- nil
	}
	par.For(t.workers, chunks, func(n int) {
		v := <-pool
		if v == nil {
			v = t.search(values)
		}
		samples[n] = t.chunk(v, values, first+uint64(n))
		pool <- v
	})
	sums, counts = make([]float64, t.entries), make([]float64, t.entries)
	for _, s := range samples {
		for i := range sums {
			sums[i] += s.sums[i]
			counts[i] += s.counts[i]
		}
		mse += s.squares
	}
	return mse / float64(chunks*chunkTiles*trellis.TileWeights), sums, counts
}

func (t *trainer) chunk(v *kernels.Viterbi, values []float64, seed uint64) sample {
	s := sample{sums: make([]float64, t.entries), counts: make([]float64, t.entries)}
	rng := rand.New(rand.NewPCG(t.seed, seed))
	var x [trellis.TileWeights]float64
	var targets [trellis.TileWeights]int16
	path := make([]uint16, len(t.steps))
	for range chunkTiles {
		for i := range x {
			x[i] = rng.NormFloat64()
			targets[i] = t.units(x[i])
		}
		v.Search(path, targets[:])
		for i := range path {
			e := t.index[t.state(path, i)]
			s.sums[e] += x[i]
			s.counts[e]++
			d := x[i] - values[e]
			s.squares += float64(d * d)
		}
	}
	return s
}

// state returns that of step at: its bits and those of the steps after it, the first bit highest.
func (t *trainer) state(path []uint16, at int) uint32 {
	var state uint64
	have := 0
	for have < t.bits {
		k := int(t.steps[at])
		state = state<<k | uint64(path[at])
		have += k
		at = (at + 1) % len(path)
	}
	return uint32(state >> (have - t.bits) & (1<<t.bits - 1))
}
