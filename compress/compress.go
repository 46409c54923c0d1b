// Package compress is the loop: a plan's blocks are read, solved, written and forgotten, one shard each. Whatever stops it, final
// paths hold whole files only, and running it again finishes the work with the same bytes an undisturbed run would have written.
package compress

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/plan"
)

// Options say how a plan is carried out. None of them changes a byte of the artifact, except Tool, which is recorded.
type Options struct {
	Workers     int         // goroutines that solve; 0: one per CPU
	MemoryBytes int64       // bound of anonymous memory; 0: none. Run fails before it starts if the plan needs more
	Overwrite   bool        // replace the artifact in the directory instead of resuming; other files are never touched
	Tool        string      // name and version of the program, for the manifest; default "pith"
	Events      func(Event) // called as work proceeds, never concurrently; may be nil
	Statistics  Statistics  // of what flows into the weights; nil: data-free
}

// Statistics gives what methods may know of the activations that flow into weights. The plan records which they are
// (plan.Calibration), so that a run resumes with the same ones only. Blocks come in the plan's order.
type Statistics interface {
	// Block readies the statistics of a block's weights; it is called before the block is solved.
	Block(ctx context.Context, b *plan.Block) error
	// Of returns the statistics of a weight's input; nil: there are none, the weight is solved without data.
	Of(weight string) *calib.Stats
	// Done tells that a block is finished, by this run or an earlier one; load opens the weight that stands in the artifact.
	Done(ctx context.Context, b *plan.Block, load func(weight string) (*codec.Weight, error)) error
}

// Result sums up a run.
type Result struct {
	Dir        string  `json:"dir"`
	Blocks     int     `json:"blocks"`
	Skipped    int     `json:"skipped"` // blocks that an earlier run had finished
	Weights    int64   `json:"weights"` // elements
	Bytes      int64   `json:"bytes"`   // of all tensors; equal to the plan's
	ShardBytes int64   `json:"shard_bytes"`
	RelError   float64 `json:"relative_squared_error"` // Σ‖W−Ŵ‖² / Σ‖W‖² over the weights that were not kept; with statistics columns are weighted by their inputs
	Seconds    float64 `json:"seconds"`
	Solved     int64   `json:"solved_weights"` // elements that this run solved

	Notes []string `json:"notes,omitempty"` // weights whose method gave way to another, and why; what llama.cpp will compute differently (RunGGUF)
}

// ErrInterrupted is wrapped by the error of a run whose context ended: what is finished stays, and the next run resumes.
var ErrInterrupted = errors.New("interrupted")

// Run carries out p on ckpt and leaves a Pith artifact in the directory out, which is made if need be.
func Run(ctx context.Context, ckpt *checkpoint.Checkpoint, p *plan.Plan, out string, o Options) (res Result, err error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Tool == "" {
		o.Tool = "pith"
	}
	if err := checkNames(p); err != nil {
		return Result{}, err
	}
	if err := checkFits(ckpt, p); err != nil {
		return Result{}, err
	}
	if _, err := checkConfig(ckpt); err != nil {
		return Result{}, fmt.Errorf("%w: config.json and weights do not belong together; get both from the same model", err)
	}
	overlap, err := fitMemory(p, &o)
	if err != nil {
		return Result{}, err
	}
	if o.MemoryBytes > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(o.MemoryBytes))
	}
	dir, err := openOutput(out, ckpt, p, o)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		if closeErr := dir.close(err == nil); err == nil {
			err = closeErr
		}
	}()
	r := newRun(ckpt, p, dir, o)
	err = r.blocks(ctx, overlap)
	if err == nil {
		err = r.finish(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %d of %d blocks are finished in %s; run the same command again to resume", ErrInterrupted, r.done, len(p.Blocks), out)
	}
	if err != nil {
		return Result{}, err
	}
	r.finished()
	return r.result, nil
}

// checkNames refuses weights whose names the artifact's layout uses for itself.
func checkNames(p *plan.Plan) error {
	for _, l := range p.Lines() {
		if l.Common() && !strings.Contains(l.Weight, "|") {
			continue
		}
		if strings.Contains(l.Weight, "|") || strings.HasPrefix(l.Weight, "pith.") || l.Weight == "format" {
			return fmt.Errorf("%s: this tensor's name means something else in an artifact; rename the tensor", l.Weight)
		}
	}
	return nil
}

// fitMemory lowers the number of workers until the plan fits the bound, and tells whether writing a block may overlap with solving
// the next.
func fitMemory(p *plan.Plan, o *Options) (overlap bool, err error) {
	if o.MemoryBytes <= 0 || p.Memory(o.Workers) <= o.MemoryBytes {
		return true, nil
	}
	for ; o.Workers > 1; o.Workers-- {
		if p.Memory(o.Workers) <= o.MemoryBytes {
			return true, nil
		}
	}
	if least := p.MinMemory(); least > o.MemoryBytes {
		return false, fmt.Errorf("this plan needs %d MiB of memory and %d are allowed; allow %d MiB (--memory %dM), or choose a smaller codec for the largest block",
			mib(least), o.MemoryBytes>>20, mib(least), mib(least))
	}
	return false, nil
}

// mib rounds up to whole MiB.
func mib(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// shardName returns the file name of block i of n.
func shardName(i, n int) string { return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n) }

func (r *run) shardPath(i int) string {
	return filepath.Join(r.dir.path, shardName(i, len(r.plan.Blocks)))
}
