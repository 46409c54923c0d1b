package codec

import (
	"strconv"
	"strings"
)

// Fallback returns the codec that stores matrices of cols columns in place of the codec called name: name itself if it can, for
// GGML's block types the one llama-quantize takes (llama-quant.cpp, tensor_type_fallback), f16 if no block fits. A rotated or
// scaled codec's is its inner codec's, rotated or scaled; a sum's terms have their own,
// but for low-rank terms, which are left out; a low-rank codec's is its inner codec's, of the whole matrix; both kinds of rows have their own.
func Fallback(name string, cols int) string {
	if c, ok, err := parseSum(name); ok && err == nil {
		return sumFallback(c, cols)
	}
	if c, ok, err := parseLowRank(name); ok && err == nil {
		return Fallback(c.(LowRank).inner.Name(), cols)
	}
	if c, ok, err := parseAtoms(name); ok && err == nil {
		a := c.(Atoms)
		if by := Fallback(a.inner.Name(), cols); by != a.inner.Name() {
			return atomsPrefix + strconv.Itoa(a.count) + "-" + by
		}
		return name
	}
	if c, ok, err := parseRows(name); ok && err == nil {
		r := c.(Rows)
		for _, at := range []*Codec{&r.a, &r.b} {
			if by, err := Parse(Fallback((*at).Name(), cols)); err == nil {
				*at = by
			}
		}
		return r.Name()
	}
	for _, suffix := range []string{rotatedSuffix, scaledSuffix} {
		if inner, ok := strings.CutSuffix(name, suffix); ok {
			if by := Fallback(inner, cols); by == inner || by != "f16" {
				return by + suffix
			}
			return "f16"
		}
	}
	substitutes := [...]struct{ name, by string }{
		{"q2_k", "q4_0"}, {"q3_k", "q4_0"}, {"q4_k", "q5_0"}, {"q5_k", "q5_1"}, {"q6_k", "q8_0"},
	}
	if fitsColumns(name, cols) {
		return name
	}
	for _, s := range substitutes {
		if s.name == name && fitsColumns(s.by, cols) {
			return s.by
		}
	}
	return "f16"
}

// fitsColumns reports whether rows of cols columns are whole blocks of the codec called name.
func fitsColumns(name string, cols int) bool {
	for _, f := range blockFormats() {
		if f.name() == name {
			n, _ := f.dt.Block()
			return cols%n == 0
		}
	}
	return true
}

// sumFallback returns the sum of the terms' fallbacks: a low-rank term makes up for what others lose, and what it would be as a whole matrix
// is no smaller than they are.
func sumFallback(c Codec, cols int) string {
	s, ok := c.(Sum)
	if !ok {
		return Fallback(c.Name(), cols)
	}
	var names []string
	for _, term := range s.codecs {
		if _, product := term.(LowRank); !product {
			names = append(names, Fallback(term.Name(), cols))
		}
	}
	if names == nil {
		return Fallback(s.codecs[0].Name(), cols)
	}
	return SumName(names)
}
