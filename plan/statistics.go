package plan

import (
	"slices"

	"pith/approx"
	"pith/calib"
)

// StatsIn returns what a set knows of the line's weight for a method, as far as need asks: the statistics of its input; of an embedding, whose rows are
// read, how often, if the method counts that. nil if the set knows nothing of it.
func (l *Line) StatsIn(set *calib.Set, m approx.Method, need calib.Need) (*calib.Stats, error) {
	site, ok := set.SiteOf(l.Weight)
	switch {
	case ok && site.Need == calib.Counts:
		if !m.Needs().Has(calib.Counts) {
			return nil, nil
		}
		return set.For(l.Weight, l.Rows, calib.Counts)
	case ok && TiedCounts(m):
		return countsOf(set, l)
	}
	return set.For(l.Weight, l.Cols, need)
}

// TiedCounts reports whether a method counts the rows of an embedding even if it is also the head.
func TiedCounts(m approx.Method) bool {
	t, ok := m.(interface{ TiedCounts() bool })
	return ok && t.TiedCounts()
}

// countsOf returns how often the rows of a weight are read that is both embedding and head, nil if the set does not know.
func countsOf(set *calib.Set, l *Line) (*calib.Stats, error) {
	for _, site := range set.Sites() {
		if site.Need == calib.Counts && site.Features == l.Rows && slices.Contains(site.Weights, l.Weight) {
			return set.Stats(site.Name, calib.Counts)
		}
	}
	return nil, nil
}
