// Package eval measures what a model's weights cost in quality: perplexity by the protocols other tools publish, bits per byte,
// and, against a base model run in lock-step, KL divergence, top-1 agreement and the change of the correct token's probability,
// each with its standard error. Logits live for one tile of rows only and are never stored.
package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"pith/internal/par"
	"pith/tensor"
)

// Model is what is evaluated; *model.Model is one. Both methods are deterministic, and a row never depends on what else is in the batch.
type Model interface {
	CheckTokens(tokens []int32) error    // why the model cannot run this sequence, or nil
	Forward(batch [][]int32) tensor.Mat  // final hidden states, the sequences' positions one after another
	Logits(hidden tensor.Mat) tensor.Mat // (rows, vocabulary)
}

// Options say how to evaluate. The zero value is protocol llamacpp on the whole text.
type Options struct {
	Protocol Protocol
	Ctx      int            // tokens in a window, BOS included; 0: the protocol's default
	MaxCtx   int            // the model's context length, which bounds defaults; 0: unknown
	Chunks   int            // windows to evaluate; 0: all
	Workers  int            // goroutines that score rows; results do not depend on it
	Budget   Budget         // of the model that is evaluated, if it is a stack; only Files looks at it
	Progress func(Progress) // called after each batch of windows; may be nil
}

// Progress is the state after some windows.
type Progress struct {
	Chunks, Total int
	Perplexity    float64 // of the tokens scored so far
}

const (
	batchTokens = 1024     // tokens in one forward pass, unless a window is longer
	tileBytes   = 32 << 20 // logits of one model that are alive at a time

	// minRows is the fewest rows that are multiplied at a time. Products of packed weights with fewer may round the activations to int8,
	// as decoding does for speed; evaluation always multiplies in float32, so that no figure depends on how rows are batched.
	minRows = 16
)

// evaluate scores windows with cand, and with base in lock-step unless base is nil.
func evaluate(ctx context.Context, cand, base Model, ws []window, o Options) (Result, error) {
	r := runner{cand: cand, base: base, workers: max(1, o.Workers)}
	var done int
	for done < len(ws) {
		n := batchSize(ws[done:])
		if err := r.batch(ctx, ws[done:done+n]); err != nil {
			return Result{}, err
		}
		done += n
		if o.Progress != nil {
			o.Progress(Progress{done, len(ws), r.tally.perplexity()})
		}
	}
	res := r.tally.result(base != nil)
	res.Chunks = len(ws)
	res.Seconds = r.candTime.Seconds()
	if r.candTime > 0 {
		res.TokensPerSecond = float64(r.tokensRun) / r.candTime.Seconds()
	}
	return res, nil
}

// batchSize returns how many windows go through one forward pass.
func batchSize(ws []window) int {
	n, tokens := 1, len(ws[0].tokens)
	for n < len(ws) && tokens+len(ws[n].tokens) <= batchTokens {
		tokens += len(ws[n].tokens)
		n++
	}
	return n
}

// runner holds what evaluate carries from batch to batch.
type runner struct {
	cand, base Model
	workers    int
	tally      tally
	candTime   time.Duration // spent in the candidate's forward passes and heads
	tokensRun  int
	chunk      int
}

func (r *runner) batch(ctx context.Context, ws []window) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ids := make([][]int32, len(ws))
	for i, w := range ws {
		if err := r.check(w.tokens); err != nil {
			return err
		}
		ids[i] = w.tokens
		r.tokensRun += len(w.tokens)
	}
	for short := minRows - rows(ids); short > 0; short -= len(ws[0].tokens) {
		ids = append(ids, ws[0].tokens) // computed and ignored
	}
	start := time.Now()
	hidden := r.cand.Forward(ids)
	r.candTime += time.Since(start)
	var hiddenBase tensor.Mat
	if r.base != nil {
		hiddenBase = r.base.Forward(ids)
	}
	row := 0
	for _, w := range ws {
		if err := r.window(ctx, w, hidden, hiddenBase, row); err != nil {
			return err
		}
		row += len(w.tokens)
		r.chunk++
	}
	return nil
}

// rows returns how many hidden states a batch gives.
func rows(batch [][]int32) int {
	n := 0
	for _, seq := range batch {
		n += len(seq)
	}
	return n
}

// logitsOf returns the logits of rows [lo, hi) of hidden, multiplying by at least minRows rows.
func logitsOf(m Model, hidden tensor.Mat, lo, hi int) tensor.Mat {
	n := hi - lo
	if n >= minRows {
		return m.Logits(hidden.Slice(lo, hi))
	}
	padded := tensor.NewMat(minRows, hidden.Cols)
	for i := range minRows {
		copy(padded.Row(i), hidden.Row(lo+min(i, n-1)))
	}
	return m.Logits(padded).Slice(0, n)
}

// check returns an error if a model cannot run tokens.
func (r *runner) check(tokens []int32) error {
	if err := r.cand.CheckTokens(tokens); err != nil {
		return fmt.Errorf("window %d: %w", r.chunk, err)
	}
	if r.base != nil {
		if err := r.base.CheckTokens(tokens); err != nil {
			return fmt.Errorf("window %d: base model: %w", r.chunk, err)
		}
	}
	return nil
}

// window scores one window whose hidden states begin at row of hidden.
func (r *runner) window(ctx context.Context, w window, hidden, hiddenBase tensor.Mat, row int) error {
	r.tally.open()
	tile := minRows // the first tile tells how wide the vocabulary is
	for p := w.first; p < len(w.tokens); {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(p+tile, len(w.tokens))
		start := time.Now()
		logits := logitsOf(r.cand, hidden, row+p, row+hi)
		r.candTime += time.Since(start)
		var logitsBase tensor.Mat
		if r.base != nil {
			logitsBase = logitsOf(r.base, hiddenBase, row+p, row+hi)
			if logitsBase.Cols != logits.Cols {
				return fmt.Errorf("the base model has %d logits and the model %d: they must share a vocabulary", logitsBase.Cols, logits.Cols)
			}
		}
		scores, errs := make([]score, hi-p), make([]error, hi-p)
		par.For(r.workers, hi-p, func(i int) {
			var b []float32
			if r.base != nil {
				b = logitsBase.Row(i)
			}
			scores[i], errs[i] = scoreRow(logits.Row(i), b, w.targets[p+i])
		})
		for i, err := range errs {
			if err != nil {
				return fmt.Errorf("window %d, position %d (token %d of the text): %w", r.chunk, p+i, w.start+p+i, err)
			}
			r.tally.add(scores[i], w.bytes[p+i])
		}
		p = hi
		tile = max(minRows, tileBytes/(4*max(1, logits.Cols)))
	}
	return nil
}

// digest returns the SHA-256 of b in hexadecimal.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
