package structure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/internal/par"
	"pith/linalg"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// Stand-ins for layers that are left out. Neighbours that are left out together share one.
const (
	NoReplacement = "none"
	// MeanUpdate adds what the layers add on average, a vector, to the residual stream: the bias of the MLP before them carries it.
	MeanUpdate = "mean"
	// LinearMap multiplies the stream by the matrix that gives the layers' output with least squared error, and adds a vector.
	LinearMap = "linear"
)

// Replacements lists them.
func Replacements() []string { return []string{NoReplacement, MeanUpdate, LinearMap} }

// patch is x → x + update·x + bias on the residual stream, in the place of layers from … to−1.
type patch struct {
	from, to int
	update   linalg.Matrix // N 0: none
	bias     []float64
}

// Replace returns the edit that leaves out the dropped layers of a checkpoint (in rising order) and puts a stand-in of this kind in
// their places, fitted on texts. The states that a stand-in is fitted to read are those of the shortened model, what it should give
// those of the whole one. Each window's first position counts for nothing: in many models its state is like no other.
func Replace(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, dropped []int, kind string, o Options) (checkpoint.Edit, error) {
	config, err := ckpt.Config()
	if err != nil {
		return checkpoint.Edit{}, err
	}
	stay, err := Remaining(config.Layers, dropped)
	if err != nil {
		return checkpoint.Edit{}, err
	}
	edit := checkpoint.Edit{Layers: stay}
	if kind == NoReplacement || len(dropped) == 0 {
		return edit, nil
	}
	if err := canReplace(config, dropped, kind); err != nil {
		return edit, err
	}
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return edit, err
	}
	patches, err := r.fitAll(ctx, groups(dropped), kind)
	if err != nil {
		return edit, err
	}
	return foldPatches(ckpt, config, stay, patches, r.o.Workers)
}

// canReplace says why a model cannot hold a stand-in.
func canReplace(c model.Config, dropped []int, kind string) error {
	switch {
	case kind != MeanUpdate && kind != LinearMap:
		return fmt.Errorf("unknown replacement %q: use one of %s", kind, strings.Join(Replacements(), ", "))
	case dropped[0] == 0:
		return errors.New("nothing can stand in for layer 0: the layer before carries a replacement")
	case c.HasShortcuts():
		return model.ErrShortcuts
	case !c.MLPBias && c.ModelType != "llama":
		return fmt.Errorf("%s models have no biases in their MLPs, which carry a replacement; llama, gpt2 and gpt_neox can have them", c.ModelType)
	case kind == LinearMap && (c.ParallelResidual || c.ModelType == "gpt2"):
		return fmt.Errorf("a linear map cannot stand in for layers of a %s model; a mean update can", c.ModelType)
	}
	return nil
}

// groups joins neighbours.
func groups(dropped []int) []patch {
	var list []patch
	for _, l := range dropped {
		if n := len(list); n > 0 && list[n-1].to == l {
			list[n-1].to++
			continue
		}
		list = append(list, patch{from: l, to: l + 1})
	}
	return list
}

// fitAll fits one patch after another, each behind those before it.
func (r *runner) fitAll(ctx context.Context, patches []patch, kind string) ([]patch, error) {
	for i := range patches {
		s, err := r.observe(ctx, patches[:i], patches[i])
		if err != nil {
			return nil, err
		}
		if err := patches[i].fit(s, r.config.Hidden, kind, r.o.Workers); err != nil {
			return nil, err
		}
	}
	return patches, nil
}

// observe returns the Gram matrix of [x, u, 1]: x the state that a patch will read, u what it should add.
func (r *runner) observe(ctx context.Context, before []patch, p patch) (*calib.Stats, error) {
	n := r.config.Hidden
	s := calib.NewGram(2*n + 1)
	return s, r.each(ctx, "fitting a replacement", func(b batch) error {
		start := r.states(b, nil)[0]
		target := r.through(b, start, r.all()[:p.to])
		x := start
		at := 0
		for _, q := range before {
			x = r.through(b, x, r.all()[at:q.from])
			q.apply(x, r.o.Workers)
			at = q.to
		}
		x = r.through(b, x, r.all()[at:p.from])
		joined := tensor.NewMat(b.rows-len(b.windows), 2*n+1)
		to, row := 0, 0
		for _, length := range b.lengths {
			for t := 1; t < length; t++ {
				dst, in, out := joined.Row(to), x.Row(row+t), target.Row(row+t)
				copy(dst, in)
				for i, v := range out {
					dst[n+i] = v - in[i]
				}
				dst[2*n] = 1
				to++
			}
			row += length
		}
		s.ObserveWith(r.o.Workers, joined)
		return nil
	})
}

// ridge keeps the update small in directions that the text hardly has: this fraction of the mean variance is added to each.
const ridge = 1e-3

// fit solves for the patch. With mean and covariance over the tokens, update = Cov(u, x)·(Cov(x) + λI)⁻¹ and bias = E u − update·E x.
func (p *patch) fit(s *calib.Stats, n int, kind string, workers int) error {
	if s.Tokens < 2 {
		return errors.New("the text has too few finite states to fit a replacement on")
	}
	tokens := float64(s.Tokens)
	mean := make([]float64, 2*n)
	for i, v := range s.GramRow(2 * n)[:2*n] {
		mean[i] = v / tokens
	}
	p.bias = slices.Clone(mean[n:])
	if kind == MeanUpdate {
		return nil
	}
	cov := linalg.NewMatrix(n)
	var trace float64
	for i := range n {
		for j, v := range s.GramRow(i)[:i+1] {
			cov.Row(i)[j] = v/tokens - mean[i]*mean[j]
		}
		trace += cov.Row(i)[i]
	}
	p.update = linalg.NewMatrix(n)
	for i := range n {
		for j, v := range s.GramRow(n + i)[:n] {
			p.update.Row(i)[j] = v/tokens - mean[n+i]*mean[j]
		}
		cov.Row(i)[i] += ridge * trace / float64(n)
	}
	if err := linalg.Cholesky(cov, workers); err != nil {
		return fmt.Errorf("fitting a linear map to the states before layer %d: %w; use more text", p.from, err)
	}
	linalg.SolveRight(cov, p.update.Data, n, workers)
	for i := range n {
		for j, v := range p.update.Row(i) {
			p.bias[i] -= v * mean[j]
		}
	}
	return nil
}

// apply does to states what the patch stands for.
func (p *patch) apply(x tensor.Mat, workers int) {
	n := x.Cols
	par.For(workers, x.Rows, func(r int) {
		row, add := x.Row(r), slices.Clone(p.bias)
		if p.update.N > 0 {
			for i := range n {
				for j, v := range p.update.Row(i) {
					add[i] += v * float64(row[j])
				}
			}
		}
		for i := range row {
			row[i] = float32(float64(row[i]) + add[i])
		}
	})
}
