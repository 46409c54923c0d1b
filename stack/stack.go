// Package stack makes stacks: files that hold a model as a sequence of blocks, each a term of one of its matrices, of which any prefix is a
// model too. It solves the blocks of every matrix one after another, measures what each is worth, puts the best for their bytes first, and
// writes them (checkpoint.WriteStack).
package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/formats"
	"pith/internal/lock"
	"pith/lowrank"
	"pith/model"
	"pith/observe"
)

// Options say what to make. The zero value makes 8 sign blocks of every matrix, without data.
type Options struct {
	Texts            []observe.Text // to calibrate on, and to probe with
	Context, Windows int            // of calibration: observe.Options
	Stats            *calib.Set     // instead of Texts; without texts nothing is probed

	Levels int // blocks of each matrix, 1 to codec.MaxTerms; 0: 8
	// Method returns what solves the blocks of a matrix of this shape, and MethodName says which that is; nil: lowrank.BitStack with Rank and Refits.
	Method       func(rows, cols int) (approx.Method, error)
	MethodName   string
	Rank, Refits int

	Keep   string // codec of the embedding and the head: "int8-g64" if it is empty, "keep" as they are
	Order  Order
	Probes int // tokens to probe with; 0: 2048. Negative: no probes

	Workers  int // goroutines; 0: one per CPU. The bytes do not depend on it
	Tool     string
	Progress func(Progress) // may be nil
}

// Order is how blocks are sorted.
type Order string

// The orders.
const (
	ByLoss   Order = "loss"  // by what each takes off its matrix' loss at the outputs for each byte, matrices weighted by the KL divergence that probes measure
	ByLevels Order = "level" // level by level, in each by the perplexity that probes measure, as in the paper
)

// Progress is how far a stage is.
type Progress struct {
	Stage       string // "calibrate", "solve", "probe", "write"
	Done, Total int64
	Note        string
}

// Report says what was made.
type Report struct {
	Path           string  `json:"path"`
	Bytes          int64   `json:"bytes"`
	MandatoryBytes int64   `json:"mandatory_bytes"` // of the smallest size
	Blocks         int     `json:"blocks"`
	Mandatory      int     `json:"mandatory_blocks"`
	Matrices       int     `json:"matrices"`
	Weights        int64   `json:"weights"` // of the whole model
	SmallestBPW    float64 `json:"smallest_bits_per_weight"`
	LargestBPW     float64 `json:"largest_bits_per_weight"`
	Probed         int     `json:"probe_tokens"`
	Resumed        int     `json:"resumed_matrices"` // that an earlier run had solved
	Order          Order   `json:"order"`
}

