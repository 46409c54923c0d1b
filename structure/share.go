package structure

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"pith/checkpoint"
	"pith/observe"
	"pith/tensor"
)

// Sharing is layers that use one layer's matrices, each with its own norms (FoldGPT, Liu et al. 2024, arXiv 2407.00928; ALBERT, Lan et al.
// 2019, arXiv 1909.11942).

// ShareRequest is what a user asked for: groups of so many neighbours, groups by number, or so many layers less, to be chosen.
type ShareRequest struct {
	Size   int
	Groups [][]int
	Fewer  int
}

// Representatives are the ways to choose the layer whose matrices a group uses.
const (
	ByKL    = "kl"    // the one with which the model's predictions diverge least from what they were
	ByMSE   = "mse"   // the one whose matrices, in the other layers' places, change these layers' outputs least
	ByFirst = "first" // the first of the group
)

// RepresentativeRules lists them.
func RepresentativeRules() []string { return []string{ByKL, ByMSE, ByFirst} }

// fewerPrefix starts a request for a number of layers to be chosen.
const fewerPrefix = "fewer:"

// ParseShare reads "2" (groups of two neighbours), "0,1|2-4" (these groups) or "fewer:3" (three layers less than there are, to be chosen).
func ParseShare(s string) (ShareRequest, error) {
	bad := fmt.Errorf("%q: give the size of groups, as 2, the groups, as 0,1|4-6, or how many layers less to store, as fewer:2", s)
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > maxRequest {
			return ShareRequest{}, bad
		}
		return ShareRequest{Size: n}, nil
	}
	if count, ok := strings.CutPrefix(s, fewerPrefix); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n > maxRequest {
			return ShareRequest{}, bad
		}
		return ShareRequest{Fewer: n}, nil
	}
	var r ShareRequest
	for _, group := range strings.Split(s, "|") {
		list, err := ParseRequest(group + ",")
		if err != nil {
			return ShareRequest{}, bad
		}
		r.Groups = append(r.Groups, list.Layers)
	}
	return r, nil
}

// groups returns the groups of a model of so many layers, each in rising order; layers that are in none are alone.
func (r ShareRequest) groups(layers int) ([][]int, error) {
	if r.Size > 0 {
		var all [][]int
		for l := 0; l < layers; l += r.Size {
			var g []int
			for k := l; k < min(layers, l+r.Size); k++ {
				g = append(g, k)
			}
			all = append(all, g)
		}
		return all, nil
	}
	seen := map[int]bool{}
	for _, g := range r.Groups {
		for _, l := range g {
			if l >= layers {
				return nil, fmt.Errorf("layer %d: the model has %d layers, 0 to %d", l, layers, layers-1)
			}
			if seen[l] {
				return nil, fmt.Errorf("layer %d is in two groups", l)
			}
			seen[l] = true
		}
	}
	return r.Groups, nil
}

// identity returns 0 … n−1.
func identity(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// ShareLayers returns, for each layer of the checkpoint, the layer whose matrices it should use. Texts are read unless the request and the
// rule say all.
func ShareLayers(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, q ShareRequest, rule string, o Options) ([]int, error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(RepresentativeRules(), rule) {
		return nil, fmt.Errorf("representatives by %q: choose one of %s", rule, strings.Join(RepresentativeRules(), ", "))
	}
	groups, err := q.groups(config.Layers)
	if err != nil {
		return nil, err
	}
	if q.Fewer >= config.Layers {
		return nil, fmt.Errorf("%d layers less than %d leave none; ask for at most %d", q.Fewer, config.Layers, config.Layers-1)
	}
	if config.ScaleByLayer {
		return nil, fmt.Errorf("%s: config.json: scale_attn_by_inverse_layer_idx: layers differ by more than their weights", ckpt.Path)
	}
	matrices := identity(config.Layers)
	if !q.measures(groups, rule) {
		for _, g := range groups {
			for _, l := range g {
				matrices[l] = g[0]
			}
		}
		return matrices, nil
	}
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return nil, err
	}
	if q.Fewer > 0 {
		return r.shareGreedily(ctx, q.Fewer)
	}
	for _, g := range groups {
		if len(g) < 2 {
			continue
		}
		if matrices, err = r.represent(ctx, matrices, g, rule); err != nil {
			return nil, err
		}
	}
	return matrices, nil
}

// NeedsText reports whether ShareLayers would read texts, for a model of any number of layers.
func (q ShareRequest) NeedsText(rule string) bool {
	return q.Fewer > 0 || q.Size > 1 && rule != ByFirst || q.measures(q.Groups, rule)
}

func (q ShareRequest) measures(groups [][]int, rule string) bool {
	return q.Fewer > 0 || rule != ByFirst && slices.ContainsFunc(groups, func(g []int) bool { return len(g) > 1 })
}

// shared returns matrices with the layers of a group using those of one of them.
func shared(matrices, group []int, representative int) []int {
	list := slices.Clone(matrices)
	for _, l := range group {
		list[l] = representative
	}
	return list
}

