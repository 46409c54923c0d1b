package main

import (
	"math"

	"pith/internal/plane"
)

// kMeans returns n points of the plane, x and y in turn, that k-means gives for the unit Gaussian, and their mean squared error per
// coordinate. Nothing is random: samples and first points are spirals of golden angles whose radii are quantiles, samples those of the
// Gaussian, points those of a Gaussian of variance 2, which is the best density of points in the plane (Zador 1982).
func kMeans(n int) (points []float64, mse float64) {
	points = spiral(n, 2)
	samples := spiral(max(1<<18, n*512), 1)
	index32 := make([]float32, 2*n)
	sums, counts := make([]float64, 2*n), make([]float64, n)
	for range 80 {
		for i, v := range points {
			index32[i] = float32(v)
		}
		index := plane.New(index32)
		clear(sums)
		clear(counts)
		mse = 0
		for i := 0; i < len(samples); i += 2 {
			x, y := samples[i], samples[i+1]
			k := index.Nearest(float32(x), float32(y))
			sums[2*k] += x
			sums[2*k+1] += y
			counts[k]++
			dx, dy := x-points[2*k], y-points[2*k+1]
			mse += dx*dx + dy*dy
		}
		mse /= float64(len(samples))
		for k, c := range counts {
			if c > 0 {
				points[2*k], points[2*k+1] = sums[2*k]/c, sums[2*k+1]/c
			}
		}
	}
	return points, mse
}

// spiral returns n points of a Gaussian of a variance, spread evenly.
func spiral(n int, variance float64) []float64 {
	golden := math.Pi * (3 - math.Sqrt(5))
	points := make([]float64, 2*n)
	for i := range n {
		r := math.Sqrt(-2 * variance * math.Log(1-(float64(i)+0.5)/float64(n)))
		a := math.Mod(float64(i)*golden, 2*math.Pi)
		points[2*i], points[2*i+1] = r*math.Cos(a), r*math.Sin(a)
	}
	return points
}
