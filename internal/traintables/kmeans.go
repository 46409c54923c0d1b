package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"pith/internal/par"
	"pith/kernels"
	"pith/trellis"
)

// HYB's tables as QTIP makes them (arXiv 2406.11235, section 3.1.2, and its source): k-means of 2^18 pairs (there 2^20) of a unit Gaussian from as
// many random centres as the table has, until a round lessens the mean distance by no more than 1e-5, scaled to a standard deviation
// of √(15/16); stored as binary16. The pairs are of the whole plane although a state's sign mirrors them: k-means of the half plane
// comes to an even grid together with its mirror image, and is worse behind a hash (0.0713 instead of 0.0706 at 2 bits).
const (
	hybSamples = 1 << 18
	hybLeast   = 1e-5
	hybSpread  = 0.9682458365518543
)

// hybTables returns the tables of all sizes, one after the other.
func hybTables(workers int) []byte {
	rng := rand.New(rand.NewPCG(1, 10))
	var file []byte
	for _, q := range trellis.HybTableBits() {
		centres, samples := gaussianPairs(rng, 1<<q), gaussianPairs(rng, hybSamples)
		kmeans(centres, samples, workers)
		scale := hybSpread / deviation(centres)
		for _, c := range centres {
			for _, v := range c {
				h := kernels.Float32ToF16(float32(v * scale))
				file = append(file, byte(h), byte(h>>8))
			}
		}
	}
	return file
}

func gaussianPairs(rng *rand.Rand, n int) [][2]float64 {
	pairs := make([][2]float64, n)
	for i := range pairs {
		pairs[i] = [2]float64{rng.NormFloat64(), rng.NormFloat64()}
	}
	return pairs
}

// deviation returns the standard deviation of all numbers of pairs.
func deviation(pairs [][2]float64) float64 {
	var sum, squares float64
	for _, p := range pairs {
		sum += p[0] + p[1]
		squares += float64(p[0]*p[0]) + float64(p[1]*p[1])
	}
	n := float64(2 * len(pairs))
	return math.Sqrt(squares/n - float64(sum/n)*float64(sum/n))
}

// kmeans moves centres to the means of the samples nearest to them, round after round (Lloyd 1982; MacQueen 1967), and sorts them.
func kmeans(centres, samples [][2]float64, workers int) {
	nearest, distance := make([]int32, len(samples)), make([]float64, len(samples))
	for last := math.Inf(1); ; {
		slices.SortFunc(centres, func(a, b [2]float64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		par.Ranges(workers, len(samples), 4096, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				nearest[i], distance[i] = nearestOf(centres, samples[i])
			}
		})
		sums, counts, mean := make([][2]float64, len(centres)), make([]float64, len(centres)), 0.
		for i, j := range nearest {
			sums[j][0] += samples[i][0]
			sums[j][1] += samples[i][1]
			counts[j]++
			mean += distance[i] / float64(len(samples))
		}
		for j, s := range sums {
			if counts[j] > 0 {
				centres[j] = [2]float64{s[0] / counts[j], s[1] / counts[j]}
			}
		}
		if last-mean <= hybLeast {
			return
		}
		last = mean
	}
}

// nearestOf returns which of centres, sorted by their first number, is nearest to p, and how far it is.
func nearestOf(centres [][2]float64, p [2]float64) (nearest int32, distance float64) {
	from, _ := slices.BinarySearchFunc(centres, p[0], func(c [2]float64, x float64) int { return cmp.Compare(c[0], x) })
	least := math.Inf(1)
	for step := range 2 { // to the right, then to the left, until the first number alone is too far
		for j := from - step; j >= 0 && j < len(centres); j += 1 - 2*step {
			dx, dy := p[0]-centres[j][0], p[1]-centres[j][1]
			if float64(dx*dx) >= least {
				break
			}
			if d := float64(dx*dx) + float64(dy*dy); d < least {
				least, nearest = d, int32(j)
			}
		}
	}
	return nearest, math.Sqrt(least)
}