// represent chooses whose matrices a group uses, where earlier groups share already.
func (r *runner) represent(ctx context.Context, matrices, group []int, rule string) ([]int, error) {
	var cands []sharedLayers
	for _, l := range group {
		cands = append(cands, sharedLayers{matrices: shared(matrices, group, l)})
	}
	var cost []float64
	var err error
	if rule == ByMSE {
		cost, err = r.outputErrors(ctx, group)
	} else {
		cost, err = r.divergence(ctx, fmt.Sprintf("layers %v", group), cands)
	}
	if err != nil {
		return nil, err
	}
	return cands[least(cost)].matrices, nil
}

// least returns where the least number is, the first of equal ones.
func least(list []float64) int {
	best := 0
	for i, v := range list {
		if v < list[best] {
			best = i
		}
	}
	return best
}

// shareGreedily joins neighbouring groups, n times the two and the representative that cost least.
func (r *runner) shareGreedily(ctx context.Context, n int) ([]int, error) {
	matrices := identity(r.config.Layers)
	groups := make([][]int, r.config.Layers)
	for l := range groups {
		groups[l] = []int{l}
	}
	for step := range n {
		var cands []sharedLayers
		var joined []int
		for i := range len(groups) - 1 {
			both := slices.Concat(groups[i], groups[i+1])
			for _, rep := range []int{matrices[groups[i][0]], matrices[groups[i+1][0]]} {
				cands = append(cands, sharedLayers{matrices: shared(matrices, both, rep)})
				joined = append(joined, i)
			}
		}
		cost, err := r.divergence(ctx, fmt.Sprintf("sharing %d of %d", step+1, n), cands)
		if err != nil {
			return nil, err
		}
		best := least(cost)
		matrices = cands[best].matrices
		i := joined[best]
		groups = slices.Replace(groups, i, i+2, slices.Concat(groups[i], groups[i+1]))
	}
	return matrices, nil
}

// sharedLayers is a model some of whose layers use others' matrices, and norms in place of their own, before attention and before the MLP.
type sharedLayers struct {
	matrices []int
	norms    map[int][2][]float32
}

// divergence returns the mean KL from the whole model of the models whose layers use these layers' matrices.
func (r *runner) divergence(ctx context.Context, what string, cands []sharedLayers) ([]float64, error) {
	tallies := make([]tally, len(cands))
	err := r.each(ctx, what, func(b batch) error {
		states := r.states(b, r.all())
		last := states[len(states)-1]
		for i, cand := range cands {
			first := 0
			for first < len(cand.matrices) && cand.matrices[first] == first {
				first++
			}
			x := r.with(b, states[first], cand, first)
			if err := r.score(b, last, []tensor.Mat{x}, tallies[i:i+1]); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	cost := make([]float64, len(cands))
	for i, t := range tallies {
		if cost[i] = t.KL(); math.IsNaN(cost[i]) {
			cost[i] = math.Inf(1)
		}
	}
	return cost, err
}

// with returns what x becomes in the layers from first on, with others' matrices.
func (r *runner) with(b batch, x tensor.Mat, s sharedLayers, first int) tensor.Mat {
	y := tensor.NewMat(x.Rows, x.Cols)
	copy(y.Data, x.Data)
	for l := first; l < len(s.matrices); l++ {
		norms := s.norms[l]
		r.parts.LayerWith(l, s.matrices[l], norms[:]...).Forward(y, b.lengths, nil)
	}
	return y
}

// outputErrors returns, for each layer of a group as its representative, the sum over the group of what its matrices change of the layers'
// outputs, relative to what the layers add to the residual stream. Every layer reads what it reads in the whole model.
func (r *runner) outputErrors(ctx context.Context, group []int) ([]float64, error) {
	errs := make([][]float64, len(group))
	norms := make([]float64, len(group))
	for i := range errs {
		errs[i] = make([]float64, len(group))
	}
	err := r.each(ctx, fmt.Sprintf("outputs of layers %v", group), func(b batch) error {
		states := r.states(b, r.all())
		for k, l := range group {
			norms[k] += distance(states[l+1], states[l])
			for i, rep := range group {
				if rep == l {
					continue
				}
				y := tensor.NewMat(b.rows, r.config.Hidden)
				copy(y.Data, states[l].Data)
				r.parts.LayerWith(l, rep).Forward(y, b.lengths, nil)
				errs[i][k] += distance(y, states[l+1])
			}
		}
		return nil
	})
	cost := make([]float64, len(group))
	for i := range cost {
		for k := range group {
			cost[i] += errs[i][k] / norms[k]
		}
	}
	return cost, err
}

// distance is Σ (a − b)².
func distance(a, b tensor.Mat) (sum float64) {
	for i, v := range a.Data {
		d := float64(v) - float64(b.Data[i])
		sum += d * d
	}
	return sum
}

// CheckMatrices returns an error if a list does not say, for each of n layers, the layer whose matrices it uses.
func CheckMatrices(matrices []int, n int) error {
	if len(matrices) != n {
		return fmt.Errorf("matrices of %d layers for a model of %d; make the plan again", len(matrices), n)
	}
	for _, l := range matrices {
		if l < 0 || l >= n {
			return fmt.Errorf("matrices of layer %d: the model has %d layers; make the plan again", l, n)
		}
	}
	return nil
}
