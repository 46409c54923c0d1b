package model

import "math/rand/v2"

// acceptance decides about proposed tokens so that what is emitted has the distribution of the target, whatever the draft proposes
// (Leviathan et al. 2023, arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318, theorem 1). Distributions are lists of tokens with
// probabilities that sum to 1; a token that a list lacks has none. Greedy decoding is the case of lists of one token.
type acceptance struct {
	rng   *rand.Rand
	draft []float64 // scratch: probabilities under the draft by token; zeros between calls
}

func newAcceptance(seed uint64, vocab int) *acceptance {
	return &acceptance{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), make([]float64, vocab)}
}

// draw returns a token of a distribution.
func (a *acceptance) draw(p []choice) int32 {
	if len(p) == 1 {
		return p[0].id
	}
	return drawOf(a.rng, p, 1)
}

// drawOf returns a token with a probability proportional to its weight; sum is that of all weights.
func drawOf(rng *rand.Rand, p []choice, sum float64) int32 {
	at := rng.Float64() * sum
	for _, c := range p {
		if at -= c.weight; at < 0 {
			return c.id
		}
	}
	return p[len(p)-1].id
}

// decide accepts a token drawn from the draft's q with probability min(1, p/q), p being the target's; otherwise it returns a token drawn from
// what q lacks of p, max(0, p − q) normalised.
func (a *acceptance) decide(p, q []choice, proposed int32) (token int32, accepted bool) {
	target, draft := probability(p, proposed), probability(q, proposed)
	if target > 0 && (target >= draft || a.rng.Float64()*draft < target) {
		return proposed, true
	}
	for _, c := range q {
		a.draft[c.id] = c.weight
	}
	lacking := make([]choice, 0, len(p))
	sum := 0.0
	for _, c := range p {
		if d := c.weight - a.draft[c.id]; d > 0 {
			lacking = append(lacking, choice{c.id, d})
			sum += d
		}
	}
	for _, c := range q {
		a.draft[c.id] = 0
	}
	if len(lacking) == 0 { // p and q are equal but for rounding
		return proposed, true
	}
	if len(lacking) == 1 {
		return lacking[0].id, false
	}
	return drawOf(a.rng, lacking, sum), false
}

func probability(p []choice, id int32) float64 {
	for _, c := range p {
		if c.id == id {
			return c.weight
		}
	}
	return 0
}
