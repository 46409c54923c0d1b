package eval

import (
	"slices"
	"strconv"
	"strings"

	"pith/codec"
)

// SparseCodecs are sparse codecs of several sparsities and patterns: what shows from which sparsity each layout is faster than the dense
// codec of its values.
func SparseCodecs() (names []string) {
	for _, values := range []string{"f16", "int8-grow", "int4-g128"} {
		for _, pattern := range []string{"s12.5", "s25", "s37.5", "s50", "s62.5", "s75", "s87.5", "s95", "csr75", "csr87.5", "csr95", "3:4", "2:4", "1:4"} {
			names = append(names, values+"-"+pattern)
		}
	}
	return names
}

// WithRivals adds to names the dense codec of every sparse one, before the first of them, where it is not among them.
func WithRivals(names []string) (all []string) {
	for _, name := range names {
		if c, err := codec.Parse(name); err == nil {
			if s, ok := c.(codec.Sparse); ok && !slices.Contains(names, s.Dense().Name()) && !slices.Contains(all, s.Dense().Name()) {
				all = append(all, s.Dense().Name())
			}
		}
		all = append(all, name)
	}
	return all
}

// describe sets what row has of a sparse codec.
func (row *CodecRow) describe(c codec.Codec) {
	s, ok := c.(codec.Sparse)
	if !ok {
		return
	}
	row.Sparsity = 1 - float64(s.Kept(1, codecCols))/codecCols
	row.Dense = s.Dense().Name()
	pattern := strings.TrimPrefix(row.Codec, row.Dense+"-")
	row.layout = strings.TrimRight(pattern, "0123456789.e")
	if n, m := s.Group(); m > 0 {
		row.layout = "n:m"
		if n == 2 && m == 4 && strings.HasPrefix(row.Dense, "int4-") { // the one that has indices instead of a bitmap
			row.layout = "2:4"
		}
	}
}

// CompareDense sets how many times as fast as the dense codec of its values each sparse codec among rows is, on all workers, and from
// which of the measured sparsities on its layout is at least as fast.
func CompareDense(rows []CodecRow) {
	speeds := map[string]float64{}
	for _, r := range rows {
		speeds[r.Codec] = r.DecodeWPSAll
	}
	for i := range rows {
		if r := &rows[i]; r.Dense != "" && speeds[r.Dense] > 0 {
			r.VsDense = r.DecodeWPSAll / speeds[r.Dense]
		}
	}
	for i := range rows {
		r := &rows[i]
		if r.VsDense == 0 {
			continue
		}
		from, slowest := 0.0, -1.0
		for _, other := range rows {
			if other.Dense == r.Dense && other.layout == r.layout && other.VsDense < 1 {
				slowest = max(slowest, other.Sparsity)
			}
		}
		for _, other := range rows {
			if other.Dense == r.Dense && other.layout == r.layout && other.Sparsity > slowest && (from == 0 || other.Sparsity < from) {
				from = other.Sparsity
			}
		}
		r.BeatsDenseFrom = from
	}
}

// SparseVerdicts says of each sparse layout among rows, which CompareDense went over, from where it is faster than its dense codec.
func SparseVerdicts(rows []CodecRow) (lines []string) {
	for i, r := range rows {
		seen := func(o CodecRow) bool { return o.Dense == r.Dense && o.layout == r.layout }
		if r.VsDense == 0 || slices.ContainsFunc(rows[:i], seen) {
			continue
		}
		name := r.Dense + "-" + r.layout
		if r.layout == "s" || r.layout == "csr" {
			name += "…"
		}
		verdict := "slower than " + r.Dense + " at all measured sparsities"
		if r.BeatsDenseFrom > 0 {
			verdict = "at least as fast as " + r.Dense + " from " + strconv.FormatFloat(100*r.BeatsDenseFrom, 'f', 1, 64) + " % pruned"
		}
		lines = append(lines, name+": "+verdict)
	}
	return lines
}
