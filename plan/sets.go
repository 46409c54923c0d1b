package plan

import (
	"fmt"
	"slices"
	"strings"

	"pith/approx"
	"pith/codec"
	"pith/lowrank"
)

// Common reports whether the line is of what the members of a set have in common, not of a weight.
func (l *Line) Common() bool { return len(l.Members) > 0 }

// storing returns the method that stores what is solved for, and the codecs of a set's terms, which are all the same.
func (l *Line) storing() (approx.Method, []codec.Codec, error) {
	c, err := codec.Parse(l.Codec)
	if err != nil {
		return nil, nil, err
	}
	codecs := []codec.Codec{c}
	if sum, ok := c.(codec.Sum); ok {
		codecs = sum.Codecs()
	}
	store, err := l.stored(codecs[0])
	return store, codecs, err
}

// stored returns the line's Store for a codec.
func (l *Line) stored(c codec.Codec) (approx.Method, error) {
	by := Line{Weight: l.Weight, Method: l.Store, Codec: c.Name(), Search: l.Search}
	if by.Keeps() || by.Method == aliasMethod {
		return nil, fmt.Errorf("nothing is stored by method %q; make the plan again", l.Store)
	}
	return by.makeMethod(c)
}

// sharedMethod returns the method of a set's member.
func (l *Line) sharedMethod() (approx.Method, error) {
	c, err := codec.Parse(l.Codec)
	if err != nil {
		return nil, err
	}
	codecs := []codec.Codec{c}
	if sum, ok := c.(codec.Sum); ok {
		codecs = sum.Codecs()
	}
	var first approx.Method
	switch by := codecs[0].(type) {
	case codec.Atoms:
		if l.Method != MatrixPCA {
			return nil, fmt.Errorf("method %q for combinations of atoms; make the plan again", l.Method)
		}
		first = lowrank.FromAtoms{Codec: by}
	case codec.LowRank:
		if l.Method != BasisV && l.Method != BasisU {
			return nil, fmt.Errorf("method %q for a product; make the plan again", l.Method)
		}
		store, err := l.stored(by.Inner())
		if err != nil {
			return nil, err
		}
		first = lowrank.FromBasis{Codec: by, Left: l.Method == BasisU, Store: store}
	default:
		return nil, fmt.Errorf("%s is no codec of a set's member; make the plan again", l.Codec)
	}
	if len(codecs) == 1 {
		return corrected(first), nil
	}
	made := []approx.Method{first}
	for _, c := range codecs[1:] {
		by := Line{Weight: l.Weight, Method: methodFor(c), Codec: c.Name(), Search: l.Search}
		m, err := by.makeMethod(c)
		if err != nil {
			return nil, err
		}
		made = append(made, m)
	}
	return corrected(lowrank.Residual{Methods: made}), nil
}

// SharedPart says which part of the set's terms a part of a member's first term is: term i's part of that name; ok is false for parts that are
// the member's own.
func (l *Line) SharedPart(part string) (term int, name string, ok bool) {
	switch l.Method {
	case BasisV, BasisU:
		name, ok = strings.CutPrefix(part, map[string]string{BasisV: "v.", BasisU: "u."}[l.Method])
		return 0, name, ok
	case MatrixPCA:
		digits, rest, cut := strings.Cut(part, ".")
		if _, err := fmt.Sscanf(digits, "%d", &term); cut && err == nil {
			return term, rest, true
		}
	}
	return 0, "", false
}

// checkSet checks that a set's line has what its members, noted in members, ask for, and that members come after it.
func (l *Line) checkSet(sets map[string]*Line) error {
	if l.Common() {
		if !strings.HasPrefix(l.Weight, setPrefix) {
			return fmt.Errorf("a set's name begins with %s", setPrefix)
		}
		sets[l.Weight] = l
		if _, err := l.NewSharer(); err != nil {
			return err
		}
		return nil
	}
	if l.Set == "" {
		return nil
	}
	set := sets[l.Set]
	if set == nil || !slices.Contains(set.Members, l.Weight) || set.Method != l.Method {
		return fmt.Errorf("is of set %q, which no earlier line is of, or which knows nothing of it", l.Set)
	}
	return nil
}
