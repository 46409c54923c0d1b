package structure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/linalg"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// A layer that uses another's matrices W' has norms of its own. What its first matrices give, W'·diag(t)·x for inputs x, comes nearest to what its
// own gave, W·x, for the t that solves ((W'ᵀ·W')∘H)·t = ((W'ᵀ·W)∘H)·1, with H the mean of x·xᵀ and ∘ the product of elements: least squares,
// no training (FoldGPT re-adapts norms by fine-tuning). t multiplies the weights of the norm before these matrices.

// renormRidge draws t towards 1, relative to the mean of the diagonal.
const renormRidge = 1e-3

// Renorm returns an edit with the matrices that ShareLayers chose, and, fitted to them on texts, those norms with which the model's predictions
// diverge less than without: one after another in the order of the layers, the others as they are. It tells the divergence before and after.
func Renorm(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, matrices []int, o Options) (edit checkpoint.Edit, before, after float64, err error) {
	edit = checkpoint.Edit{Matrices: matrices}
	config, err := ckpt.Config()
	if err != nil {
		return edit, 0, 0, err
	}
	if config.Norm != model.RMSNorm || config.ParallelResidual {
		return edit, 0, 0, fmt.Errorf("%s: norms are fitted to shared matrices in models with plain RMS norms, as llama, only", ckpt.Path)
	}
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return edit, 0, 0, err
	}
	stats, err := r.grams(ctx, matrices)
	if err != nil {
		return edit, 0, 0, err
	}
	now := sharedLayers{matrices: matrices, norms: map[int][2][]float32{}}
	cost, err := r.divergence(ctx, "shared layers", []sharedLayers{now})
	if err != nil {
		return edit, 0, 0, err
	}
	before, after = cost[0], cost[0]
	for _, site := range model.Sites(config, ckpt.Names()) {
		if stats[site.Name] == nil {
			continue
		}
		norm, weights, err := renormed(ckpt, config, site, matrices[site.Layer], stats[site.Name], r.o.Workers)
		if err != nil {
			return edit, 0, 0, err
		}
		tried := now.withNorm(site, weights)
		cost, err := r.divergence(ctx, "norm of "+site.Name, []sharedLayers{tried})
		if err != nil {
			return edit, 0, 0, err
		}
		if cost[0] >= after {
			continue
		}
		now, after = tried, cost[0]
		data := encode(tensor.F32, weights)
		edit.Made = append(edit.Made, checkpoint.Made{Name: norm, DType: tensor.F32, Shape: []int{len(weights)}, Data: func() ([]byte, error) { return data, nil }})
	}
	return edit, before, after, nil
}

// withNorm returns s with another norm before a site.
func (s sharedLayers) withNorm(site model.Site, weights []float32) sharedLayers {
	out := sharedLayers{s.matrices, maps.Clone(s.norms)}
	pair := out.norms[site.Layer]
	pair[0] = slices.Clone(pair[0])
	if strings.HasSuffix(site.Name, ".up") {
		pair[1] = weights
	} else {
		pair[0] = weights
	}
	out.norms[site.Layer] = pair
	return out
}

// grams returns the Gram matrices of what the layers read that use another's matrices, in the whole model.
func (r *runner) grams(ctx context.Context, matrices []int) (map[string]*calib.Stats, error) {
	stats := map[string]*calib.Stats{}
	err := r.each(ctx, "inputs of shared layers", func(b batch) error {
		x := r.states(b, nil)[0]
		for l := range matrices {
			var watch func(site string, x tensor.Mat)
			if matrices[l] != l {
				watch = func(site string, x tensor.Mat) {
					if !strings.HasSuffix(site, ".qkv") && !strings.HasSuffix(site, ".up") {
						return
					}
					if stats[site] == nil {
						stats[site] = calib.NewGram(x.Cols)
					}
					stats[site].ObserveWith(r.o.Workers, x)
				}
			}
			r.parts.Layer(l).Forward(x, b.lengths, watch)
		}
		return nil
	})
	return stats, err
}

// renormed returns the norm before a site's weights, and its weights as they fit the matrices of another layer.
func renormed(ckpt *checkpoint.Checkpoint, config model.Config, site model.Site, from int, s *calib.Stats, workers int) (norm string, weights []float32, err error) {
	h, why := s.MeanGram(site.Features)
	if why != "" {
		return "", nil, fmt.Errorf("%s: %s; give more text", site.Name, why)
	}
	n := site.Features
	normal, right := linalg.NewDense(n, n), linalg.NewDense(n, n)
	for _, name := range site.Weights {
		own, err := transposedWeight(ckpt, name)
		if err != nil {
			return "", nil, err
		}
		other, err := transposedWeight(ckpt, model.InLayer(config, name, from))
		if err != nil {
			return "", nil, err
		}
		sum(normal, other.TimesT(other, workers))
		sum(right, other.TimesT(own, workers))
	}
	a := linalg.NewMatrix(n)
	t := make([]float64, n)
	var mean float64
	for i := range n {
		mean += normal.Data[i*n+i] * h.Row(i)[i] / float64(n)
	}
	for i := range n {
		for j := range n {
			gram := h.Row(max(i, j))[min(i, j)]
			if j <= i {
				a.Row(i)[j] = normal.Data[i*n+j] * gram
			}
			t[i] += right.Data[i*n+j] * gram
		}
		a.Row(i)[i] += renormRidge * mean
		t[i] += renormRidge * mean
	}
	if err := linalg.Cholesky(a, workers); err != nil {
		return "", nil, fmt.Errorf("%s: %w; give more text", site.Name, err)
	}
	linalg.SolveRight(a, t, 1, workers)
	norm = normBefore(config, site, ckpt.Names())
	weights, err = scaledNorm(ckpt, norm, t)
	return norm, weights, err
}

// sum is to += a.
func sum(to, a linalg.Dense) {
	for i, v := range a.Data {
		to.Data[i] += v
	}
}

// transposedWeight returns Wᵀ in float64.
func transposedWeight(ckpt *checkpoint.Checkpoint, name string) (linalg.Dense, error) {
	info, err := ckpt.Info(name)
	if err != nil {
		return linalg.Dense{}, err
	}
	w := tensor.NewMat(info.Rows, info.Cols)
	if err := ckpt.ReadRows(name, w, 0); err != nil {
		return linalg.Dense{}, err
	}
	return linalg.Dense{Rows: w.Cols, Cols: w.Rows, Data: transposed(w)}, nil
}

// normBefore returns the norm whose output a site's weights read: the layer's first, or the one between attention and MLP.
func normBefore(config model.Config, site model.Site, names []string) string {
	suffix := ".input_layernorm.weight"
	if strings.HasSuffix(site.Name, ".up") {
		suffix = ".post_attention_layernorm.weight"
	}
	at := slices.IndexFunc(names, func(name string) bool {
		return model.LayerOf(config, name) == site.Layer && strings.HasSuffix(name, suffix)
	})
	if at < 0 {
		return ""
	}
	return names[at]
}

// scaledNorm returns a norm's weights multiplied by t.
func scaledNorm(ckpt *checkpoint.Checkpoint, name string, t []float64) ([]float32, error) {
	if name == "" {
		return nil, fmt.Errorf("%s: has no norm under the name that Llama gives it", ckpt.Path)
	}
	w := tensor.NewMat(1, len(t))
	if err := ckpt.ReadRows(name, w, 0); err != nil {
		return nil, err
	}
	for i, v := range t {
		w.Data[i] = float32(float64(w.Data[i]) * v)
	}
	return w.Data, nil
}
