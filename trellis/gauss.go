package trellis

import (
	"math"
	"math/rand/v2"
	"runtime"

	"pith/internal/par"
)

// gaussChunk is how many tiles share a seed.
const gaussChunk = 16

// GaussianMSE returns the mean squared error of code c at rate r on at least samples numbers of a unit Gaussian, whole tiles.
// It is the same for any number of processors.
func GaussianMSE(c *Code, r Rate, samples int, seed uint64) float64 {
	chunks := (samples + gaussChunk*TileWeights - 1) / (gaussChunk * TileWeights)
	sums := make([]float64, chunks)
	workers := min(runtime.GOMAXPROCS(0), chunks)
	encoders := make(chan *Encoder, workers)
	for range workers {
		encoders <- NewEncoder(c, r)
	}
	gain := c.Gain(r)
	par.For(workers, chunks, func(i int) {
		e := <-encoders
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		var x [TileWeights]float32
		tile := make([]byte, r.TileBytes())
		for range gaussChunk {
			for j := range x {
				x[j] = float32(rng.NormFloat64()) / gain
			}
			sums[i] += e.Encode(tile, x[:])
		}
		encoders <- e
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return sum * float64(gain) * float64(gain) / float64(chunks*gaussChunk*TileWeights)
}

// Gap returns by how many decibels mse is above the least possible of a unit Gaussian at rate r, 2^(−2·bits).
func Gap(mse float64, r Rate) float64 { return 10 * math.Log10(mse*math.Exp2(2*r.Bits())) }
