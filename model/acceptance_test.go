package model

import (
	"math"
	"math/rand/v2"
	"testing"
)

// chiSquare returns the statistic of counts against probabilities and what it exceeds once in a million (Wilson and Hilferty 1931). Cells of fewer than
// ten expected draws are put together.
func chiSquare(counts []int, p []float64, draws int) (statistic, limit float64) {
	cells, rareCount, rare := 0, 0, 0.0
	add := func(count int, expected float64) {
		if expected > 0 {
			statistic += (float64(count) - expected) * (float64(count) - expected) / expected
			cells++
		} else if count > 0 {
			statistic = math.Inf(1)
		}
	}
	for i, c := range counts {
		if e := p[i] * float64(draws); e > 0 && e < 10 {
			rareCount, rare = rareCount+c, rare+e
		} else {
			add(c, e)
		}
	}
	if rare > 0 {
		add(rareCount, rare)
	}
	if cells < 2 {
		return statistic, 1
	}
	df := float64(cells - 1)
	const z = 4.753 // of one in a million
	cube := 1 - 2/(9*df) + z*math.Sqrt(2/(9*df))
	return statistic, df * cube * cube * cube
}

// randomDistribution gives some of n tokens probabilities, few of them nearly all.
func randomDistribution(rng *rand.Rand, n int) (list []choice, dense []float64) {
	dense = make([]float64, n)
	sum := 0.0
	for sum == 0 {
		for i := range dense {
			if rng.IntN(3) > 0 {
				dense[i] = math.Exp(2 * rng.NormFloat64())
				sum += dense[i]
			}
		}
	}
	for _, i := range rng.Perm(n) {
		if dense[i] /= sum; dense[i] > 0 {
			list = append(list, choice{int32(i), dense[i]})
		}
	}
	return list, dense
}

func TestAcceptedAndReplacedTokensHaveTheTargetsDistribution(t *testing.T) {
	const n, draws = 12, 100_000
	rng := rand.New(rand.NewPCG(6, 1))
	for trial := range 12 {
		a := newAcceptance(uint64(trial), n)
		target, p := randomDistribution(rng, n)
		draft, q := randomDistribution(rng, n)
		switch trial {
		case 0:
			draft, q = target, p
		case 1: // nothing in common
			target, p = []choice{{0, 0.25}, {1, 0.75}}, []float64{0.25, 0.75, 2: 0, n - 1: 0}
			draft, q = []choice{{2, 1}}, []float64{2: 1, n - 1: 0}
		}
		counts, accepted := make([]int, n), 0
		for range draws {
			token, ok := a.decide(target, draft, a.draw(draft))
			counts[token]++
			if ok {
				accepted++
			}
		}
		if statistic, limit := chiSquare(counts, p, draws); statistic > limit {
			t.Errorf("trial %d: chi-square %.1f, limit %.1f", trial, statistic, limit)
		}
		common := 0.0 // what of the proposals should be accepted
		for i := range p {
			common += min(p[i], q[i])
		}
		if share := float64(accepted) / draws; math.Abs(share-common) > 5*math.Sqrt(common*(1-common)/draws)+1e-12 {
			t.Errorf("trial %d: %.4f of the proposals accepted, want %.4f", trial, share, common)
		}
	}
}

func TestTheDistributionTestSeesDraftsThatAreNotCorrected(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 2))
	a := newAcceptance(1, 12)
	_, p := randomDistribution(rng, 12)
	draft, _ := randomDistribution(rng, 12)
	counts := make([]int, 12)
	for range 100_000 {
		counts[a.draw(draft)]++
	}
	if statistic, limit := chiSquare(counts, p, 100_000); statistic <= limit {
		t.Errorf("chi-square %.1f of another distribution is within %.1f", statistic, limit)
	}
}
