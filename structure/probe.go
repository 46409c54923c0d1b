package structure

import (
	"context"
	"fmt"

	"pith/checkpoint"
	"pith/codec"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// Prober measures how much predictions change when one weight of a network does: the mean KL divergence from the network as it is, on some
// windows of text. So ASVD measures how sensitive layers are to their ranks (Yuan et al. 2023, arXiv 2312.05821, section 3.3), by perplexity.
type Prober struct {
	r       *runner
	layer   map[string]int // of each weight of a layer
	batches []batch
	states  [][]tensor.Mat // of each batch: the residual stream before each layer, and at the end
}

// NewProber runs the network over the texts and keeps the states of every layer.
func NewProber(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, o Options) (*Prober, error) {
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return nil, err
	}
	p := &Prober{r: r, layer: map[string]int{}}
	for _, site := range model.Sites(r.config, ckpt.Names()) {
		if site.Layer < 0 {
			continue
		}
		for _, w := range site.Weights {
			p.layer[w] = site.Layer
		}
	}
	err = r.each(ctx, "states of the original", func(b batch) error {
		p.batches = append(p.batches, b)
		p.states = append(p.states, r.states(b, r.all()))
		return nil
	})
	return p, err
}

// KL returns the divergence, in nats a token, with term in place of a weight.
func (p *Prober) KL(ctx context.Context, weight string, term codec.Term) (float64, error) {
	at, ok := p.layer[weight]
	if !ok {
		return p.ends(ctx, weight, term)
	}
	before, err := p.r.model.SetTerms(map[string][]codec.Term{weight: codec.Terms(term)})
	if err != nil {
		return 0, err
	}
	var rest []int
	for l := at; l < p.r.config.Layers; l++ {
		rest = append(rest, l)
	}
	sums := make([]tally, 1)
	for i, b := range p.batches {
		if err = ctx.Err(); err != nil {
			break
		}
		x := p.r.through(b, p.states[i][at], rest)
		states := p.states[i]
		if err = p.r.score(b, states[len(states)-1], []tensor.Mat{x}, sums); err != nil {
			break
		}
	}
	if _, back := p.r.model.SetTerms(before); err == nil {
		err = back
	}
	if err != nil {
		return 0, err
	}
	return sums[0].KL(), nil
}

// ends is KL of embedding, learned positions and head.
func (p *Prober) ends(ctx context.Context, weight string, term codec.Term) (float64, error) {
	rows, cols := term.Dims()
	parts, ok := p.r.parts.EndsWith(&codec.Weight{Name: weight, Rows: rows, Cols: cols, Terms: codec.Terms(term)})
	if !ok {
		return 0, fmt.Errorf("%s: is no matrix that the network multiplies by, or has another shape; what it loses cannot be measured", weight)
	}
	r := *p.r
	r.parts = parts
	sums := make([]tally, 1)
	for i, b := range p.batches {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		x, base := r.states(b, r.all()), p.states[i]
		if err := r.score(b, base[len(base)-1], x[len(x)-1:], sums); err != nil {
			return 0, err
		}
	}
	return sums[0].KL(), nil
}
