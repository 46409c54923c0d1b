package stack

import (
	"context"
	"fmt"
	"math"
	"slices"

	"pith/codec"
)

// place is a block: level l (from 0) of a matrix.
type place struct{ matrix, level int }

// probeLevel is how many blocks a matrix has when its weight in the order is probed.
const probeLevel = 2

// order returns the blocks in the order of the file, and the number of tokens that were probed: the first blocks of all matrices, then the others as Order says.
func (b *builder) order(ctx context.Context) ([]place, int, error) {
	var list []place
	for i := range b.stacked {
		list = append(list, place{i, 0})
	}
	if b.Probes <= 0 {
		for _, m := range b.stacked { // relative losses: nothing says which matrix matters
			if m.losses[0] > 0 {
				m.weight = 1 / m.losses[0]
			}
		}
		return append(list, b.greedy()...), 0, nil
	}
	terms, err := b.terms()
	if err != nil {
		return nil, 0, err
	}
	p, err := newProber(ctx, b)
	if err != nil {
		return nil, 0, err
	}
	var rest []place
	if b.Order == ByLevels {
		rest, err = b.byLevels(ctx, p, terms)
	} else if err = b.weigh(ctx, p, terms); err == nil {
		rest = b.greedy()
	}
	return append(list, rest...), p.tokens, err
}

// terms returns the blocks of all matrices.
func (b *builder) terms() ([][]codec.Term, error) {
	all := make([][]codec.Term, len(b.stacked))
	for i, m := range b.stacked {
		var err error
		if all[i], err = b.work.load(i, m); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// weigh sets each matrix' weight to the KL divergence that a unit of its loss costs, probed with the matrix alone reduced to its first blocks.
func (b *builder) weigh(ctx context.Context, p *prober, terms [][]codec.Term) error {
	for i, m := range b.stacked {
		b.Progress(Progress{"probe", int64(i), int64(len(b.stacked)), m.name})
		level := min(probeLevel, len(terms[i]))
		before, err := p.model.SetTerms(map[string][]codec.Term{m.name: terms[i][:level]})
		if err != nil {
			return err
		}
		kl, _, err := p.measure(ctx)
		if err != nil {
			return err
		}
		if _, err := p.model.SetTerms(before); err != nil {
			return err
		}
		m.weight = 0
		if lost := m.losses[level]; lost > 0 && !math.IsNaN(kl) {
			m.weight = max(0, kl) / lost
		}
	}
	return nil
}

// greedy takes the block that takes most off the weighted losses for each byte, again and again, the blocks of a matrix in their order.
func (b *builder) greedy() (list []place) {
	next := make([]int, len(b.stacked))
	for i := range next {
		next[i] = 1
	}
	for {
		best, most := -1, math.Inf(-1)
		for i, m := range b.stacked {
			l := next[i]
			if l >= len(m.bytes) {
				continue
			}
			if gain := m.weight * (m.losses[l] - m.losses[l+1]) / float64(m.bytes[l]); gain > most {
				best, most = i, gain
			}
		}
		if best < 0 {
			return list
		}
		list = append(list, place{best, next[best]})
		next[best]++
	}
}

// byLevels is the paper's order (section 3.3): with all matrices at a level, each alone is raised to the next, and those that leave the lowest perplexity come first.
func (b *builder) byLevels(ctx context.Context, p *prober, terms [][]codec.Term) (list []place, err error) {
	deepest := 0
	for _, t := range terms {
		deepest = max(deepest, len(t))
	}
	for level := 1; level < deepest; level++ {
		at := map[string][]codec.Term{}
		for i, m := range b.stacked {
			at[m.name] = terms[i][:min(level, len(terms[i]))]
		}
		if _, err := p.model.SetTerms(at); err != nil {
			return nil, err
		}
		var raised []place
		measured := map[int]float64{}
		for i, m := range b.stacked {
			if level >= len(terms[i]) {
				continue
			}
			b.Progress(Progress{"probe", int64((level-1)*len(terms) + i), int64((deepest - 1) * len(terms)), fmt.Sprintf("level %d of %s", level+1, m.name)})
			before, err := p.model.SetTerms(map[string][]codec.Term{m.name: terms[i][:level+1]})
			if err != nil {
				return nil, err
			}
			_, nll, err := p.measure(ctx)
			if err != nil {
				return nil, err
			}
			if _, err := p.model.SetTerms(before); err != nil {
				return nil, err
			}
			if math.IsNaN(nll) {
				nll = math.Inf(1)
			}
			measured[i] = nll
			raised = append(raised, place{i, level})
		}
		slices.SortStableFunc(raised, func(a, b place) int {
			switch x, y := measured[a.matrix], measured[b.matrix]; {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
		list = append(list, raised...)
	}
	return list, nil
}
