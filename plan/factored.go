package plan

import (
	"strings"

	"pith/approx"
	"pith/codec"
	"pith/lowrank"
	"pith/quantizers"
)

// defaultFactors is the method of low-rank codecs for which none is named: svd where there are no statistics.
const defaultFactors = "svd-llm"

// svdDamping is what svd-llm adds to the diagonal of the mean of x·xᵀ, relative to its mean.
const svdDamping = 0

// factored returns what makes a method of the SVD family; its factors are rounded with error feedback where that is worth it.
func factored(w lowrank.Weighting) func(codec.Codec, *Line) approx.Method {
	return func(c codec.Codec, l *Line) approx.Method {
		f := lowrank.Factorizer{Weighting: w, Codec: c}
		product, ok := c.(codec.LowRank)
		if !ok {
			return f // which says so when it is checked
		}
		inner := product.Inner()
		_, data := w.(lowrank.SVDLLM)
		if data && coarseFactors(inner) {
			f.Round = quantizers.ForCodec(inner, func(c codec.Codec) approx.Method {
				return quantizers.LDLQ{Codec: c, Search: true, Ordered: true, Damping: ldlqDamping, Refit: true, Gains: gains(c), Sweeps: sweeps(c)}
			})
			return f
		}
		f.Round = quantizers.Nearest{Codec: inner, Search: l.Search}
		return f
	}
}

// coarseFactors reports whether factors by c lose so much that errors are worth feeding back.
func coarseFactors(c codec.Codec) bool {
	switch c.Name() {
	case "f32", "f16", "bf16":
		return false
	}
	return !strings.HasPrefix(c.Name(), "int8") && c.Name() != "q8_0"
}

// factors reports whether a method is of the SVD family.
func factors(name string) bool {
	switch name {
	case "svd", "fwsvd", "fisher-in", "asvd", "svd-llm", "svd-llm-u":
		return true
	}
	return false
}
