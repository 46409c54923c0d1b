package model

import (
	"fmt"

	"pith/codec"
	"pith/tensor"
)

// Layers runs a network part by part, so that no more than one part's weights need be in memory. What goes through Embedding, all
// layers, Norm and Head in turn comes out with the bytes that Model.Forward and Model.Logits give.
type Layers struct {
	load    *loader
	workers int
}

// OpenLayers checks the shapes of all weights against c; none is loaded.
func OpenLayers(c Config, w Weights, workers int) (*Layers, error) {
	if c.arch == nil {
		return nil, fmt.Errorf("model: %w; such a checkpoint can be compressed but not run", ErrUnknownArchitecture)
	}
	l := newLoader(c, w)
	if err := l.check(); err != nil {
		return nil, err
	}
	return &Layers{l, max(1, workers)}, nil
}

// With returns the network whose weights are those of over where over has them. A shape that does not fit is found when it is loaded.
func (l *Layers) With(over Weights) *Layers {
	if over == nil {
		return l
	}
	load := *l.load
	load.w = newOverlay(load.w, over)
	return &Layers{&load, l.workers}
}

// overlay is a checkpoint some of whose weights are another's.
type overlay struct {
	Weights
	over Weights
	has  map[string]bool
}

func newOverlay(base, over Weights) overlay {
	o := overlay{base, over, map[string]bool{}}
	for _, name := range over.Names() {
		o.has[name] = true
	}
	return o
}

func (o overlay) Shape(name string) ([]int, error) {
	if o.has[name] {
		return o.over.Shape(name)
	}
	return o.Weights.Shape(name)
}

func (o overlay) Load(name string) (*codec.Weight, error) {
	if o.has[name] {
		return o.over.Load(name)
	}
	return o.Weights.Load(name)
}

// Sites lists where activations can be watched, under the names of this checkpoint's weights.
func (l *Layers) Sites() []Site { return Sites(l.load.c, l.load.w.Names()) }

// Embedding is the first part of a network.
type Embedding struct{ m *Model }

// Embedding loads the embeddings.
func (l *Layers) Embedding() (*Embedding, error) {
	m := l.load.shell(l.workers)
	if err := l.load.embedding(m); err != nil {
		return nil, err
	}
	return &Embedding{m}, nil
}

// CheckTokens is Model.CheckTokens.
func (e *Embedding) CheckTokens(tokens []int32) error { return e.m.check(tokens, 0) }

// Forward sets x to the hidden states of one sequence, (tokens, Hidden). Tokens must pass CheckTokens.
func (e *Embedding) Forward(x tensor.Mat, tokens []int32) {
	if e.CheckTokens(tokens) != nil {
		panic("model: token outside the vocabulary or sequence longer than the model's positions; see CheckTokens")
	}
	if x.Rows != len(tokens) || x.Cols != e.m.config.Hidden {
		panic("model: hidden states of another shape than the sequence's")
	}
	e.m.embedTokens(x, tokens, 0)
}

// Layer is one layer of a network.
type Layer struct {
	m     *Model
	index int
}

// Layer loads layer i.
func (l *Layers) Layer(i int) (*Layer, error) {
	m := l.load.shell(l.workers)
	if err := l.load.layer(m, i); err != nil {
		return nil, err
	}
	return &Layer{m, i}, nil
}

// Forward runs the hidden states x of some sequences, one after another and lengths[i] rows long, through the layer, in place. watch, unless
// nil, is shown the inputs of the layer's linear layers under the names of Sites: one row per token, each token once, in their order,
// perhaps in several calls of some rows. It must not keep them.
func (l *Layer) Forward(x tensor.Mat, lengths []int, watch func(site string, x tensor.Mat)) {
	p, end := l.begin(x, lengths)
	defer end()
	if watch != nil {
		p.watch = func(in input, x tensor.Mat) bool { watch(siteName(l.index, in), x); return false }
	}
	p.attentionBlock(x, l.index)
	p.mlpBlock(x, l.index)
}

// Halves is Forward without watching what linear layers read: it shows the states between the attention and the MLP, which between must
// neither keep nor change.
func (l *Layer) Halves(x tensor.Mat, lengths []int, between func(x tensor.Mat)) {
	p, end := l.begin(x, lengths)
	defer end()
	p.attentionBlock(x, l.index)
	between(x)
	p.mlpBlock(x, l.index)
}

