package quantizers

import (
	"pith/approx"
	"pith/tensor"
)

// deadTokens is how many tokens prove that an input is dead: what is zero in all of so many is something else in less than 0.3 % of
// all tokens, with 95 % confidence (the rule of three).
const deadTokens = 1024

// Notes of what was done to the columns of dead inputs.
const (
	deadZeroed  = "columns whose input was always zero are stored as zeros"
	deadLimited = "columns whose input was always zero are limited to the other columns' range"
)

// withoutDead returns p without what cannot matter: the columns of inputs that were zero in all of calibration. Their weights are free, and
// an outlier among them would still decide the scales of others. They become zeros, as in GPTQ's code (Frantar et al. 2022, arXiv
// 2210.17323); where calibration is too short to prove anything, or left tokens out, they keep their values within the range
// of the row's others. The note says which; it is empty if nothing changed.
func withoutDead(p approx.Problem) (approx.Problem, string) {
	dead, live := deadColumns(p)
	if len(dead) == 0 || len(live) == 0 {
		return p, "" // or no input was ever alive: that tells more of the calibration than of the weight
	}
	zero := p.Stats.Tokens >= deadTokens && p.Stats.NonFinite == 0
	w := tensor.NewMat(p.W.Rows, p.W.Cols)
	changed := false
	for r := range w.Rows {
		row := w.Row(r)
		copy(row, p.W.Row(r))
		var limit float32
		if !zero {
			for _, c := range live {
				limit = max(limit, row[c], -row[c])
			}
		}
		for _, c := range dead {
			if row[c] > limit || row[c] < -limit {
				row[c] = max(-limit, min(limit, row[c]))
				changed = true
			}
		}
	}
	if !changed {
		return p, ""
	}
	p.W = w
	if zero {
		return p, deadZeroed
	}
	return p, deadLimited
}

// deadColumns returns the columns whose input was zero at every token, and the others; none, if there are no statistics to tell.
func deadColumns(p approx.Problem) (dead, live []int) {
	s := p.Stats
	if s == nil || len(s.SqSum) != p.W.Cols || s.Tokens < minTokens {
		return nil, nil
	}
	for c, v := range s.SqSum {
		if v == 0 {
			dead = append(dead, c)
		} else {
			live = append(live, c)
		}
	}
	return dead, live
}
