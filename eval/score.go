package eval

import (
	"fmt"
	"math"
)

// score is what one scored position contributes.
type score struct {
	nll, nllBase float64 // -ln p(target) of the candidate and of the base
	kl           float64 // KL(base ‖ candidate) in nats, over the whole vocabulary
	deltaP       float64 // p(target) of the candidate minus that of the base
	agree        bool    // both have the same most likely token (the lowest id among equals)
}

// scoreRow scores one row of logits against target. base is the base model's row, or nil. Sums over the vocabulary are in float64, in
// order; KL(base ‖ cand) = Σ p_b·(b−c) − lse(b) + lse(c) with b, c the logits, which is exactly 0 for equal rows.
func scoreRow(cand, base []float32, target int32) (score, error) {
	if int(target) < 0 || int(target) >= len(cand) {
		return score{}, fmt.Errorf("token id %d is outside the model's vocabulary of %d: the tokenizer does not belong to this model", target, len(cand))
	}
	top, err := argmax(cand)
	if err != nil {
		return score{}, err
	}
	var s score
	lse := logSumExp(cand, cand[top])
	s.nll = lse - float64(cand[target])
	if base == nil {
		return s, nil
	}
	topBase, err := argmax(base)
	if err != nil {
		return score{}, fmt.Errorf("base model: %w", err)
	}
	var sum, diff float64
	peak := float64(base[topBase])
	for i, b := range base {
		e := math.Exp(float64(b) - peak)
		sum += e
		diff += e * (float64(b) - float64(cand[i]))
	}
	lseBase := peak + math.Log(sum)
	s.nllBase = lseBase - float64(base[target])
	s.kl = max(0, diff/sum-(lseBase-lse))
	s.deltaP = math.Exp(-s.nll) - math.Exp(-s.nllBase)
	s.agree = top == topBase
	return s, nil
}

// argmax returns the index of the largest logit, the first among equals; a NaN or an infinity is an error.
func argmax(logits []float32) (int, error) {
	best := 0
	for i, v := range logits {
		if v-v != 0 {
			return 0, fmt.Errorf("logit %d is %v: the weights or the activations overflow or hold NaN", i, v)
		}
		if v > logits[best] {
			best = i
		}
	}
	return best, nil
}

// logSumExp returns ln Σ exp(v) given the largest v.
func logSumExp(logits []float32, peak float32) float64 {
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v) - float64(peak))
	}
	return float64(peak) + math.Log(sum)
}

// Diverge scores one position's logits against those of a base model: −ln p(target) of both, and KL(base ‖ cand) in nats. It returns an error
// for logits that are not finite.
func Diverge(cand, base []float32, target int32) (nll, nllBase, kl float64, err error) {
	s, err := scoreRow(cand, base, target)
	return s.nll, s.nllBase, s.kl, err
}
