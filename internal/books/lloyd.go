package main

import "math"

// lloydMax returns the n levels, ascending, of least squared error for the unit Gaussian, and that error (Lloyd 1957, published
// 1982; Max 1960): every level is the mean of what is nearest to it. Half of the levels are iterated; the others mirror them.
func lloydMax(n int) (levels []float64, mse float64) {
	half := make([]float64, n/2)
	for i := range half { // the best density of levels is that of a Gaussian of variance 3 (Panter and Dite 1951)
		p := (float64(n/2+i) + 0.5) / float64(n)
		half[i] = math.Sqrt(3) * math.Sqrt2 * math.Erfinv(2*p-1)
	}
	for range 400 * n * n / 64 {
		moved, from := 0.0, 0.0
		for i, v := range half {
			to := math.Inf(1)
			if i+1 < len(half) {
				to = (v + half[i+1]) / 2
			}
			half[i] = (density(from) - density(to)) / mass(from, to)
			moved = max(moved, math.Abs(half[i]-v))
			from = to
			if i+1 < len(half) { // the next cell starts where v's new place puts it
				from = (half[i] + half[i+1]) / 2
			}
		}
		if moved < 1e-12 {
			break
		}
	}
	levels = make([]float64, n)
	mse = 1.0
	from := 0.0
	for i, v := range half {
		levels[n/2+i], levels[n/2-1-i] = v, -v
		to := math.Inf(1)
		if i+1 < len(half) {
			to = (v + half[i+1]) / 2
		}
		mse -= 2 * v * v * mass(from, to) // E x² less what centroids keep
		from = to
	}
	return levels, mse
}

// density is the Gaussian's; mass its integral over a positive interval.
func density(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

func mass(from, to float64) float64 {
	return (math.Erfc(from/math.Sqrt2) - math.Erfc(to/math.Sqrt2)) / 2
}
