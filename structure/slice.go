package structure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/linalg"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// Slicing says how the residual stream is narrowed.
type Slicing struct {
	Hidden int  // directions that stay
	Shared bool // one basis for the whole network: no shortcuts, an ordinary smaller model
}

// sliceMultiple divides the width of a sliced model, for the kernels' sake.
const sliceMultiple = 8

// ParseSlice reads "25%" or "0.25": the part of the residual stream's hidden directions that goes. What stays is a multiple of 8.
func ParseSlice(s string, hidden int) (int, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	f, err := strconv.ParseFloat(number, 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f >= 0 && f < 1) || !percent && f != 0 && s == "1" {
		return 0, fmt.Errorf("%q: give the part of the width that goes, as 25%% or 0.25", s)
	}
	if f == 0 {
		return hidden, nil
	}
	stay := int(math.Floor((1-f)*float64(hidden)/sliceMultiple+1e-9)) * sliceMultiple
	if stay < sliceMultiple {
		return 0, fmt.Errorf("%q leaves nothing of %d directions", s, hidden)
	}
	return stay, nil
}

// Slice returns the view of a checkpoint in which the residual stream is rotated into its principal directions and cut to those of most
// variance (SliceGPT: Ashkboos et al. 2024, arXiv 2401.15024). An RMS norm without weights commutes with rotations, so with all directions
// kept nothing is lost: norms' weights are first moved into the matrices that read them, which unties a tied head. Directions are those of the whole
// model's states on the texts, each token scaled to length 1 as norms see it: before each attention, before each MLP, and at the end.
func Slice(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, s Slicing, o Options) (*checkpoint.Checkpoint, error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	if err := canSlice(config); err != nil {
		return nil, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return nil, err
	}
	grams, err := r.boundaries(ctx, s.Shared)
	if err != nil {
		return nil, err
	}
	bases, err := principal(grams, s.Hidden, r.o.Workers)
	if err != nil {
		return nil, err
	}
	return sliced(ckpt, config, s, bases, r.o.Workers)
}

// canSlice says why a model's residual stream cannot be rotated.
func canSlice(c model.Config) error {
	switch {
	case c.HasShortcuts():
		return fmt.Errorf("%w; slice the original instead", model.ErrShortcuts)
	case c.Norm == model.LayerNorm:
		return fmt.Errorf("%s models have LayerNorm, which rotations do not pass through; models with RMSNorm can be sliced", c.ModelType)
	case c.PostNorms || c.Norm != model.RMSNorm || c.EmbedScale != 1 || c.LearnedPositions || c.ParallelResidual:
		return fmt.Errorf("%s models have norms behind their blocks, which rotations do not pass through", c.ModelType)
	}
	return nil
}

// boundaries returns the Gram matrices of the residual stream: before attention and MLP of each layer in turn, and at the end; with shared, one
// of all of them together.
func (r *runner) boundaries(ctx context.Context, shared bool) ([]*calib.Stats, error) {
	grams := make([]*calib.Stats, 2*r.config.Layers+1)
	for i := range grams {
		if i == 0 || !shared {
			grams[i] = calib.NewGram(r.config.Hidden)
		} else {
			grams[i] = grams[0]
		}
	}
	err := r.each(ctx, "directions of the residual stream", func(b batch) error {
		x := r.states(b, nil)[0]
		unit := tensor.NewMat(x.Rows, x.Cols)
		see := func(i int, x tensor.Mat) {
			for t := range x.Rows {
				length := math.Sqrt(dot(x.Row(t), x.Row(t)))
				for j, v := range x.Row(t) {
					unit.Row(t)[j] = 0
					if length > 0 {
						unit.Row(t)[j] = float32(float64(v) / length)
					}
				}
			}
			grams[i].ObserveWith(r.o.Workers, unit)
		}
		for l := range r.config.Layers {
			see(2*l, x)
			r.parts.Layer(l).Halves(x, b.lengths, func(x tensor.Mat) { see(2*l+1, x) })
		}
		see(2*r.config.Layers, x)
		return nil
	})
	if shared {
		grams = grams[:1]
	}
	return grams, err
}

// basis is the directions of the stream at one boundary: its rows, (kept, N), in float64.
type basis struct {
	kept, n int
	rows    []float64
}

// principal returns the directions of most variance at each boundary.
func principal(grams []*calib.Stats, kept, workers int) ([]basis, error) {
	var list []basis
	for _, g := range grams {
		n := len(g.SqSum)
		a, why := g.MeanGram(n)
		if why != "" {
			return nil, errors.New("directions of the residual stream: " + why)
		}
		_, vectors, err := linalg.Eigen(a, workers)
		if err != nil {
			return nil, fmt.Errorf("directions of the residual stream: %w", err)
		}
		list = append(list, basis{kept, n, slices.Clone(vectors.Data[:kept*n])})
	}
	return list, nil
}

// sliced makes the view in given bases: one for each boundary, or a single one.
func sliced(ckpt *checkpoint.Checkpoint, config model.Config, s Slicing, bases []basis, workers int) (*checkpoint.Checkpoint, error) {
	c := &cutter{ckpt: ckpt, config: config, workers: workers, bases: bases}
	if err := c.all(); err != nil {
		return nil, err
	}
	edit := checkpoint.Edit{Made: c.made}
	var err error
	if edit.Config, err = slicedConfig(ckpt.ConfigJSON(), config, bases[0].kept); err != nil {
		return nil, err
	}
	if !s.Shared {
		var all []int
		for l := range config.Layers {
			all = append(all, l)
		}
		if edit.Config, err = model.WithShortcuts(edit.Config, model.Shortcuts{Attention: all, MLP: all}); err != nil {
			return nil, err
		}
	}
	return ckpt.View(edit)
}

// slicedConfig says the new width in config.json. A norm divides by the root mean square over what is left, times √(kept/N) what it was over all:
// the weights make up for that, and ε must be as small against the smaller sum.
func slicedConfig(configJSON []byte, c model.Config, kept int) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(configJSON, &fields); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	for name, v := range map[string]any{"hidden_size": kept, "head_dim": c.HeadDim, "tie_word_embeddings": false,
		"rms_norm_eps": c.NormEps * float64(c.Hidden) / float64(kept)} {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		fields[name] = raw
	}
	out, err := json.MarshalIndent(fields, "", "  ")
	return append(out, '\n'), err
}

// Sizes returns the bytes of a checkpoint's tensors, and of the shortcut matrices among them.
func Sizes(ckpt *checkpoint.Checkpoint) (all, shortcuts int64) {
	c, err := ckpt.Config()
	if err != nil {
		return ckpt.Bytes(), 0
	}
	for _, name := range ckpt.Names() {
		if info, err := ckpt.Info(name); err == nil && model.Role(c, name) == "shortcut" {
			shortcuts += info.Bytes
		}
	}
	return ckpt.Bytes(), shortcuts
}
