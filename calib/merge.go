package calib

import (
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
	for _, e := range other.fishers {
		if err := s.enterFisher(e); err != nil {
			return err
		}
	}
	s.files = append(s.files, other.files...)
	other.files = nil
	return nil
}

// Merge returns the sum of the statistics that some sets, at least one, gathered from different texts, in their order. The sums are made as
// they are asked for, so that saving takes the memory of one site; the sets must stay open meanwhile.
func Merge(sets ...*Set) (*Set, error) {
	first := sets[0]
	sum := NewSet(first.Model)
	sum.Tool = first.Tool
	for i, s := range sets {
		for _, t := range sets[:i] {
			if err := mergeable(t, s); err != nil {
				return nil, err
			}
		}
		sum.Corpora = append(sum.Corpora, s.Corpora...)
	}
	for i := range first.entries {
		site := first.entries[i].Site
		for _, s := range sets[1:] {
			other := &s.entries[s.byName[site.Name]]
			site.Tokens += other.Tokens
			site.NonFinite += other.NonFinite
			site.Magnitudes = site.Magnitudes && other.Magnitudes
		}
		if err := sum.enter(entry{Site: site, from: merged(sets)}); err != nil {
			return nil, err
		}
	}
	return sum, sum.mergeFishers(sets)
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

// merged is the sum of some sets.
type merged []*Set

func (m merged) load(site *Site, need Need) (*Stats, error) {
	sum := &Stats{}
	for i, s := range m {
		part, err := s.Stats(site.Name, need)
		if err != nil {
			return nil, err
		}
		gram := part.Gram
		if !need.Has(Gram) {
			gram = nil // somebody holds more than was asked for
		}
		if i == 0 {
			sum.SqSum, sum.Gram, sum.Counts = slices.Clone(part.SqSum), slices.Clone(gram), slices.Clone(part.Counts)
			if site.Magnitudes {
				sum.AbsSum = slices.Clone(part.AbsSum)
			}
		} else {
			add(sum.SqSum, part.SqSum)
			add(sum.Gram, gram)
			add(sum.Counts, part.Counts)
			if site.Magnitudes {
				add(sum.AbsSum, part.AbsSum)
			}
		}
		sum.Tokens += part.Tokens
		sum.NonFinite += part.NonFinite
	}
	return sum, nil
}
