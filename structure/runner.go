// Package structure finds what a network can do without: whole layers (ShortGPT, LLM-Streamline) or directions of its residual
// stream (SliceGPT), and makes the view of the checkpoint that is left. Nothing else of Pith needs to know: plan, compress, eval and
// convert see an ordinary, smaller checkpoint.
package structure

import (
	"context"
	"fmt"
	"math"

	"pith/calib"
	"pith/checkpoint"
	"pith/eval"
	"pith/internal/par"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// Options say how a model is measured. The zero value reads the whole text in windows of 512 tokens.
type Options struct {
	Context  int                             // tokens of a window; 0: 512, or the model's context if that is shorter
	Windows  int                             // at most, spread evenly over the texts; 0: all
	Workers  int                             // goroutines; results do not depend on it
	Progress func(what string, done, of int) // after each batch of windows; may be nil
}

const (
	batchTokens = 1024     // that go through the network together, unless a window is longer
	tileBytes   = 16 << 20 // of logits of one model that are alive at a time
	minRows     = 16       // products of packed weights with fewer rows may round activations to int8
)

// runner runs a whole model, or some of its layers, over windows of text.
type runner struct {
	o       Options
	config  model.Config
	model   *model.Model
	parts   model.Parts
	base    model.Parts // whose predictions others are compared with
	windows [][]int32
	corpus  calib.Corpus
}

func newRunner(ckpt *checkpoint.Checkpoint, texts []observe.Text, o Options) (*runner, error) {
	o.Workers = max(1, o.Workers)
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	windows, corpus, err := observe.Windows(ckpt, texts, o.Context, 0)
	if err != nil {
		return nil, err
	}
	windows = spread(windows, &corpus, o.Windows)
	m, err := model.New(config, ckpt, o.Workers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	for _, w := range windows {
		if err := m.CheckTokens(w); err != nil {
			return nil, fmt.Errorf("%s: %w", ckpt.Path, err)
		}
	}
	return &runner{o, config, m, m.Parts(), m.Parts(), windows, corpus}, nil
}

// spread keeps at most limit windows, evenly over the texts, so that few of them are of all kinds of text. 0: all.
func spread(windows [][]int32, corpus *calib.Corpus, limit int) [][]int32 {
	if limit <= 0 || limit >= len(windows) {
		return windows
	}
	var kept [][]int32
	file, end := 0, corpus.Files[0].Windows
	count := make([]int, len(corpus.Files))
	for i := range limit {
		at := i * len(windows) / limit
		for at >= end {
			file++
			end += corpus.Files[file].Windows
		}
		count[file]++
		kept = append(kept, windows[at])
	}
	for i, n := range count {
		corpus.Files[i].Windows = n
	}
	corpus.Windows, corpus.Tokens = limit, int64(limit)*int64(corpus.Context)
	return kept
}

// all returns the numbers of all layers.
func (r *runner) all() []int {
	layers := make([]int, r.config.Layers)
	for i := range layers {
		layers[i] = i
	}
	return layers
}

// batch is some windows that go through the network together, one after another in the rows of a matrix.
type batch struct {
	windows [][]int32
	lengths []int
	rows    int
}

// each calls f for one batch after another.
func (r *runner) each(ctx context.Context, what string, f func(b batch) error) error {
	per := max(1, batchTokens/r.corpus.Context)
	for i := 0; i < len(r.windows); i += per {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := batch{windows: r.windows[i:min(len(r.windows), i+per)]}
		for _, w := range b.windows {
			b.lengths = append(b.lengths, len(w))
			b.rows += len(w)
		}
		if err := f(b); err != nil {
			return err
		}
		if r.o.Progress != nil {
			r.o.Progress(what, min(len(r.windows), i+per), len(r.windows))
		}
	}
	return nil
}

// states returns the residual stream before each of the layers named, run in that order, and after the last.
func (r *runner) states(b batch, layers []int) []tensor.Mat {
	x := tensor.NewMat(b.rows, r.config.Hidden)
	row := 0
	for _, w := range b.windows {
		r.parts.Embedding().Forward(x.Slice(row, row+len(w)), w)
		row += len(w)
	}
	list := []tensor.Mat{x}
	for _, l := range layers {
		list = append(list, r.through(b, list[len(list)-1], []int{l}))
	}
	return list
}

// through returns what x becomes in the layers named; x stays.
func (r *runner) through(b batch, x tensor.Mat, layers []int) tensor.Mat {
	y := tensor.NewMat(x.Rows, x.Cols)
	copy(y.Data, x.Data)
	for _, l := range layers {
		r.parts.Layer(l).Forward(y, b.lengths, nil)
	}
	return y
}

// tally sums up what positions of a text contribute.
type tally struct {
	kl, nll, base float64
	positions     int64
}

// KL is the mean divergence from the base model in nats a token, Perplexity that of the model itself.
func (t tally) KL() float64         { return t.kl / float64(t.positions) }
func (t tally) Perplexity() float64 { return math.Exp(t.nll / float64(t.positions)) }

// score compares the predictions that follow from final states with those of the base's: every position of a window but the last.
func (r *runner) score(b batch, base tensor.Mat, cands []tensor.Mat, tallies []tally) error {
	targets := make([]int32, 0, b.rows) // −1 where a window ends
	for _, w := range b.windows {
		targets = append(append(targets, w[1:]...), -1)
	}
	normed := make([]tensor.Mat, 0, len(cands)+1)
	for _, x := range append([]tensor.Mat{base}, cands...) {
		y := tensor.NewMat(x.Rows, x.Cols)
		r.parts.Norm().Forward(y, x)
		normed = append(normed, y)
	}
	tile := max(minRows, tileBytes/(4*r.config.Vocab))
	for lo := 0; lo < b.rows; {
		hi := min(b.rows, lo+tile)
		if b.rows-hi < minRows {
			hi = b.rows
		}
		baseLogits := r.base.Head().Logits(normed[0].Slice(lo, hi))
		for i := range cands {
			logits := r.parts.Head().Logits(normed[i+1].Slice(lo, hi))
			if err := r.add(&tallies[i], logits, baseLogits, targets[lo:hi]); err != nil {
				return err
			}
		}
		lo = hi
	}
	return nil
}

// add adds the positions that have a target, in their order.
func (r *runner) add(t *tally, logits, base tensor.Mat, targets []int32) error {
	type result struct {
		nll, base, kl float64
		err           error
	}
	results := make([]result, len(targets))
	par.For(r.o.Workers, len(targets), func(i int) {
		if p := &results[i]; targets[i] >= 0 {
			p.nll, p.base, p.kl, p.err = eval.Diverge(logits.Row(i), base.Row(i), targets[i])
		}
	})
	for i, p := range results {
		if p.err != nil {
			return p.err
		}
		if targets[i] >= 0 {
			t.nll += p.nll
			t.base += p.base
			t.kl += p.kl
			t.positions++
		}
	}
	return nil
}
