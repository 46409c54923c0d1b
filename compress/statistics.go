package compress

import (
	"context"

	"pith/calib"
	"pith/codec"
	"pith/plan"
)

// FromSet returns the statistics of a file that pith calibrate wrote.
func FromSet(set *calib.Set) Statistics { return &setStatistics{set: set} }

// setStatistics holds those of one block at a time.
type setStatistics struct {
	set   *calib.Set
	block map[string]*calib.Stats // weight → statistics
}

func (s *setStatistics) Block(_ context.Context, b *plan.Block) (err error) {
	s.block, err = blockStats(s.set, b)
	return err
}

func (s *setStatistics) Of(weight string) *calib.Stats { return s.block[weight] }

// gradients are Statistics that may have the squared gradients of weights.
type gradients interface {
	FisherOf(weight string) (*calib.Fisher, error)
}

// FisherOf returns the squared gradients of a weight, nil if the set has none.
func (s *setStatistics) FisherOf(weight string) (*calib.Fisher, error) { return s.set.FisherOf(weight) }

// Anywhere returns the Gram matrix of any weight's input, nil if the set has none.
func (s *setStatistics) Anywhere(weight string, features int) (*calib.Stats, error) {
	site, ok := s.set.SiteOf(weight)
	if !ok || !site.Need.Has(calib.Gram) {
		return nil, nil
	}
	return s.set.For(weight, features, calib.Gram)
}

func (s *setStatistics) Done(context.Context, *plan.Block, func(string) (*codec.Weight, error)) error {
	s.block = nil
	return nil
}

// blockStats loads what the methods of a block's lines ask for. A weight that the set does not know has none.
func blockStats(set *calib.Set, b *plan.Block) (map[string]*calib.Stats, error) {
	block := map[string]*calib.Stats{}
	for i := range b.Lines {
		l := &b.Lines[i]
		m, err := l.NewMethod()
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		need := m.Needs()
		if need == calib.Nothing {
			need = calib.Moments
		}
		if block[l.Weight], err = l.StatsIn(set, m, need); err != nil {
			return nil, err
		}
	}
	return block, nil
}
