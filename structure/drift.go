package structure

import (
	"cmp"
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

// driftPrefix starts a request for a number of groups that are cut where predictions drift most.
const driftPrefix = "kl:"

// GroupRequest is what a user asked for of layers that have something in common: groups as in ShareRequest, or how many.
type GroupRequest struct {
	ShareRequest
	Count int // 0: as ShareRequest says
}

// ParseGroups reads "4" (groups of four neighbours), "0-3|4-7" (these groups), "all" or "kl:2" (two groups, cut where predictions drift most).
func ParseGroups(s string) (GroupRequest, error) {
	bad := fmt.Errorf("%q: give the size of groups, as 4, the groups, as 0-3|4-7, how many, as kl:2 (cut where predictions drift most), or all", s)
	if s == "all" {
		return GroupRequest{ShareRequest: ShareRequest{Size: maxRequest}}, nil
	}
	if count, ok := strings.CutPrefix(s, driftPrefix); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > maxRequest {
			return GroupRequest{}, bad
		}
		return GroupRequest{Count: n}, nil
	}
	q, err := ParseShare(s)
	if err != nil || q.Fewer > 0 || strings.HasPrefix(s, fewerPrefix) {
		return GroupRequest{}, bad
	}
	return GroupRequest{ShareRequest: q}, nil
}

// GroupLayers returns the groups of a checkpoint's layers. Texts are read for a Count above 1 only.
func GroupLayers(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, q GroupRequest, o Options) ([][]int, error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	if q.Count == 0 {
		return q.groups(config.Layers)
	}
	if q.Count > config.Layers {
		return nil, fmt.Errorf("%d groups of %d layers; ask for fewer", q.Count, config.Layers)
	}
	var drift []float64
	if q.Count > 1 {
		if drift, err = Drift(ctx, ckpt, texts, o); err != nil {
			return nil, err
		}
	}
	return cut(config.Layers, drift, q.Count), nil
}

// cut makes n groups of neighbouring layers, cut after the layers of largest drift; of equal ones after the first.
func cut(layers int, drift []float64, n int) [][]int {
	order := identity(len(drift))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(drift[b], drift[a]) })
	ends := slices.Clone(order[:min(n-1, len(order))])
	ends = append(ends, layers-1)
	slices.Sort(ends)
	var groups [][]int
	from := 0
	for _, end := range ends {
		var g []int
		for l := from; l <= end; l++ {
			g = append(g, l)
		}
		groups = append(groups, g)
		from = end + 1
	}
	return groups
}

// Drift returns, for each layer but the last, how far predictions move from it to the next: KL(p_l ‖ p_l+1), where p_l is what final norm and head make
// of the mean over tokens of the state after layer l (MASA, Zhussip et al. 2025, arXiv 2508.04581).
func Drift(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, o Options) ([]float64, error) {
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return nil, err
	}
	sums := make([][]float64, r.config.Layers)
	for l := range sums {
		sums[l] = make([]float64, r.config.Hidden)
	}
	tokens := 0
	err = r.each(ctx, "drift of predictions", func(b batch) error {
		for l, x := range r.states(b, r.all())[1:] {
			for t := range x.Rows {
				for i, v := range x.Row(t) {
					sums[l][i] += float64(v)
				}
			}
		}
		tokens += b.rows
		return nil
	})
	if err != nil {
		return nil, err
	}
	means := tensor.NewMat(max(minRows, r.config.Layers), r.config.Hidden) // so many rows that activations are not rounded
	for l, s := range sums {
		for i, v := range s {
			means.Row(l)[i] = float32(v / float64(tokens))
		}
	}
	normed := tensor.NewMat(means.Rows, means.Cols)
	r.parts.Norm().Forward(normed, means)
	logits := r.parts.Head().Logits(normed)
	drift := make([]float64, r.config.Layers-1)
	for l := range drift {
		if drift[l] = divergence(logits.Row(l), logits.Row(l+1)); math.IsNaN(drift[l]) {
			return nil, fmt.Errorf("%s: what is predicted after layer %d is not a number; group layers by number", ckpt.Path, l)
		}
	}
	return drift, nil
}

// divergence is KL(p ‖ q) of the distributions of two rows of logits.
func divergence(p, q []float32) (sum float64) {
	lp, lq := logSum(p), logSum(q)
	for i, v := range p {
		a, b := float64(v)-lp, float64(q[i])-lq
		sum += math.Exp(a) * (a - b)
	}
	return sum
}

// logSum is ln Σ eˣ.
func logSum(x []float32) float64 {
	top := slices.Max(x)
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v - top))
	}
	return float64(top) + math.Log(sum)
}
