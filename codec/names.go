package codec

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"pith/tensor"
)

// table lists every codec, of the trellis codes a few of the rates they have, in the order in which Names gives them.
func table() []Codec {
	all := []Codec{scalarCodec{tensor.F32}, scalarCodec{tensor.F16}, scalarCodec{tensor.BF16}}
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128, 0} {
			all = append(all, intCodec{bits, group, false}, intCodec{bits, group, true})
		}
	}
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128, 0} {
			all = append(all, midCodec{intCodec{bits, group, false}})
		}
	}
	for _, f := range blockFormats() {
		all = append(all, blockCodec{f})
	}
	for _, group := range []int{64, 128} {
		all = append(all, qoqCodec{group})
	}
	for _, b := range books() {
		all = append(all, bookCodec{b, 128})
	}
	for _, bits := range []int{2, 3, 4, 8} { // the most useful; any other codec can be rotated too
		all = append(all, rotatedCodec{intCodec{bits, 128, false}})
	}
	for _, bits := range []int{3, 4} {
		all = append(all, scaledCodec{inner: intCodec{bits, 128, false}})
	}
	for _, name := range trellisNames() {
		c, err := parseTrellis(name)
		if err != nil {
			panic("codec: a trellis codec of the table does not exist")
		}
		all = append(all, c)
	}
	for _, k := range []int{1, 2, 4, 8, 16} {
		all = append(all, signCodec{k})
	}
	for _, name := range tableNames() {
		c, ok := parseTables(name)
		if !ok {
			panic("codec: a codec of tables in the table does not exist")
		}
		all = append(all, c)
	}
	for _, name := range sparseNames() {
		c, ok := parseSparse(name)
		if !ok {
			panic("codec: a sparse codec of the table does not exist")
		}
		all = append(all, c)
	}
	all = append(all, lowRanks()...)
	all = append(all, atomCodecs()...)
	all = append(all, sums()...)
	all = append(all, rowCodecs()...)
	return all
}

// byName is table by the codecs' names, made once: Parse is called for every weight, term and candidate of a budget.
var byName = sync.OnceValue(func() map[string]Codec {
	known := map[string]Codec{}
	for _, c := range table() {
		known[c.Name()] = c
	}
	return known
})

// Names returns the names of the codecs that Parse knows; it knows each of them with -had and -scaled too,
// the groups 32, 64, 128 and row of every book, trellis codes at any rate, signs of rank 1 to 64, tables of any number of groups, sparse
// codecs of any pattern, products of any rank and combinations of up to 64 atoms, whose factors and atoms any of these stores,
// rows of any two of these, and sums of any of these.
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
	if c, ok := byName()[name]; ok {
		return c, nil
	}
	if c, ok, err := parseSum(name); ok {
		return c, err
	}
	if c, ok, err := parseLowRank(name); ok {
		return c, err
	}
	if c, ok, err := parseAtoms(name); ok {
		return c, err
	}
	if c, ok, err := parseRows(name); ok {
		return c, err
	}
	if inner, ok := strings.CutSuffix(name, rotatedSuffix); ok && !strings.HasSuffix(inner, rotatedSuffix) {
		if c, err := Parse(inner); err == nil {
			return Rotate(c), nil
		}
	}
	if inner, ok := strings.CutSuffix(name, scaledSuffix); ok && !strings.HasSuffix(inner, scaledSuffix) {
		if c, err := Parse(inner); err == nil {
			return ScaleInputs(c, nil), nil
		}
	}
	if strings.HasPrefix(name, trellisPrefix) {
		return parseTrellis(name)
	}
	if c, ok := parseSparse(name); ok {
		return c, nil
	}
	if c, ok := parseSign(name); ok {
		return c, nil
	}
	if c, ok := parseBook(name); ok {
		return c, nil
	}
	if c, ok := parseTables(name); ok {
		return c, nil
	}
	return nil, fmt.Errorf("unknown codec %q%s; near: %s", name, sparseMistake(name), strings.Join(nearest(name, Names(), 5), ", "))
}

// nearest returns the n names most like name: those it abbreviates first (punctuation aside), then by edit distance.
func nearest(name string, names []string, n int) []string {
	plain := strings.NewReplacer("-", "", "_", "", " ", "")
	name = plain.Replace(strings.ToLower(name))
	distance := func(candidate string) int {
		candidate = plain.Replace(candidate)
		if name != "" && strings.HasPrefix(candidate, name) {
			return 0
		}
		return 1 + editDistance(name, candidate)
	}
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int { return distance(a) - distance(b) })
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
