package plane

import (
	"math/rand/v2"
	"testing"
)

func TestNearestIsTheNearestOfAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 3, 8, 64, 1000} {
		points := make([]float32, 2*n)
		for i := range points {
			points[i] = float32(rng.NormFloat64())
		}
		x := New(points)
		for range 20000 {
			px, py := float32(2*rng.NormFloat64()), float32(2*rng.NormFloat64())
			if got, want := x.Nearest(px, py), x.NearestOfAll(px, py); got != want {
				t.Fatalf("%d points: nearest to (%g, %g) is %d, want %d", n, px, py, got, want)
			}
		}
	}
}
