package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling say how the next token is chosen. The zero value is greedy: the most likely token, the lowest id among equals.
// Filters apply in the order of the fields, each to what the one before left, on probabilities at the given temperature.
type Sampling struct {
	Temperature float64 // divides logits; 0: greedy
	TopK        int     // keep the k most likely; 0: all
	TopP        float64 // keep the fewest whose probabilities reach p (Holtzman et al. 2019, arXiv 1904.09751); 0 or ≥ 1: all
	MinP        float64 // keep those at least p times as likely as the most likely (Nguyen et al. 2024, arXiv 2407.01082); 0: all
	Seed        uint64  // of the PCG generator; the same seed gives the same tokens
}

// Check returns an error that names the option which makes no sense.
func (o Sampling) Check() error {
	switch {
	case !(o.Temperature >= 0) || math.IsInf(o.Temperature, 0):
		return fmt.Errorf("temperature %g: expected 0 or more", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("top-k %d: expected 0 (all) or more", o.TopK)
	case !(o.TopP >= 0):
		return fmt.Errorf("top-p %g: expected a probability", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return fmt.Errorf("min-p %g: expected a probability", o.MinP)
	}
	return nil
}

// Sampler chooses tokens from logits; it is deterministic given its options. Not safe for concurrent use.
type Sampler struct {
	o       Sampling
	rng     *rand.Rand
	choices []choice
}

type choice struct {
	id     int32
	weight float64 // logit, then probability relative to the largest
}

// NewSampler returns a sampler; options must pass Check.
func NewSampler(o Sampling) *Sampler {
	if o.Check() != nil {
		panic("model: sampling options out of range; see Check")
	}
	return &Sampler{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15))}
}

// Next returns the chosen token. NaN logits are never chosen unless all are NaN.
func (s *Sampler) Next(logits []float32) int32 {
	if s.greedy() {
		return argmax(logits)
	}
	s.filter(logits)
	sum := 0.0
	for _, c := range s.choices {
		sum += c.weight
	}
	return drawOf(s.rng, s.choices, sum)
}

// distribution appends to dst the tokens that Next chooses among, with their probabilities. The logits are those of the tokens ids; nil: of all tokens
// in order.
func (s *Sampler) distribution(dst []choice, logits []float32, ids []int32) []choice {
	from, sum := len(dst), 1.0
	if s.greedy() {
		dst = append(dst, choice{argmax(logits), 1})
	} else {
		s.filter(logits)
		sum = 0
		for _, c := range s.choices {
			sum += c.weight
		}
		dst = append(dst, s.choices...)
	}
	for i := range dst[from:] {
		c := &dst[from+i]
		c.weight /= sum
		if ids != nil {
			c.id = ids[c.id]
		}
	}
	return dst
}

// greedy reports whether there is nothing to draw.
func (s *Sampler) greedy() bool { return s.o.Temperature == 0 || s.o.TopK == 1 }

func argmax(logits []float32) int32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] || logits[best] != logits[best] {
			best = i
		}
	}
	return int32(best)
}

// filter fills choices with probabilities relative to the largest, most likely first if there is anything to leave out.
func (s *Sampler) filter(logits []float32) {
	s.choices = s.choices[:0]
	for i, v := range logits {
		if v == v && !math.IsInf(float64(v), -1) {
			s.choices = append(s.choices, choice{int32(i), float64(v)})
		}
	}
	if len(s.choices) == 0 {
		s.choices = append(s.choices, choice{0, 1})
		return
	}
	if s.o.TopK == 0 && (s.o.TopP == 0 || s.o.TopP >= 1) && s.o.MinP == 0 {
		s.weigh(float64(logits[argmax(logits)]))
		return
	}
	slices.SortFunc(s.choices, func(a, b choice) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return int(a.id) - int(b.id)
	})
	if k := s.o.TopK; k > 0 && k < len(s.choices) {
		s.choices = s.choices[:k]
	}
	sum := s.weigh(s.choices[0].weight)
	if p := s.o.TopP; p > 0 && p < 1 {
		reached := 0.0
		for i, c := range s.choices {
			if reached += c.weight; reached >= p*sum {
				s.choices = s.choices[:i+1]
				break
			}
		}
	}
	if p := s.o.MinP; p > 0 {
		n := 1
		for n < len(s.choices) && s.choices[n].weight >= p {
			n++
		}
		s.choices = s.choices[:n]
	}
}

// weigh turns logits into probabilities relative to that of the largest logit, top, and returns their sum.
func (s *Sampler) weigh(top float64) (sum float64) {
	for i := range s.choices {
		c := &s.choices[i]
		if c.weight == top { // also where both are infinite
			c.weight = 1
		} else {
			c.weight = math.Exp((c.weight - top) / s.o.Temperature)
		}
		sum += c.weight
	}
	return sum
}
