package codec

import (
	"fmt"
	"slices"
	"strings"

	"pith/tensor"
)

// table lists every codec, in the order in which Names gives them.
func table() []Codec {
	return []Codec{scalarCodec{tensor.F32}, scalarCodec{tensor.F16}, scalarCodec{tensor.BF16}}
}

// Names returns the names Parse knows.
func Names() []string {
	all := table()
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name()
	}
	return names
}

// Parse returns the codec called name; the error lists names that are near.
func Parse(name string) (Codec, error) {
	for _, c := range table() {
		if c.Name() == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("unknown codec %q; near: %s", name, strings.Join(nearest(name, Names(), 5), ", "))
}

// nearest returns the n names with the smallest edit distance to name.
func nearest(name string, names []string, n int) []string {
	name = strings.ToLower(name)
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int { return editDistance(name, a) - editDistance(name, b) })
	return sorted[:min(n, len(sorted))]
}

// editDistance is Levenshtein's: the fewest insertions, deletions and replacements of bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
