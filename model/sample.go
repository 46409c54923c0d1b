package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen from logits. The zero value is greedy.
type Sampling struct {
	Temperature float64 // divides the logits; 0: always the most likely token (the lowest id among equals)
	TopK        int     // keep the k most likely tokens; 0: all
	TopP        float64 // keep the fewest most likely tokens whose probability reaches p; 0 or 1: all
	Seed        uint64  // same seed, same tokens
}

// Sampler draws tokens: temperature, then top-k, then top-p. It is not safe for concurrent use.
type Sampler struct {
	Sampling
	rng  *rand.Rand
	ids  []int32
	prob []float64
}

// NewSampler returns a sampler that begins at its seed.
func NewSampler(s Sampling) *Sampler {
	return &Sampler{Sampling: s, rng: rand.New(rand.NewPCG(s.Seed, 0x9e3779b97f4a7c15))}
}

// Next returns the next token given its logits, which it leaves as they are. NaN is never chosen unless all are.
func (s *Sampler) Next(logits []float32) int32 {
	if len(logits) == 0 {
		panic("model: no logits to sample from")
	}
	if s.Temperature <= 0 || s.TopK == 1 {
		return greedy(logits)
	}
	s.ids = s.ids[:0]
	for i, v := range logits {
		if v == v {
			s.ids = append(s.ids, int32(i))
		}
	}
	if len(s.ids) == 0 {
		return 0
	}
	nucleus := s.TopP > 0 && s.TopP < 1
	if nucleus || s.TopK > 0 {
		slices.SortFunc(s.ids, func(a, b int32) int { return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b)) })
		if s.TopK > 0 {
			s.ids = s.ids[:min(s.TopK, len(s.ids))]
		}
	}
	peak := logits[greedy(logits)]
	s.prob = s.prob[:0]
	var sum float64
	for _, id := range s.ids {
		p := math.Exp(float64(logits[id]-peak) / s.Temperature)
		s.prob = append(s.prob, p)
		sum += p
	}
	n := len(s.ids)
	if nucleus {
		var kept float64
		for n = 0; n < len(s.ids) && (n == 0 || kept < s.TopP*sum); n++ {
			kept += s.prob[n]
		}
		sum = kept
	}
	at := s.rng.Float64() * sum
	for i, p := range s.prob[:n] {
		if at -= p; at < 0 {
			return s.ids[i]
		}
	}
	return s.ids[n-1]
}

// greedy returns the id of the largest logit, the lowest among equals.
func greedy(logits []float32) int32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] || logits[best] != logits[best] {
			best = i
		}
	}
	return int32(best)
}
