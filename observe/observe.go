// Package observe runs a checkpoint over a text, one layer's weights in memory at a time, and gathers what calib keeps: for every input of
// linear layers the sums that methods ask for. Between layers it keeps the hidden states of all tokens, so a layer can be replaced by its
// compressed terms before they move on, and later layers see what they will see at run time.
package observe

import (
	"context"
	"fmt"
	"runtime"

	"pith/calib"
	"pith/checkpoint"
	"pith/model"
	"pith/tensor"
)

// Options say what to observe. The zero value gathers Gram matrices over the whole text in windows of 512 tokens.
type Options struct {
	Context     int            // tokens in a window; 0: 512, or the model's context if that is shorter
	Windows     int            // how many windows to read; 0: all
	Moments     bool           // sums of squares only, no Gram matrices
	Workers     int            // goroutines; 0: one per CPU. Results do not depend on it
	HiddenBytes int64          // hidden states up to this size stay in memory, larger ones go to a file; 0: 1 GiB
	MemoryBytes int64          // bound of Plan.MemoryBytes; 0: none. Hidden states that would exceed it go to the file
	TempDir     string         // where that file is; "": the system's
	Drift       bool           // keep the original network's hidden states too: see Observer.Drift
	Tool        string         // name and version of the program, for the record
	Progress    func(Progress) // called after each batch of windows; may be nil
}

// Progress counts tokens through layers.
type Progress struct {
	Done, Total   int64 // tokens · layers, the head counted as one
	Layer, Layers int   // the one at work; Layer == Layers: the head
}

// defaultHiddenBytes keeps half a million tokens of 512 features.
const defaultHiddenBytes = 1 << 30

// batchTokens is how many tokens go through a layer at once, if windows are shorter.
const batchTokens = 1024

// Observer has the hidden states of all tokens at the input of one layer. It is not safe for concurrent use.
type Observer struct {
	o        Options
	ckpt     *checkpoint.Checkpoint
	config   model.Config
	layers   *model.Layers
	sites    []model.Site
	windows  [][]int32
	corpus   calib.Corpus
	hidden   *hidden
	original *hidden                // of the original network, with Options.Drift
	attended *attended              // with Options.Drift
	next     int                    // layer that the hidden states are the input of
	recycled map[int][]*calib.Stats // sums that nobody uses any more, by their features
}

