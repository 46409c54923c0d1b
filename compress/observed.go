package compress

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/model"
	"pith/observe"
	"pith/plan"
)

// Observe returns statistics that are gathered while the blocks are compressed: of each layer just before it is solved, so that no more
// than one layer's are held and none need be stored. sequential moves the hidden states through the compressed layers, site after site
// within each, so that weights are fitted to what they will see, and told how it differs from what the original network sees; the
// observer must be one that Drifts. Else they move through the original layers. Close the observer when the run is over.
func Observe(o *observe.Observer, ckpt *checkpoint.Checkpoint, sequential bool) Statistics {
	if sequential && !o.Drifts() {
		panic("compress: a sequential run needs an observer with drift")
	}
	s := &observed{o: o, ckpt: ckpt, sequential: sequential, sites: map[string]model.Site{}}
	for _, site := range o.Sites() {
		for _, w := range site.Weights {
			s.sites[w] = site
		}
	}
	return s
}

type observed struct {
	o          *observe.Observer
	ckpt       *checkpoint.Checkpoint
	sequential bool
	sites      map[string]model.Site   // of each weight
	stats      map[string]*calib.Stats // by site, of the block under way
}

// Block observes the layer that the block is, or the head.
func (s *observed) Block(ctx context.Context, b *plan.Block) (err error) {
	s.stats = nil
	layer, ok := s.layer(b)
	switch {
	case !ok:
		return s.rowCounts(b)
	case layer == headLayer && s.countsTied(b):
		s.stats = map[string]*calib.Stats{model.HeadSite: s.o.Embedding()}
	case layer == headLayer:
		head, err := s.o.Head(ctx)
		s.stats = map[string]*calib.Stats{model.HeadSite: head}
		return err
	case !s.sequential: // else Stage does
		s.stats, err = s.o.Step(ctx, layer)
	}
	return err
}

// rowCounts readies how often each row of an embedding is read, if a method asks for that.
func (s *observed) rowCounts(b *plan.Block) error {
	for i := range b.Lines {
		l := &b.Lines[i]
		if s.siteOf(l).Name != model.EmbeddingSite {
			continue
		}
		m, err := l.NewMethod()
		if err != nil {
			return err
		}
		if m != nil && m.Needs().Has(calib.Counts) {
			s.stats = map[string]*calib.Stats{model.EmbeddingSite: s.o.Embedding()}
		}
	}
	return nil
}

// countsTied reports whether an embedding that is also the head is solved by how often its rows are read.
func (s *observed) countsTied(b *plan.Block) bool {
	for i := range b.Lines {
		if m, err := b.Lines[i].NewMethod(); err == nil && plan.TiedCounts(m) {
			return s.siteOf(&b.Lines[i]).Name == model.HeadSite
		}
	}
	return false
}

// staged is Statistics of blocks whose weights' inputs depend on how others of the block are solved.
type staged interface {
	// Stages lists the block's weights in groups, each to be solved when those before it are; nil if there is no need.
	Stages(b *plan.Block) [][]string
	// Stage readies the statistics of a group. load gives the weights of earlier groups as they were solved, others as they were.
	Stage(ctx context.Context, b *plan.Block, weights []string, load func(string) (*codec.Weight, error)) error
}

// Stages groups a layer's weights by the site that they read, in a sequential run; what reads none comes first.
func (s *observed) Stages(b *plan.Block) [][]string {
	layer, ok := s.layer(b)
	if !ok || layer == headLayer || !s.sequential {
		return nil
	}
	var stages [][]string
	var rest []string
	for i := range b.Lines {
		if l := &b.Lines[i]; s.siteOf(l).Name == "" {
			rest = append(rest, l.Weight)
		}
	}
	if rest != nil {
		stages = append(stages, rest)
	}
	for _, site := range s.o.Sites() {
		var group []string
		for i := range b.Lines {
			if l := &b.Lines[i]; s.siteOf(l).Name == site.Name {
				group = append(group, l.Weight)
			}
		}
		if group != nil {
			stages = append(stages, group)
		}
	}
	return stages
}

