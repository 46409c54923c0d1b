package model

import (
	"math"
	"testing"
)

func TestGreedyTakesTheFirstOfTheLargest(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		logits []float32
		want   int32
	}{{[]float32{1}, 0}, {[]float32{1, 3, 2, 3}, 1}, {[]float32{-5, -1}, 1}, {[]float32{nan, -4, nan}, 1}} {
		if got := NewSampler(Sampling{}).Next(c.logits); got != c.want {
			t.Errorf("%v: %d, want %d", c.logits, got, c.want)
		}
		if got := NewSampler(Sampling{Temperature: 2, TopK: 1}).Next(c.logits); got != c.want {
			t.Errorf("top-k 1 of %v: %d, want %d", c.logits, got, c.want)
		}
	}
}

func TestSamplingFollowsTheDistribution(t *testing.T) {
	logits := []float32{0, float32(math.Log(2)), float32(math.Log(4)), float32(math.Log(9))}
	const draws = 40000
	for _, c := range []struct {
		s    Sampling
		want []float64 // weights
	}{
		{Sampling{Temperature: 1}, []float64{1, 2, 4, 9}},
		{Sampling{Temperature: .5}, []float64{1, 4, 16, 81}},
		{Sampling{Temperature: 1, TopK: 2}, []float64{0, 0, 4, 9}},
		{Sampling{Temperature: 1, TopP: .5}, []float64{0, 0, 0, 9}},
		{Sampling{Temperature: 1, TopP: .6}, []float64{0, 0, 4, 9}},
		{Sampling{Temperature: 1, TopK: 3, TopP: .999}, []float64{0, 2, 4, 9}},
	} {
		var total float64
		for _, w := range c.want {
			total += w
		}
		counts := make([]float64, len(logits))
		s := NewSampler(c.s)
		for range draws {
			counts[s.Next(logits)]++
		}
		for i, w := range c.want {
			p := w / total
			if d := math.Abs(counts[i]/draws - p); d > 4*math.Sqrt(p*(1-p)/draws) {
				t.Errorf("%+v: token %d drawn %.4f of the time, want %.4f", c.s, i, counts[i]/draws, p)
			}
		}
	}
}

func TestSameSeedGivesTheSameTokens(t *testing.T) {
	logits := make([]float32, 50)
	draw := func(seed uint64) (ids [64]int32) {
		s := NewSampler(Sampling{Temperature: 1, TopK: 40, TopP: .9, Seed: seed})
		for i := range ids {
			ids[i] = s.Next(logits)
		}
		return ids
	}
	if again := draw(1); again != draw(1) {
		t.Error("one seed, two sequences")
	}
	if draw(1) == draw(2) {
		t.Error("two seeds, one sequence")
	}
}
