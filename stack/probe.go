package stack

import (
	"context"
	"fmt"
	"math"

	"pith/internal/par"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// probeContext is the length of a probe's windows, and probeBytes bounds the original network's probabilities that are kept.
const (
	probeContext = 256
	probeBytes   = 256 << 20
)

// prober measures how far a changed network is from the original one on a few windows of the calibration text.
type prober struct {
	model   *model.Model
	workers int
	windows [][]int32
	base    []tensor.Mat // log probabilities of the original network, (tokens − 1, vocabulary) of each window
	tokens  int
}

func newProber(ctx context.Context, b *builder) (*prober, error) {
	length := probeContext
	if b.config.MaxPositions > 0 {
		length = min(length, b.config.MaxPositions)
	}
	all, _, err := observe.Windows(b.ckpt, b.Texts, length, 0)
	if err != nil {
		return nil, err
	}
	n := max(1, min(b.Probes/length, probeBytes/(4*length*b.config.Vocab), len(all)))
	p := &prober{workers: b.Workers, tokens: n * length}
	for i := range n { // spread over the text
		p.windows = append(p.windows, all[(2*i+1)*len(all)/(2*n)])
	}
	if p.model, err = model.New(b.config, b.ckpt, b.Workers); err != nil {
		return nil, fmt.Errorf("%s: %w", b.ckpt.Path, err)
	}
	for _, w := range p.windows {
		if err := p.model.CheckTokens(w); err != nil {
			return nil, fmt.Errorf("%s: %w", b.ckpt.Path, err)
		}
	}
	return p, p.each(ctx, func(_ int, logp tensor.Mat) { p.base = append(p.base, logp) })
}

// each calls f with the log probabilities of each window's positions.
func (p *prober) each(ctx context.Context, f func(window int, logp tensor.Mat)) error {
	for i, w := range p.windows {
		if err := ctx.Err(); err != nil {
			return err
		}
		logits := p.model.Logits(p.model.Forward([][]int32{w})).Slice(0, len(w)-1)
		par.For(p.workers, logits.Rows, func(r int) { logSoftmax(logits.Row(r)) })
		f(i, logits)
	}
	return nil
}

// measure returns the mean KL divergence from the original network, and the mean negative log likelihood of the text.
func (p *prober) measure(ctx context.Context) (kl, nll float64, err error) {
	n := 0
	err = p.each(ctx, func(i int, logp tensor.Mat) {
		kls := make([]float64, logp.Rows)
		par.For(p.workers, logp.Rows, func(r int) { kls[r] = divergence(p.base[i].Row(r), logp.Row(r)) })
		for r, d := range kls {
			kl += d
			nll -= float64(logp.Row(r)[p.windows[i][r+1]])
		}
		n += logp.Rows
	})
	return kl / float64(n), nll / float64(n), err
}

// logSoftmax overwrites logits with log probabilities.
func logSoftmax(row []float32) {
	top := float32(math.Inf(-1))
	for _, v := range row {
		top = max(top, v)
	}
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v - top))
	}
	shift := float64(top) + math.Log(sum)
	for i, v := range row {
		row[i] = float32(float64(v) - shift)
	}
}

// divergence is Σ p·(log p − log q).
func divergence(p, q []float32) (sum float64) {
	for i, a := range p {
		if a > -30 {
			sum += math.Exp(float64(a)) * float64(a-q[i])
		}
	}
	return sum
}
