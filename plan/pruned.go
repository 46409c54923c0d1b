package plan

import (
	"fmt"
	"strings"

	"pith/codec"
	"pith/pruning"
	"pith/quantizers"
)

// parts are those of a pruning method, by name; "" stands for what goes with the others.
type parts struct{ scorer, selector, solver string }

// jointSolver prunes and rounds as one problem: the mask and values of obs-refit, whose rounding errors are fed back within the mask. After
// a solver's name and a dash it does so with that solver's.
const jointSolver = "joint"

// surgeon is the method that loses least: of the papers' parts those that measured best (docs/methods/pruning.md).
const surgeon = "surgeon"

// pruners are the methods that remove weights, with the parts that they have unless a rule names others. Patterns N:M select for themselves.
func pruners() map[string]parts {
	return map[string]parts{
		"magnitude": {"magnitude", "matrix", "zero"},
		"wanda":     {"wanda", "row", "zero"},
		"sparsegpt": {"obs", "block", ""},
		surgeon:     {"obs-all", "row", ""},
	}
}

// prunes reports whether a method removes weights.
func prunes(method string) bool {
	_, ok := pruners()[method]
	return ok
}

// parts are those that a rule names.
func (r *Rule) parts() parts { return parts{r.Scorer, r.Selector, r.Solver} }

// with replaces parts by those that other names.
func (p parts) with(other parts) parts {
	for _, f := range []struct {
		to   *string
		from string
	}{{&p.scorer, other.scorer}, {&p.selector, other.selector}, {&p.solver, other.solver}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	return p
}

// check says which part is not known.
func (p parts) check() (field string, err error) {
	if _, err := pruning.ParseScorer(p.scorer); err != nil {
		return "scorer", err
	}
	if _, err := pruning.ParseSelector(p.selector); err != nil {
		return "selector", err
	}
	if solver, _ := p.apart(); solver != "" {
		if _, err := pruning.ParseSolver(solver); err != nil {
			return "solver", fmt.Errorf("%w, %s, NAME-%s", err, jointSolver, jointSolver)
		}
	}
	return "", nil
}

// newPrune returns the pruning method called name, with the parts that a line names, which were checked.
func newPrune(name string, c codec.Codec, l *Line) pruning.Prune {
	p := defaults(name, c).with(parts{l.Scorer, l.Selector, l.Solver})
	m := pruning.Prune{Label: name, Codec: c, Search: l.Search}
	m.Scorer, _ = pruning.ParseScorer(p.scorer)
	if !grouped(c) || l.Selector != "" {
		m.Selector, _ = pruning.ParseSelector(p.selector)
	}
	solver, joint := p.apart()
	m.Solver, _ = pruning.ParseSolver(solver)
	if joint && coarse(c) {
		m.Round = quantizers.LDLQ{Codec: c, Search: true, Ordered: true, Damping: ldlqDamping, Refit: true, Sweeps: sweeps(c)}
	}
	return m
}

// defaults returns a method's parts for a codec.
func defaults(name string, c codec.Codec) parts {
	p := pruners()[name]
	if p.solver != "" {
		return p
	}
	switch {
	case name == surgeon && grouped(c): // groups of a few elements have no room for steps
		p.scorer, p.solver = "obs", "obs-refit"
	case name == surgeon:
		p.solver = "gradual"
	case coarse(c):
		p.solver = "obs-refit"
	default:
		p.solver = "obs"
	}
	if coarse(c) {
		p.solver += "-" + jointSolver
	}
	return p
}

// apart returns the solver's name without what makes it joint.
func (p parts) apart() (solver string, joint bool) {
	if p.solver == jointSolver {
		return "obs-refit", true
	}
	return strings.CutSuffix(p.solver, "-"+jointSolver)
}

// grouped reports whether a codec stores N of each M columns.
func grouped(c codec.Codec) bool {
	s, ok := c.(codec.Sparse)
	if !ok {
		return false
	}
	_, of := s.Group()
	return of > 0
}

// coarse reports whether a sparse codec's values are rounded so much that errors are worth feeding back.
func coarse(c codec.Codec) bool {
	s, ok := c.(codec.Sparse)
	return ok && strings.HasPrefix(s.Dense().Name(), "int")
}

// checkPruning completes a rule's check: whether parts are known, and go with the method and the codec.
func (r *Rule) checkPruning() (field string, err error) {
	if !prunes(r.Method) {
		for _, f := range []struct{ name, value string }{{"scorer", r.Scorer}, {"selector", r.Selector}, {"solver", r.Solver}} {
			if f.value != "" {
				return f.name, fmt.Errorf("%s is a part of methods that prune (magnitude, wanda, sparsegpt, surgeon), %s has none", f.name, r.Method)
			}
		}
		return "", nil
	}
	if field, err := pruners()[r.Method].with(r.parts()).check(); err != nil {
		return field, err
	}
	c, err := codec.Parse(r.Codec)
	if err != nil {
		return "codec", err
	}
	return "codec", newPrune(r.Method, unrotated(c), &Line{Scorer: r.Scorer, Selector: r.Selector, Solver: r.Solver}).Compatible()
}

// unrotated returns the codec within one that stores rotated matrices.
func unrotated(c codec.Codec) codec.Codec {
	if inner, ok := codec.Unrotate(c); ok {
		return inner
	}
	return c
}

// rule returns a rule that says what the line does.
func (l *Line) rule() *Rule {
	return &Rule{Method: l.Method, Codec: l.Codec, Scorer: l.Scorer, Selector: l.Selector, Solver: l.Solver}
}

// checkPruned says why a line's weight cannot be pruned as it says.
func (l *Line) checkPruned(c codec.Codec) error {
	names, codecs, err := termMethods(l.Method, c)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Weight, err)
	}
	for i, name := range names {
		if !prunes(name) {
			continue
		}
		if err := newPrune(name, unrotated(codecs[i]), l).Check(l.Rows, l.Cols); err != nil {
			return fmt.Errorf("%s: %w", l.Weight, err)
		}
	}
	return nil
}

// wholeEnds returns the rule of embedding and head beside one that prunes or factors every matrix: the codec of their values, or factors, every
// element stored.
func wholeEnds(r Rule) (Rule, bool) {
	c, err := codec.Parse(r.Codec)
	if err != nil {
		return Rule{}, false
	}
	ends := Rule{Match: Patterns{"embedding", "position", "head"}, Method: defaultMethod, Search: r.Search}
	if product, ok := c.(codec.LowRank); ok {
		ends.Codec = product.Inner().Name()
		return ends, true
	}
	names, codecs, err := termMethods(r.Method, c)
	if err != nil {
		return Rule{}, false
	}
	for i, name := range names {
		if s, ok := unrotated(codecs[i]).(codec.Sparse); ok && prunes(name) {
			ends.Codec = s.Dense().Name()
			return ends, true
		}
	}
	return Rule{}, false
}

// pruneRate returns the weights a second of one worker that prunes: refits factor a matrix for each row.
func (l *Line) pruneRate() float64 {
	c, err := codec.Parse(l.Codec)
	if err != nil {
		return 1e6
	}
	solver, joint := defaults(l.Method, unrotated(c)).with(parts{l.Scorer, l.Selector, l.Solver}).apart()
	wide := float64(l.Cols) / 1024
	rate := 15e6
	switch solver {
	case "obs":
		rate = 8e6
	case "refit", "obs-refit":
		rate = 0.2e6 / (wide * wide)
	case "gradual":
		rate = 6e3 / (wide * wide)
	}
	if joint {
		rate = min(rate, 1e6)
	}
	return min(rate, 15e6)
}
