package compress

import (
	"context"
	"fmt"
	"os"
	"time"

	"pith/checkpoint"
	"pith/codec"
	"pith/plan"
)

// run is one compression under way.
type run struct {
	ckpt    *checkpoint.Checkpoint
	plan    *plan.Plan
	hash    string
	dir     *output
	o       Options
	report  *reporter
	tiles   *tilePool
	shards  []shard // finished, by block
	done    int     // blocks finished, by this run or earlier ones
	result  Result
	squared struct{ err, norm float64 } // over all blocks

	sets     map[string][]codec.Term  // what the members of sets have in common
	hasAlias map[string]bool          // weights that others are aliases of
	rawOwner map[string]bool          // those that are copied as they lie in the source
	owners   map[string]stored        // of finished blocks
	loaded   map[string]*codec.Weight // what is in memory of them
}

func newRun(ckpt *checkpoint.Checkpoint, p *plan.Plan, dir *output, o Options) *run {
	r := &run{ckpt: ckpt, plan: p, hash: p.Hash(), dir: dir, o: o, tiles: newTilePool(o.Workers), shards: make([]shard, len(p.Blocks))}
	r.report = newReporter(o.Events, p.Totals.Weights, len(p.Blocks))
	r.hasAlias, r.rawOwner, r.owners, r.loaded = map[string]bool{}, map[string]bool{}, map[string]stored{}, map[string]*codec.Weight{}
	r.sets = map[string][]codec.Term{}
	for _, l := range p.Lines() {
		if l.Alias() {
			r.hasAlias[l.Of] = true
		}
	}
	r.result = Result{Dir: dir.path, Blocks: len(p.Blocks), Weights: p.Totals.Weights}
	r.report.emit(Event{Kind: Started, Weights: p.Totals.Weights, Bytes: p.Totals.Bytes})
	return r
}

// blocks carries out the plan's blocks in order. With overlap, a block is written and verified while the next one is solved.
func (r *run) blocks(ctx context.Context, overlap bool) error {
	var pending chan error // result of the write under way
	wait := func() error {
		if pending == nil {
			return nil
		}
		err := <-pending
		pending = nil
		return err
	}
	for _, i := range r.order() {
		b := &r.plan.Blocks[i]
		if err := ctx.Err(); err != nil {
			wait()
			return err
		}
		skipped, err := r.skip(ctx, i, b)
		if err != nil {
			wait()
			return err
		}
		if skipped {
			if err := r.tell(ctx, b, nil); err != nil {
				return err
			}
			continue
		}
		r.report.enter(b.Name, i)
		solved, err := r.solve(ctx, b)
		if werr := wait(); werr != nil {
			return werr // the earlier block's error comes first, whenever it showed
		}
		if err != nil {
			return err
		}
		if err := r.noteSolved(b, solved); err != nil {
			return err
		}
		if err := r.tell(ctx, b, solved); err != nil {
			return err
		}
		pending = make(chan error, 1)
		go func(done chan<- error) { done <- r.write(ctx, i, b, solved) }(pending)
		if !overlap {
			if err := wait(); err != nil {
				return err
			}
		}
	}
	return wait()
}

// order returns the plan's blocks in the order in which they are solved: that of the forward pass, but for an embedding that is also the
// head, whose statistics are known at the end.
func (r *run) order() []int {
	var order, last []int
	for i := range r.plan.Blocks {
		if embeddingLast(&r.plan.Blocks[i], r.o.Statistics) {
			last = append(last, i)
			continue
		}
		order = append(order, i)
	}
	return append(order, last...)
}

// tell hands a finished block to the statistics: as it was just solved, or, if solved is nil, as its shard holds it.
func (r *run) tell(ctx context.Context, b *plan.Block, all []*solved) error {
	if r.o.Statistics == nil {
		return nil
	}
	if all == nil {
		return r.o.Statistics.Done(ctx, b, r.loadFinished)
	}
	byName := map[string]*solved{}
	for _, s := range all {
		byName[s.line.Weight] = s
	}
	return r.o.Statistics.Done(ctx, b, r.loader(byName))
}

// loader returns a function that gives weights as they were solved, others as the source stores them.
func (r *run) loader(byName map[string]*solved) func(string) (*codec.Weight, error) {
	return func(name string) (*codec.Weight, error) {
		s := byName[name]
		if s == nil || s.raw {
			return r.ckpt.Load(name)
		}
		if s.line.Alias() {
			return r.loadAlias(s.line)
		}
		return s.weight()
	}
}

// loadFinished opens a weight from the shards that are there.
func (r *run) loadFinished(name string) (*codec.Weight, error) {
	if path := r.shardOf(name); path != "" {
		return checkpoint.LoadFromShard(path, name, r.shardOf)
	}
	return r.ckpt.Load(name)
}

// shardOf returns the path of the shard that a weight of the plan is in, "" if it is in none.
func (r *run) shardOf(weight string) string {
	for i, b := range r.plan.Blocks {
		for j := range b.Lines {
			if b.Lines[j].Weight == weight {
				return r.shardPath(i)
			}
		}
	}
	return ""
}

// skip accepts the shard of block i if an earlier run of this plan on these weights finished it and nothing has changed since.
func (r *run) skip(ctx context.Context, i int, b *plan.Block) (bool, error) {
	path := r.shardPath(i)
	if _, err := os.Stat(path); err != nil {
		return false, nil
	}
	s, err := r.readShard(ctx, path, b)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return false, nil // not of this plan, these weights, or not whole: it is made again
	}
	weights := int64(0)
	for j := range b.Lines {
		weights += b.Lines[j].Elements()
	}
	r.shards[i] = s
	r.noteOwners(b, func(name string) stored { return s.stored[name] })
	r.report.skip(weights)
	r.report.mu.Lock()
	r.done++
	r.result.Skipped++
	r.report.mu.Unlock()
	r.report.emit(Event{Kind: Skipped, Block: b.Name, Index: i, Weights: weights, Bytes: s.tensorBytes})
	return true, nil
}

// finished sends the last event.
func (r *run) finished() {
	r.result.Seconds = time.Since(r.report.start).Seconds()
	r.result.Solved = r.report.solved
	r.report.emit(Event{Kind: Finished, Weights: r.result.Weights, Bytes: r.result.Bytes, RelError: r.result.RelError})
}

// sourceError names the file of the source that an error about a weight is about.
func (r *run) sourceError(l *plan.Line, err error) error {
	info, infoErr := r.ckpt.Info(l.Weight)
	if infoErr != nil || info.File == "" {
		return err
	}
	return fmt.Errorf("%s: %w", info.File, err)
}

// blockError names the weight that an error is about.
func blockError(l *plan.Line, err error) error { return fmt.Errorf("%s: %w", l.Weight, err) }