// siteOf returns the site that a line's weight reads, of a set that its members read.
func (s *observed) siteOf(l *plan.Line) model.Site {
	if l.Common() {
		return s.sites[l.Members[0]]
	}
	return s.sites[l.Weight]
}

// lineOf returns a weight's line of a block.
func lineOf(b *plan.Block, weight string) *plan.Line {
	return &b.Lines[slices.IndexFunc(b.Lines, func(l plan.Line) bool { return l.Weight == weight })]
}

// Stage observes the site of a group, unless all its weights are kept.
func (s *observed) Stage(ctx context.Context, b *plan.Block, weights []string, load func(string) (*codec.Weight, error)) (err error) {
	s.stats = nil
	site := s.siteOf(lineOf(b, weights[0]))
	solves := false
	for i := range b.Lines {
		l := &b.Lines[i]
		solves = solves || !l.Keeps() && slices.Contains(weights, l.Weight)
	}
	if site.Name == "" || !solves {
		return nil
	}
	stats, err := s.o.Drift(ctx, site.Layer, finished{b, load}, site.Name)
	s.stats = map[string]*calib.Stats{site.Name: stats}
	return err
}

// headLayer is what layer returns for weights that read the final hidden states.
const headLayer = -1

// layer returns which layer a block's weights belong to, or headLayer; ok is false if no activations flow into any of them.
func (s *observed) layer(b *plan.Block) (layer int, ok bool) {
	for i := range b.Lines {
		site, known := s.sites[b.Lines[i].Weight]
		switch {
		case !known:
		case site.Name == model.HeadSite:
			return headLayer, true
		case site.Layer >= 0:
			return site.Layer, true
		}
	}
	return 0, false
}

func (s *observed) Of(weight string) *calib.Stats { return s.stats[s.sites[weight].Name] }

// Done moves the hidden states on, if Block has not done so.
func (s *observed) Done(ctx context.Context, b *plan.Block, load func(string) (*codec.Weight, error)) error {
	s.stats = nil
	layer, ok := s.layer(b)
	if !ok && s.sequential && s.embeds(b) {
		return s.o.Embed(ctx, finished{b, load})
	}
	if !ok || layer == headLayer || s.o.Next() != layer {
		return nil
	}
	if !s.sequential {
		return s.o.Advance(ctx, layer, nil)
	}
	return s.o.Advance(ctx, layer, finished{b, load})
}

// embeds reports whether a block has the embedding.
func (s *observed) embeds(b *plan.Block) bool {
	for i := range b.Lines {
		if s.sites[b.Lines[i].Weight].Name == model.EmbeddingSite {
			return true
		}
	}
	return false
}

// finished is the weights of a finished block, as a model reads them.
type finished struct {
	b    *plan.Block
	load func(string) (*codec.Weight, error)
}

func (c finished) Names() []string {
	var names []string
	for i := range c.b.Lines {
		names = append(names, c.b.Lines[i].Weight)
	}
	return names
}

func (c finished) Shape(name string) ([]int, error) {
	i := slices.IndexFunc(c.b.Lines, func(l plan.Line) bool { return l.Weight == name })
	if i < 0 {
		return nil, fmt.Errorf("%s: is not of block %s", name, c.b.Name)
	}
	return c.b.Lines[i].Shape, nil
}

func (c finished) Load(name string) (*codec.Weight, error) { return c.load(name) }

// embeddingLast reports whether the embedding is also the head: then it is solved when the statistics of the head are known.
func embeddingLast(b *plan.Block, s Statistics) bool {
	o, ok := s.(*observed)
	if !ok || !strings.HasPrefix(b.Name, "embedding") {
		return false
	}
	layer, known := o.layer(b)
	return known && layer == headLayer
}
