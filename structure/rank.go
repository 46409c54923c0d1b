package structure

import (
	"context"
	"math"
	"slices"

	"pith/calib"
	"pith/checkpoint"
	"pith/internal/par"
	"pith/observe"
	"pith/tensor"
)

// Ranker is a way to choose layers to leave out.
type Ranker string

// The rankers.
const (
	// BlockInfluence takes the layers that turn the residual stream least: 1 − mean cos(h_l, h_l+1) (Men et al. 2024, ShortGPT,
	// arXiv 2403.03853, eq. 1). One pass.
	BlockInfluence Ranker = "bi"
	// LeaveOneOut takes those without which, one at a time, the predictions diverge least from the whole model's (KL).
	LeaveOneOut Ranker = "loo"
	// Window takes the n neighbouring layers whose input and output are most alike (Chen et al. 2024, LLM-Streamline, arXiv
	// 2403.19135; Gromov et al. 2024, arXiv 2403.17887).
	Window Ranker = "window"
	// Greedy is LeaveOneOut measured again after each removal.
	Greedy Ranker = "greedy"
)

// Rankers lists all rankers.
func Rankers() []Ranker { return []Ranker{BlockInfluence, LeaveOneOut, Window, Greedy} }

// LayerScore is what was measured of one layer.
type LayerScore struct {
	Layer      int     `json:"layer"`
	Influence  float64 `json:"block_influence"` // 1 − mean cosine of its input and output
	KL         float64 `json:"kl_without"`      // of the model without it from the whole model, nats a token
	Perplexity float64 `json:"perplexity_without"`
	Droppable  bool    `json:"droppable"` // not among those that are protected
}

// Removal is one step of Greedy.
type Removal struct {
	Layer      int     `json:"layer"`
	KL         float64 `json:"kl"` // from the whole model, once it and those before it are gone
	Perplexity float64 `json:"perplexity"`
}

// Report is what Measure found.
type Report struct {
	Perplexity float64      `json:"perplexity"` // of the whole model on the text
	Layers     []LayerScore `json:"layers"`
	Drop       int          `json:"drop"` // how many layers Windows and Removals are about
	// Similarity[l][n-1] is the mean cosine of the residual stream before layer l and n layers later.
	Similarity  [][]float64   `json:"similarity"`
	Removals    []Removal     `json:"removals"`
	Correlation []Correlation `json:"rank_correlation"`
	Corpus      calib.Corpus  `json:"corpus"`
}

// Measure computes every ranker's scores. drop is how many layers the windows have and how many steps Greedy takes; which layers are
// droppable is p's to say.
func Measure(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, drop int, p Protection, o Options) (*Report, error) {
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return nil, err
	}
	rep := r.report(drop, p)
	if err := r.similarity(ctx, rep); err != nil {
		return nil, err
	}
	if err := r.leaveOneOut(ctx, rep); err != nil {
		return nil, err
	}
	if err := r.greedy(ctx, rep, drop); err != nil {
		return nil, err
	}
	rep.correlate()
	return rep, nil
}

func (r *runner) report(drop int, p Protection) *Report {
	rep := &Report{Drop: drop, Corpus: r.corpus}
	for l := range r.config.Layers {
		rep.Layers = append(rep.Layers, LayerScore{Layer: l, Droppable: p.droppable(l, r.config.Layers)})
	}
	return rep
}

// similarity fills Similarity and the influences.
func (r *runner) similarity(ctx context.Context, rep *Report) error {
	n := r.config.Layers
	sums := make([][]float64, n)
	for l := range sums {
		sums[l] = make([]float64, n-l)
	}
	var tokens float64
	err := r.each(ctx, "similarity of layers", func(b batch) error {
		states := r.states(b, r.all())
		cosines := make([][]float64, b.rows) // of each token: l, then l's successors
		par.For(r.o.Workers, b.rows, func(t int) { cosines[t] = rowCosines(states, t) })
		for _, row := range cosines {
			i := 0
			for l := range sums {
				for k := range sums[l] {
					sums[l][k] += row[i]
					i++
				}
			}
		}
		tokens += float64(b.rows)
		return nil
	})
	for l := range sums {
		for k := range sums[l] {
			sums[l][k] /= tokens
		}
		rep.Layers[l].Influence = 1 - sums[l][0]
	}
	rep.Similarity = sums
	return err
}

// rowCosines returns the cosines of one token's states: each with all later ones. Where there is none (a state of zeros, or one that is
// not finite) it is ½, as in ShortGPT's code.
func rowCosines(states []tensor.Mat, t int) []float64 {
	norms := make([]float64, len(states))
	for i, s := range states {
		norms[i] = math.Sqrt(dot(s.Row(t), s.Row(t)))
	}
	var out []float64
	for l := range states {
		for k := l + 1; k < len(states); k++ {
			cos := dot(states[l].Row(t), states[k].Row(t)) / (norms[l] * norms[k])
			if math.IsNaN(cos) {
				cos = 0.5
			}
			out = append(out, cos)
		}
	}
	return out
}

// dot is Σ a·b in float64, product after product (products of float32 are exact in float64).
func dot(a, b []float32) float64 {
	var s float64
	b = b[:len(a)]
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

// without measures the model that has only the layers kept, once without each of the candidates: positions in kept.
func (r *runner) without(ctx context.Context, what string, kept, candidates []int) ([]tally, error) {
	tallies := make([]tally, len(candidates))
	whole := len(kept) == r.config.Layers
	return tallies, r.each(ctx, what, func(b batch) error {
		states := r.states(b, kept)
		base := states[len(kept)]
		if !whole {
			base = r.through(b, states[0], r.all())
		}
		var ends []tensor.Mat
		for _, c := range candidates {
			ends = append(ends, r.through(b, states[c], kept[c+1:]))
		}
		return r.score(b, base, ends, tallies)
	})
}

func (r *runner) leaveOneOut(ctx context.Context, rep *Report) error {
	tallies, err := r.without(ctx, "leaving out one layer", r.all(), r.all())
	if err != nil {
		return err
	}
	for l, t := range tallies {
		rep.Layers[l].KL, rep.Layers[l].Perplexity = t.KL(), t.Perplexity()
		rep.Perplexity = math.Exp(t.base / float64(t.positions))
	}
	return nil
}

// greedy removes the droppable layer that costs least, then measures again, steps times or until none is droppable.
func (r *runner) greedy(ctx context.Context, rep *Report, steps int) error {
	kept := r.all()
	for range steps {
		var candidates []int
		for i, l := range kept {
			if rep.Layers[l].Droppable {
				candidates = append(candidates, i)
			}
		}
		if len(candidates) == 0 || len(kept) == 1 {
			return nil
		}
		tallies, err := r.without(ctx, "leaving out one layer more", kept, candidates)
		if err != nil {
			return err
		}
		best := 0
		for i := range tallies {
			if tallies[i].kl < tallies[best].kl {
				best = i
			}
		}
		at := candidates[best]
		rep.Removals = append(rep.Removals, Removal{kept[at], tallies[best].KL(), tallies[best].Perplexity()})
		kept = slices.Delete(slices.Clone(kept), at, at+1)
	}
	return nil
}
