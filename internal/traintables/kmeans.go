package main

import (
	"math"
	"math/rand/v2"

	"pith/internal/par"
	"pith/kernels"
	"pith/trellis"
)

// HYB's tables: k-means of pairs of a unit Gaussian, the first of a pair without its sign, scaled to a standard deviation of
// √(15/16) (QTIP, arXiv 2406.11235, section 3.1.2 and its source: 0.9682458…), stored as binary16.
const (
	hybSamples = 1 << 18
	hybRounds  = 40
	hybSpread  = 0.9682458365518543
)

// hybTables returns the tables of all sizes, one after the other.
func hybTables() []byte {
	rng := rand.New(rand.NewPCG(9, 10))
	pairs := make([][2]float32, hybSamples)
	for i := range pairs {
		pairs[i] = [2]float32{float32(math.Abs(rng.NormFloat64())), float32(rng.NormFloat64())}
	}
	var file []byte
	for _, q := range trellis.HybTableBits() {
		centres := kmeans(pairs, 1<<q)
		var sum float64
		for _, c := range centres {
			sum += float64(c[0])*float64(c[0]) + float64(c[1])*float64(c[1])
		}
		scale := float32(hybSpread / math.Sqrt(sum/float64(2*len(centres))))
		for _, c := range centres {
			for _, v := range c {
				h := kernels.Float32ToF16(v * scale)
				file = append(file, byte(h), byte(h>>8))
			}
		}
	}
	return file
}

// kmeans returns n centres of pairs, which begin as the first n.
func kmeans(pairs [][2]float32, n int) [][2]float32 {
	centres := make([][2]float32, n)
	copy(centres, pairs)
	nearest := make([]int32, len(pairs))
	for range hybRounds {
		par.Ranges(2, len(pairs), 4096, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				least := float32(math.Inf(1))
				for j, c := range centres {
					dx, dy := pairs[i][0]-c[0], pairs[i][1]-c[1]
					if d := float32(dx*dx) + float32(dy*dy); d < least {
						least, nearest[i] = d, int32(j)
					}
				}
			}
		})
		sums, counts := make([][2]float64, n), make([]float64, n)
		for i, j := range nearest {
			sums[j][0] += float64(pairs[i][0])
			sums[j][1] += float64(pairs[i][1])
			counts[j]++
		}
		for j, s := range sums {
			if counts[j] > 0 {
				centres[j] = [2]float32{float32(s[0] / counts[j]), float32(s[1] / counts[j])}
			}
		}
	}
	return centres
}