// defaults fills in what o leaves open.
func (o *Options) defaults() error {
	if o.Levels == 0 {
		o.Levels = 8
	}
	if o.Levels < 1 || o.Levels > codec.MaxTerms {
		return fmt.Errorf("%d levels: 1 to %d are possible", o.Levels, codec.MaxTerms)
	}
	if o.Rank < 0 || o.Rank > 64 {
		return fmt.Errorf("rank %d: 1 to 64 are possible, 0 is by the matrix' shape", o.Rank)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Keep == "" {
		o.Keep = "int8-g64"
	}
	if o.Keep != keepAll {
		if _, err := codec.Parse(o.Keep); err != nil {
			return err
		}
	}
	if o.Order == "" {
		o.Order = ByLoss
	}
	if o.Order != ByLoss && o.Order != ByLevels {
		return fmt.Errorf("order %q is not known: use %s or %s", o.Order, ByLoss, ByLevels)
	}
	if o.Probes == 0 {
		o.Probes = 2048
	}
	if len(o.Texts) == 0 {
		o.Probes = 0
	}
	if o.Probes <= 0 && o.Order == ByLevels {
		return errors.New("an order by levels is measured on a text: give one")
	}
	if o.Method == nil {
		m := lowrank.BitStack{Rank: o.Rank, Refits: o.Refits}
		o.Method = func(int, int) (approx.Method, error) { return m, nil }
		o.MethodName = fmt.Sprintf("bitstack k=%d refits=%d", o.Rank, o.Refits)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return nil
}

// keepAll leaves embedding and head as they are.
const keepAll = "keep"

// builder makes one stack.
type builder struct {
	Options
	ckpt    *checkpoint.Checkpoint
	config  model.Config
	work    workDir
	stacked []*matrix
	solved  int // by this run and those before
	resumed int // by those before
}

// matrix is a weight that is stacked.
type matrix struct {
	name       string
	shape      []int
	transposed bool
	rows, cols int
	losses     []float64 // before the first block and after each
	bytes      []int64   // of each block
	weight     float64   // what one unit of loss costs
}

// Build writes the stack of a checkpoint to path. What is solved is kept in path+".work" until the end: whatever stops Build, the same call goes on from there,
// to the same bytes. At path there is at every moment what was there before, or the whole stack.
func Build(ctx context.Context, ckpt *checkpoint.Checkpoint, path string, o Options) (Report, error) {
	if err := o.defaults(); err != nil {
		return Report{}, err
	}
	if err := checkpoint.StackOutput(path); err != nil {
		return Report{}, err
	}
	config, err := ckpt.Config()
	if err != nil {
		return Report{}, err
	}
	b := &builder{Options: o, ckpt: ckpt, config: config, work: workDir{path + ".work"}}
	if err := b.list(); err != nil {
		return Report{}, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	held, err := lock.TakeDir(b.work.path)
	if errors.Is(err, lock.ErrHeld) {
		return Report{}, fmt.Errorf("%s: another pith stack is writing this; wait for it, or choose another file", path)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%s: %w", path, formats.WithRemedy(err))
	}
	defer held.Release(true)
	r, err := b.build(ctx, path)
	switch {
	case err == nil:
		b.work.remove(len(b.stacked))
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %d of %d matrices are solved; run the same command again to resume", ErrInterrupted, b.solved, len(b.stacked))
	}
	return r, err
}

// ErrInterrupted is wrapped by Build's error when its context ended: what is solved stays, and the next call goes on from there.
var ErrInterrupted = errors.New("interrupted")

func (b *builder) build(ctx context.Context, path string) (Report, error) {
	if err := b.begin(ctx); err != nil {
		return Report{}, err
	}
	set, err := b.statistics(ctx)
	if err != nil {
		return Report{}, err
	}
	if set != nil && set != b.Stats {
		defer set.Close()
	}
	for i := range b.stacked {
		b.Progress(Progress{"solve", int64(i), int64(len(b.stacked)), b.stacked[i].name})
		if err := b.solve(ctx, i, set); err != nil {
			return Report{}, err
		}
		b.solved++
	}
	order, probed, err := b.order(ctx)
	if err != nil {
		return Report{}, err
	}
	b.Progress(Progress{"write", 0, 1, filepath.Base(path)})
	return b.write(ctx, path, order, probed)
}

// list finds the matrices to stack: those of the layers, in the order of the forward pass.
func (b *builder) list() error {
	for _, s := range model.Sites(b.config, b.ckpt.Names()) {
		if s.Layer < 0 {
			continue
		}
		for _, name := range s.Weights {
			info, err := b.ckpt.Info(name)
			if err != nil {
				return err
			}
			m := &matrix{name: name, shape: info.Shape, transposed: info.Transposed, rows: info.Rows, cols: info.Cols, weight: 1}
			if model.Transposed(b.config, name) && !m.transposed {
				m.transposed, m.rows, m.cols = true, m.cols, m.rows
			}
			b.stacked = append(b.stacked, m)
		}
	}
	if len(b.stacked) == 0 {
		return errors.New("has no layers' matrices to stack")
	}
	return nil
}

// fingerprint is what the blocks depend on: those of an earlier run are used if theirs is the same.
func (b *builder) fingerprint(ctx context.Context) ([]byte, error) {
	source, err := observe.Identify(ctx, b.ckpt, b.config)
	if err != nil {
		return nil, err
	}
	f := struct {
		Source           calib.Model
		Texts            []string
		Stats            []calib.Corpus
		Context, Windows int
		Levels           int
		Method           string
	}{Source: source, Context: b.Context, Windows: b.Windows, Levels: b.Levels, Method: b.MethodName}
	for _, t := range b.Texts {
		f.Texts = append(f.Texts, digest(t.Data))
	}
	if b.Stats != nil {
		f.Stats = b.Stats.Corpora
	}
	return json.Marshal(f)
}

// begin drops what an earlier run with other options left.
func (b *builder) begin(ctx context.Context) error {
	f, err := b.fingerprint(ctx)
	if err != nil {
		return err
	}
	return b.work.begin(f, len(b.stacked))
}

// statistics returns those of the inputs, nil if there is no data.
func (b *builder) statistics(ctx context.Context) (*calib.Set, error) {
	if b.Stats != nil || len(b.Texts) == 0 {
		return b.Stats, nil
	}
	if set, err := calib.Open(b.work.stats()); err == nil {
		return set, nil
	}
	progress := func(p observe.Progress) {
		b.Progress(Progress{"calibrate", p.Done, p.Total, fmt.Sprintf("layer %d of %d", min(p.Layer+1, p.Layers), p.Layers)})
	}
	o, err := observe.New(ctx, b.ckpt, b.Texts, observe.Options{Context: b.Context, Windows: b.Windows, Workers: b.Workers, Tool: b.Tool, Progress: progress})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if _, err := o.Run(ctx, b.work.stats()); err != nil {
		return nil, err
	}
	return calib.Open(b.work.stats())
}

// isStacked reports whether a weight is.
func (b *builder) isStacked(name string) bool {
	return slices.ContainsFunc(b.stacked, func(m *matrix) bool { return m.name == name })
}
