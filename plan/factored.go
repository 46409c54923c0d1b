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
	case "svd", "svd-freq", "fwsvd", "fisher-in", "svd-llm", "svd-llm-u":
		return true
	}
	_, ok := lowrank.ParseASVD(name)
	return ok
}

// asvdExponents are the methods that a search by measured losses tries for asvd: exponents from 0, which is svd, to 1; of those that lose alike the first is
// taken, so 0.5 of the authors leads. That exponents are searched is ours.
func asvdExponents() []string { return []string{"asvd", "asvd0.25", "asvd0.75", "asvd1", "svd"} }

// factorBytes is what factoring the line's weight holds besides the weight.
func (l *Line) factorBytes() int64 {
	c, err := codec.Parse(l.Codec)
	if err != nil {
		return 0
	}
	m, err := l.makeMethod(c)
	if h, ok := m.(interface{ Holds(rows, cols int) int64 }); ok && err == nil {
		return h.Holds(l.Rows, l.Cols)
	}
	return 0
}

// factorSeconds is what decompositions of the line's weight take on one core: products with the Gram matrix, and the eigenvectors of the smaller side
// (docs/methods/linalg.md), as often as terms are solved again.
func (l *Line) factorSeconds() float64 {
	c, err := codec.Parse(l.Codec)
	if err != nil || l.Keeps() {
		return 0
	}
	names, codecs, err := termMethods(l.Method, c)
	if err != nil {
		return 0
	}
	const (
		productRate = 8e9   // multiplications and additions a second, in float64
		eigenRate   = 1.5e9 // cubes of the side, counted alike
	)
	times := 1.0
	if len(codecs) > 1 {
		times += correctionRounds
	}
	m, n := float64(l.Rows), float64(l.Cols)
	side := min(m, n)
	var seconds float64
	for i, term := range codecs {
		if _, product := term.(codec.LowRank); !product {
			continue
		}
		seconds += times * (4*m*n*side/productRate + side*side*side/eigenRate)
		if names[i] == "svd-llm" || names[i] == "svd-llm-u" {
			seconds += times * 4 * m * n * n / productRate
		}
	}
	return seconds
}
