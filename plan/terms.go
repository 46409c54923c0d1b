package plan

import (
	"fmt"
	"slices"
	"strings"

	"pith/approx"
	"pith/codec"
	"pith/lowrank"
)

// methodSeparator stands between the methods of a sum's terms.
const methodSeparator = "+"

// termMethods returns the names of the methods of a codec's terms: those of a list joined by "+", and for terms that the list does not reach
// what their codecs are usually solved by.
func termMethods(list string, c codec.Codec) ([]string, []codec.Codec, error) {
	codecs := []codec.Codec{c}
	if sum, ok := c.(codec.Sum); ok {
		codecs = sum.Codecs()
	}
	names := strings.Split(list, methodSeparator)
	if len(names) > len(codecs) {
		return nil, nil, fmt.Errorf("%d methods (%s) for the %d terms of %s; name one for each term", len(names), list, len(codecs), c.Name())
	}
	for i, name := range names {
		if name == "" {
			return nil, nil, fmt.Errorf("method %q has no name for term %d", list, i)
		}
	}
	for _, c := range codecs[len(names):] {
		names = append(names, methodFor(c))
	}
	return names, codecs, nil
}

// methodFor returns the method of a codec for which none is named.
func methodFor(c codec.Codec) string {
	if codec.SignRank(c.Name()) > 0 {
		return bitStackMethod
	}
	if _, ok := c.(codec.LowRank); ok {
		return defaultFactors
	}
	return defaultMethod
}

// fallback returns the codec that stores a rows × cols matrix in place of c, and its method: of a sum those of the terms that can, for others their
// codecs' fallbacks, without low-rank terms that would be larger than the matrix.
func fallback(c codec.Codec, list string, rows, cols int) (name, method string) {
	names, codecs, err := termMethods(list, c)
	if err != nil || len(codecs) == 1 {
		return codec.Fallback(c.Name(), cols), list
	}
	var terms, methods []string
	for i, term := range codecs {
		name := term.Name()
		if term.Check(rows, cols) != nil {
			if _, product := term.(codec.LowRank); product {
				continue
			}
			name = codec.Fallback(name, cols)
		}
		terms, methods = append(terms, name), append(methods, names[i])
	}
	if terms == nil {
		return codec.Fallback(c.Name(), cols), defaultMethod
	}
	return codec.SumName(terms), strings.Join(methods, methodSeparator)
}

// methods returns the names of the methods that the line names.
func (l *Line) methods() []string { return strings.Split(l.Method, methodSeparator) }

// correctionRounds is how often the terms of a sum with a low-rank one are solved again, the low-rank one first. On stories260K the KL of two bits
// with a correction of rank 8 is 1.10 if the codes come first, 0.71 so; of three bits with one of rank 4, 0.24 and 0.20 (docs/methods/lowrank.md).
const correctionRounds = 4

// makeMethod returns the line's method for its codec; for a sum, its terms' methods one after another.
func (l *Line) makeMethod(c codec.Codec) (approx.Method, error) {
	names, codecs, err := termMethods(l.Method, c)
	if err != nil {
		return nil, err
	}
	made := make([]approx.Method, len(names))
	for i, name := range names {
		m, ok := methodNamed(name)
		if !ok {
			return nil, unknown(name)
		}
		made[i] = m.forCodec(codecs[i], l)
		if picky, ok := made[i].(interface{ Check() error }); ok {
			if err := picky.Check(); err != nil {
				return nil, err
			}
		}
	}
	if len(made) == 1 {
		return made[0], nil
	}
	sum := lowrank.Residual{Methods: made}
	if slices.ContainsFunc(codecs, func(c codec.Codec) bool { _, product := c.(codec.LowRank); return product }) {
		sum.Rounds, sum.Backwards = correctionRounds, true
	}
	return sum, nil
}

// checkTerms completes a rule's check, term by term: whether methods are known, and go with the codecs.
func (r *Rule) checkTerms() (field string, err error) {
	c, err := codec.Parse(r.Codec)
	if err != nil {
		return "codec", err
	}
	names, codecs, err := termMethods(r.Method, c)
	if err != nil {
		return "method", err
	}
	partsUsed := false
	for i, name := range names {
		if _, ok := methodNamed(name); !ok {
			return "method", unknown(name)
		}
		term := *r
		term.Method, term.Codec = name, codecs[i].Name()
		_, product := codecs[i].(codec.LowRank)
		if product && !factors(name) && name != defaultMethod {
			return "method", fmt.Errorf("method %s does not make the factors of %s: choose svd-llm, asvd, fwsvd or svd", name, codecs[i].Name())
		}
		partsUsed = partsUsed || prunes(name)
		if len(names) > 1 && !prunes(name) {
			term.Scorer, term.Selector, term.Solver = "", "", "" // another term's
		}
		if field, err := term.checkPruning(); err != nil {
			return field, err
		}
	}
	if !partsUsed && r.parts() != (parts{}) {
		return r.checkPruning()
	}
	return "", nil
}