// New tokenizes the texts and computes the hidden states at the input of the first layer. Close must follow.
func New(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []Text, o Options) (*Observer, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.HiddenBytes <= 0 {
		o.HiddenBytes = defaultHiddenBytes
	}
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	length, err := windowLength(config, o.Context)
	if err != nil {
		return nil, err
	}
	tok, err := ckpt.Tokenizer()
	if err != nil {
		return nil, err
	}
	layers, err := model.OpenLayers(config, ckpt, o.Workers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	b := &Observer{o: o, ckpt: ckpt, config: config, layers: layers, sites: layers.Sites()}
	if b.windows, b.corpus, err = cut(tok, texts, length, o.Windows); err != nil {
		return nil, err
	}
	if err := b.fit(); err != nil {
		return nil, err
	}
	if b.hidden, err = newHidden(int(b.corpus.Tokens), config.Hidden, b.o.HiddenBytes, o.TempDir); err != nil {
		return nil, err
	}
	if err := b.embed(ctx, b.layers, b.hidden); err != nil {
		b.Close()
		return nil, err
	}
	if !o.Drift {
		return b, nil
	}
	if b.original, err = newHidden(int(b.corpus.Tokens), config.Hidden, b.o.HiddenBytes, o.TempDir); err != nil {
		b.Close()
		return nil, err
	}
	if b.attended, err = newAttended(int(b.corpus.Tokens), config.Heads*config.HeadDim, b.o.HiddenBytes, o.TempDir); err != nil {
		b.Close()
		return nil, err
	}
	if err := b.embed(ctx, b.layers, b.original); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// embed computes the hidden states at the input of the first layer with the embedding of layers.
func (b *Observer) embed(ctx context.Context, layers *model.Layers, to *hidden) error {
	e, err := layers.Embedding()
	if err != nil {
		return fmt.Errorf("%s: %w", b.ckpt.Path, err)
	}
	for i, w := range b.windows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.CheckTokens(w); err != nil {
			return fmt.Errorf("%s: %w", b.ckpt.Path, err)
		}
		lo := i * b.corpus.Context
		x := to.room(lo, lo+len(w))
		e.Forward(x, w)
		if err := to.put(lo, x); err != nil {
			return err
		}
	}
	runtime.GC() // frees the embedding and the tokenizer before the first layer comes
	return nil
}

// Close frees the hidden states.
func (b *Observer) Close() {
	for _, h := range []*hidden{b.hidden, b.original} {
		if h != nil {
			h.close()
		}
	}
	if b.attended != nil {
		b.attended.close()
	}
}

// Config returns the model's configuration, Corpus what is read, Sites where it is observed.
func (b *Observer) Config() model.Config { return b.config }
func (b *Observer) Corpus() calib.Corpus { return b.corpus }
func (b *Observer) Sites() []model.Site  { return b.sites }

// Next returns the layer that the hidden states are the input of; after the last layer their number.
func (b *Observer) Next() int { return b.next }

// Embedding counts how often each row of the embedding is read.
func (b *Observer) Embedding() *calib.Stats {
	s := &calib.Stats{Counts: make([]int64, b.config.Vocab)}
	for _, w := range b.windows {
		s.ObserveRows(w)
	}
	return s
}

// Layer returns the statistics of layer i's sites, by their names. i must be Next, and the hidden states stay where they are: see Advance.
func (b *Observer) Layer(ctx context.Context, i int) (map[string]*calib.Stats, error) {
	return b.Watch(ctx, i, nil)
}

// Watch is Layer for some sites (all if none is named), computed with the weights of over where over has them: what a site receives when
// those before it in the layer are compressed already.
func (b *Observer) Watch(ctx context.Context, i int, over model.Weights, sites ...string) (map[string]*calib.Stats, error) {
	if i != b.next {
		panic("observe: Watch of another layer than Next")
	}
	stats := b.newStats(i, sites)
	return stats, b.pass(ctx, b.hidden, nil, b.layers.With(over), i, stats, false)
}

// Advance moves the hidden states through layer i, computed with the weights of over where over has them; over may be nil. i must be Next.
// The original network's states, if they are kept, move through its own.
// After an error of Advance or Step the states are those of no layer, and the observer of no more use.
func (b *Observer) Advance(ctx context.Context, i int, over model.Weights) error {
	if i != b.next {
		panic("observe: Advance through another layer than Next")
	}
	original, now := b.attended.of()
	if b.original != nil {
		if err := b.pass(ctx, b.original, original, b.layers, i, nil, true); err != nil {
			return err
		}
		b.attended.known = false
	}
	if err := b.pass(ctx, b.hidden, now, b.layers.With(over), i, nil, true); err != nil {
		return err
	}
	b.next++
	return nil
}

// Step is Layer and Advance in one pass, on the original weights.
func (b *Observer) Step(ctx context.Context, i int) (map[string]*calib.Stats, error) {
	if i != b.next || b.original != nil {
		panic("observe: Step through another layer than Next, or of compressed layers")
	}
	stats := b.newStats(i, nil)
	if err := b.pass(ctx, b.hidden, nil, b.layers, i, stats, true); err != nil {
		return nil, err
	}
	b.next++
	return stats, nil
}

// newStats returns empty statistics of a layer's sites, or of those named.
func (b *Observer) newStats(layer int, names []string) map[string]*calib.Stats {
	stats := map[string]*calib.Stats{}
	for _, s := range b.sites {
		wanted := len(names) == 0
		for _, n := range names {
			wanted = wanted || n == s.Name
		}
		if s.Layer == layer && wanted {
			stats[s.Name] = b.empty(s)
		}
	}
	if len(names) > 0 && len(stats) != len(names) {
		panic("observe: Watch of a site that the layer does not have")
	}
	return stats
}

// empty returns the statistics of no tokens at a site, in memory that was recycled if there is some.
func (b *Observer) empty(s model.Site) *calib.Stats {
	if free := b.recycled[s.Features]; len(free) > 0 {
		b.recycled[s.Features] = free[:len(free)-1]
		free[len(free)-1].Reset()
		return free[len(free)-1]
	}
	if b.o.Moments {
		return calib.NewStats(s.Features)
	}
	return calib.NewGram(s.Features)
}

// recycle takes back statistics that nobody will use again.
func (b *Observer) recycle(all map[string]*calib.Stats) {
	if b.recycled == nil {
		b.recycled = map[int][]*calib.Stats{}
	}
	for _, s := range all {
		b.recycled[len(s.SqSum)] = append(b.recycled[len(s.SqSum)], s)
	}
}

// pass runs all windows of h through layer i, whose attention to them is att if that is known. It adds the inputs of the layer's sites to stats, and keeps
// the outputs if advance is set.
func (b *Observer) pass(ctx context.Context, h, att *hidden, layers *model.Layers, i int, stats map[string]*calib.Stats, advance bool) error {
	layer, err := layers.Layer(i)
	if err != nil {
		return fmt.Errorf("%s: %w", b.ckpt.Path, err)
	}
	var watch func(site string, x tensor.Mat)
	if len(stats) > 0 {
		watch = func(site string, x tensor.Mat) {
			if s := stats[site]; s != nil && ctx.Err() == nil { // sums of large layers take seconds
				s.ObserveWith(b.o.Workers, x)
			}
		}
	}
	read := h.batch
	if !advance {
		read = h.copy
	}
	each := b.eachBatch
	if h == b.hidden {
		each = func(ctx context.Context, f func(lo, hi int, lengths []int) error) error { return b.batches(ctx, i, f) }
	}
	return each(ctx, func(lo, hi int, lengths []int) error {
		x, err := read(lo, hi)
		if err != nil {
			return err
		}
		if att == nil {
			layer.Forward(x, lengths, watch)
		} else {
			y, err := att.batch(lo, hi)
			if err != nil {
				return err
			}
			layer.Finish(x, y, lengths)
		}
		if !advance {
			return nil
		}
		return h.put(lo, x)
	})
}

// batches is eachBatch that reports progress. The head counts as one layer more.
func (b *Observer) batches(ctx context.Context, layer int, f func(lo, hi int, lengths []int) error) error {
	return b.eachBatch(ctx, func(lo, hi int, lengths []int) error {
		if err := f(lo, hi, lengths); err != nil {
			return err
		}
		if b.o.Progress != nil {
			layers := int64(b.config.Layers)
			b.o.Progress(Progress{int64(layer)*b.corpus.Tokens + int64(hi), (layers + 1) * b.corpus.Tokens, layer, b.config.Layers})
		}
		return nil
	})
}

// eachBatch calls f for one batch of windows after another: rows lo … hi of the hidden states.
func (b *Observer) eachBatch(ctx context.Context, f func(lo, hi int, lengths []int) error) error {
	n := b.corpus.Context
	per := max(1, batchTokens/n)
	for w := 0; w < len(b.windows); w += per {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(per, len(b.windows)-w)
		lengths := make([]int, count)
		for i := range lengths {
			lengths[i] = n
		}
		if err := f(w*n, (w+count)*n, lengths); err != nil {
			return err
		}
	}
	return ctx.Err() // what was left out of the last batch must not count
}

// Head returns the statistics of the head's input. It comes after the last layer.
func (b *Observer) Head(ctx context.Context) (*calib.Stats, error) {
	if b.next != b.config.Layers {
		panic("observe: Head before the last layer")
	}
	norm, err := b.layers.Norm()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.ckpt.Path, err)
	}
	if b.original != nil {
		return b.headDrift(ctx, norm)
	}
	stats := b.empty(b.sites[len(b.sites)-1])
	return stats, b.batches(ctx, b.config.Layers, func(lo, hi int, _ []int) error {
		x, err := b.hidden.copy(lo, hi)
		if err == nil {
			norm.Forward(x, x)
			stats.ObserveWith(b.o.Workers, x)
		}
		return err
	})
}