// Attend sets att, (tokens, Heads·HeadDim), to what the attention to x comes to before its last matrix, the inputs of that: from there Finish and Reach
// go on. x stays as it is.
func (l *Layer) Attend(att, x tensor.Mat, lengths []int) {
	p, end := l.begin(x, lengths)
	defer end()
	got, _ := p.attention(x, l.index)
	if att.Rows != got.Rows || att.Cols != got.Cols {
		panic("model: attention of another shape than the hidden states'")
	}
	copy(att.Data, got.Data)
}

// Finish is Forward of x whose attention Attend has computed.
func (l *Layer) Finish(x, att tensor.Mat, lengths []int) {
	p, end := l.begin(x, lengths)
	defer end()
	p.addAttention(x, att, l.index)
	p.mlpBlock(x, l.index)
}

// ReadsHidden reports whether a site of the layer reads the hidden states themselves, before any attention to them.
func (l *Layer) ReadsHidden(site string) bool { return site == siteName(l.index, inQKV) }

// Reach runs x as Forward does until the inputs of one site are known, and shows them to watch as Forward would. With them it shows the
// rows of the residual stream that the site's outputs are added to; none (Cols 0) where outputs are not added as they are. x is left as it
// is at that point. att is what Attend made of x; if it is empty, Reach does that itself.
func (l *Layer) Reach(x, att tensor.Mat, lengths []int, site string, watch func(in, residual tensor.Mat)) {
	p, end := l.begin(x, lengths)
	defer end()
	row := 0
	p.watch = func(in input, h tensor.Mat) (enough bool) {
		if siteName(l.index, in) != site {
			return false
		}
		var residual tensor.Mat
		if l.Adds(site) {
			residual = x.Slice(row, row+h.Rows)
		}
		row += h.Rows
		watch(h, residual)
		return true
	}
	if att.Rows > 0 {
		p.addAttention(x, att, l.index)
	} else {
		p.attentionBlock(x, l.index)
	}
	if row == 0 {
		p.mlpBlock(x, l.index)
	}
}

// Adds reports whether the outputs at a site of the layer are added to the residual stream as they are.
func (l *Layer) Adds(site string) bool {
	return !l.m.config.PostNorms && !l.m.config.HasShortcuts() && (site == siteName(l.index, inOut) || site == siteName(l.index, inDown))
}

// begin readies a pass of x; end frees it.
func (l *Layer) begin(x tensor.Mat, lengths []int) (p pass, end func()) {
	m := l.m
	var spans []span
	row := 0
	for _, n := range lengths {
		if n > 0 {
			spans = append(spans, span{row: row, n: n, global: m.global.forLength(n), local: m.local.forLength(n)})
		}
		row += n
	}
	if row != x.Rows || x.Cols != m.config.Hidden {
		panic("model: hidden states of another shape than the sequences'")
	}
	s := m.space()
	p = m.begin(s, spans)
	return p, func() {
		p.end()
		m.spaces.Put(s)
	}
}

// Norm is the final norm of a network.
type Norm struct{ m *Model }

// Norm loads the final norm.
func (l *Layers) Norm() (*Norm, error) {
	m := l.load.shell(l.workers)
	var err error
	m.finalNorm, err = l.load.norm(l.load.root+l.load.c.arch.finalNorm, l.load.c.Hidden)
	return &Norm{m}, err
}

// Forward sets y to the final norm of hidden states x: what Model.Forward returns, and what the head multiplies. y may be x.
func (n *Norm) Forward(y, x tensor.Mat) {
	for r := range x.Rows {
		n.m.finalNorm.apply(y.Row(r), x.Row(r))
	}
}

// Head is the last part of a network.
type Head struct{ m *Model }

// Head loads the head; a tied one is the embedding.
func (l *Layers) Head() (*Head, error) {
	m := l.load.shell(l.workers)
	if err := l.load.end(m); err != nil {
		return nil, err
	}
	return &Head{m}, nil
}

// Logits is Model.Logits.
func (h *Head) Logits(hidden tensor.Mat) tensor.Mat { return h.m.Logits(hidden) }
