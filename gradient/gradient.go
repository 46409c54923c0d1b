// Package gradient runs a network backwards: the gradients of the language-model loss with regard to its linear weights, one layer's weights in
// memory at a time, and of them the squares that weigh rows and columns (FWSVD, Hsu et al. 2022, arXiv 2207.00112, section 3). Of the
// architectures it knows those like Llama: RMS norms, rotary positions, grouped-query attention, SwiGLU.
package gradient

import (
	"context"
	"fmt"
	"slices"

	"pith/calib"
	"pith/internal/par"
	"pith/model"
	"pith/tensor"
)

// Options say how to run.
type Options struct {
	Workers  int                     // goroutines; results do not depend on it
	Progress func(done, total int64) // windows through layers, forwards and backwards; may be nil
}

// Result is what the windows say of a network.
type Result struct {
	Loss   float64                  // mean negative log-likelihood of a token, in nats
	Fisher map[string]*calib.Fisher // of every linear weight of the layers, and of a head that is no embedding, by checkpoint name
}

// network is a checkpoint that is run.
type network struct {
	config  model.Config
	weights model.Weights
	layers  *model.Layers
	windows [][]int32
	o       Options
	done    int64
	seen    func(window int, weight string, g tensor.Mat) // for tests: each gradient, before it is squared
}

// Fisher sums up the squared gradients of the loss of each window: the mean over its tokens but the first of −log p(token | those before).
func Fisher(ctx context.Context, c model.Config, w model.Weights, windows [][]int32, o Options) (*Result, error) {
	n, err := open(c, w, windows, o)
	if err != nil {
		return nil, err
	}
	return n.run(ctx)
}

// Supports returns why a network's gradients cannot be had; nil: they can.
func Supports(c model.Config) error {
	switch {
	case c.Norm != model.RMSNorm || c.PostNorms || c.QKNorm || c.ParallelResidual || c.LearnedPositions || !c.Gated || c.Activation != model.SiLU,
		c.AttentionSoftcap != 0 || c.LogitSoftcap != 0 || c.ScaleByLayer || c.HasShortcuts() || c.DraftVocab != 0:
		return fmt.Errorf("gradients of architecture %q are not to be had; only of those like llama, mistral and qwen2", c.ModelType)
	}
	return nil
}

func open(c model.Config, w model.Weights, windows [][]int32, o Options) (*network, error) {
	if err := Supports(c); err != nil {
		return nil, err
	}
	o.Workers = max(1, o.Workers)
	layers, err := model.OpenLayers(c, w, o.Workers)
	if err != nil {
		return nil, err
	}
	for i, win := range windows {
		if len(win) < 2 {
			return nil, fmt.Errorf("window %d has %d tokens; a loss needs two", i, len(win))
		}
	}
	if len(windows) == 0 {
		return nil, fmt.Errorf("no window to run: use more text or a shorter context")
	}
	return &network{config: c, weights: w, layers: layers, windows: windows, o: o}, nil
}

// run goes forwards, keeping the states between layers, and backwards, computing each layer again.
func (n *network) run(ctx context.Context) (*Result, error) {
	states, err := n.forward(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{Fisher: map[string]*calib.Fisher{}}
	slopes, err := n.head(ctx, states[len(states)-1], r)
	if err != nil {
		return nil, err
	}
	for i := n.config.Layers - 1; i >= 0; i-- {
		l, err := n.load(i)
		if err != nil {
			return nil, err
		}
		parts := make([]sums, len(n.windows))
		err = n.each(ctx, func(w int) {
			parts[w] = newSums(n, w)
			l.backward(states[i][w], slopes[w], &parts[w])
		})
		if err != nil {
			return nil, err
		}
		collect(r.Fisher, parts)
		states[i+1] = nil
	}
	return r, nil
}

// each calls f for every window, in any order.
func (n *network) each(ctx context.Context, f func(w int)) error {
	par.For(n.o.Workers, len(n.windows), func(w int) {
		if ctx.Err() == nil {
			f(w)
		}
	})
	n.report(int64(len(n.windows)))
	return ctx.Err()
}

// report counts windows that went through a layer.
func (n *network) report(windows int64) {
	n.done += windows
	if n.o.Progress != nil {
		n.o.Progress(n.done, int64(len(n.windows))*int64(2*n.config.Layers+1))
	}
}

// forward returns the states before each layer and after the last, of each window.
func (n *network) forward(ctx context.Context) ([][]tensor.Mat, error) {
	embedding, err := n.layers.Embedding()
	if err != nil {
		return nil, err
	}
	states := make([][]tensor.Mat, 1, n.config.Layers+1)
	for _, w := range n.windows {
		if err := embedding.CheckTokens(w); err != nil {
			return nil, err
		}
		x := tensor.NewMat(len(w), n.config.Hidden)
		embedding.Forward(x, w)
		states[0] = append(states[0], x)
	}
	for i := range n.config.Layers {
		layer, err := n.layers.Layer(i)
		if err != nil {
			return nil, err
		}
		next := make([]tensor.Mat, len(n.windows))
		for w, x := range states[i] {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			next[w] = tensor.Of(x.Rows, x.Cols, slices.Clone(x.Data))
			layer.Forward(next[w], []int{x.Rows}, nil)
		}
		n.report(int64(len(n.windows)))
		states = append(states, next)
	}
	return states, nil
}
