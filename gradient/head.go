package gradient

import (
	"context"
	"fmt"
	"math"
	"strings"

	"pith/kernels"
	"pith/tensor"
)

// head returns the slopes of each window's loss with regard to the states after the last layer, and sets the loss. A head that is the embedding
// too gets no sums: half of its gradient would be missing.
func (n *network) head(ctx context.Context, states []tensor.Mat, r *Result) ([]tensor.Mat, error) {
	sites := n.layers.Sites()
	name := sites[len(sites)-1].Weights[0]
	tied := name == sites[0].Weights[0]
	w, err := n.weights.Load(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	head := linear{name: name, m: tensor.NewMat(w.Rows, w.Cols)}
	w.ReadRows(head.m, 0)
	weight, err := n.vector(strings.TrimSuffix(sites[0].Weights[0], "embed_tokens.weight") + "norm.weight")
	if err != nil {
		return nil, err
	}
	losses, slopes, parts := make([]float64, len(states)), make([]tensor.Mat, len(states)), make([]sums, len(states))
	err = n.each(ctx, func(w int) {
		x := states[w]
		hidden := rmsNorm(x, weight, n.config.NormEps)
		logits := forwards(hidden, head)
		losses[w] = lossSlope(logits, n.windows[w])
		parts[w] = newSums(n, w)
		if !tied {
			parts[w].add(name, logits, hidden)
		}
		dhidden := tensor.NewMat(x.Rows, x.Cols)
		backwards(dhidden, logits, head)
		slopes[w] = tensor.NewMat(x.Rows, x.Cols)
		addNormSlope(slopes[w], dhidden, x, weight, n.config.NormEps)
	})
	if err != nil {
		return nil, err
	}
	collect(r.Fisher, parts)
	tokens := 0
	for w, l := range losses {
		count := len(n.windows[w]) - 1
		r.Loss += l * float64(count)
		tokens += count
	}
	r.Loss /= float64(tokens)
	if math.IsNaN(r.Loss) || math.IsInf(r.Loss, 0) {
		return nil, fmt.Errorf("the loss is %v: the network's activations are not finite on this text", r.Loss)
	}
	return slopes, nil
}

// lossSlope overwrites logits with the slope of the mean of −log p(next token) and returns that mean.
func lossSlope(logits tensor.Mat, tokens []int32) float64 {
	last := len(tokens) - 1
	var loss float64
	for t := range last {
		row := logits.Row(t)
		next := tokens[t+1]
		top := kernels.Max(row)
		own := float64(row[next]) - float64(top)
		sum := kernels.ExpSum(row, top)
		loss += math.Log(float64(sum)) - own
		for i, v := range row {
			row[i] = v / sum / float32(last)
		}
		row[next] -= 1 / float32(last)
	}
	clear(logits.Row(last))
	return loss / float64(last)
}
