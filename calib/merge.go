package calib

import (
	"errors"
	"fmt"
	"slices"
)

// Join appends the sites of a set of the same run, which covers another part of the network. s then owns other's files.
func (s *Set) Join(other *Set) error {
	for _, e := range other.entries {
		if err := s.enter(e); err != nil {
			return err
		}
	}
	s.files = append(s.files, other.files...)
	other.files = nil
	return nil
}

// Merge writes to path the sum of the statistics that two sets gathered from different texts, a's first, one site in memory at a time.
func Merge(path string, a, b *Set) error {
	if err := mergeable(a, b); err != nil {
		return err
	}
	sum := NewSet(a.Model, slices.Concat(a.Corpora, b.Corpora)...)
	sum.Tool = a.Tool
	for i := range a.entries {
		site := a.entries[i].Site
		j := b.byName[site.Name]
		site.Tokens += b.entries[j].Tokens
		site.NonFinite += b.entries[j].NonFinite
		if err := sum.enter(entry{Site: site, from: merged{a, b}}); err != nil {
			return err
		}
	}
	return sum.Save(path)
}

// mergeable returns why a and b cannot be added up.
func mergeable(a, b *Set) error {
	if a.Model != b.Model {
		return fmt.Errorf("statistics of two models (%s %.12s and %s %.12s) cannot be merged", a.Model.Type, a.Model.SHA256, b.Model.Type, b.Model.SHA256)
	}
	for _, c := range a.Corpora {
		for _, d := range b.Corpora {
			if f, ok := sameText(c, d); ok {
				return fmt.Errorf("both statistics are of %s: a merge would count it twice", f)
			}
		}
	}
	if len(a.entries) != len(b.entries) {
		return fmt.Errorf("%d sites cannot be merged with %d", len(a.entries), len(b.entries))
	}
	for i := range a.entries {
		x := &a.entries[i]
		j, ok := b.byName[x.Name]
		if !ok {
			return fmt.Errorf("site %q is in one of the statistics only", x.Name)
		}
		y := &b.entries[j]
		if x.Features != y.Features || x.Need != y.Need || !slices.Equal(x.Weights, y.Weights) {
			return fmt.Errorf("site %q: the statistics are of different kinds, or of different weights", x.Name)
		}
	}
	return nil
}

// sameText returns a file that both corpora read from.
func sameText(a, b Corpus) (string, bool) {
	for _, f := range a.Files {
		for _, g := range b.Files {
			if f.SHA256 == g.SHA256 && f.Windows > 0 && g.Windows > 0 {
				return f.Name, true
			}
		}
	}
	return "", false
}

// merged is the sum of two sets.
type merged struct{ a, b *Set }

func (m merged) load(site *Site, need Need) (*Stats, error) {
	a, errA := m.a.Stats(site.Name, need)
	b, errB := m.b.Stats(site.Name, need)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	sum := &Stats{Tokens: a.Tokens + b.Tokens, NonFinite: a.NonFinite + b.NonFinite, SqSum: slices.Clone(a.SqSum), Counts: slices.Clone(a.Counts)}
	add(sum.SqSum, b.SqSum)
	add(sum.Counts, b.Counts)
	if need.Has(Gram) && site.Need == Gram {
		sum.Gram = slices.Clone(a.Gram)
		add(sum.Gram, b.Gram)
	}
	return sum, nil
}
