package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Closure says which tokens a kept token needs, so that a vocabulary of kept tokens gives every text whose ids are all kept the same ids as before,
// renumbered.
//
// BPE joins neighbours in an order that a subset of the merges does not change, as long as each merge that is made is in the subset: what is left
// out only takes away pairs that were not chosen. Within a token the joins are those of its text alone, since nothing outside ever joined with
// a part of it. So a kept token needs the tokens that are made on the way from its characters to itself, and no other ways to write it. A token that its own
// text does not give is made in no text; where that cannot be told from its text (subword prefixes, word suffixes), all ways to make it are kept.
// Pieces of type unused are joined like others and taken apart at the end: those that are ever made stay.
//
// Unigram needs the piece of the lowest score, below which unknown characters are set: then a segmentation of kept pieces wins as before.
//
// A Closure is not safe for concurrent use.
type Closure struct {
	t       *Tokenizer
	ways    map[int32][][2]int32 // of merges; made when first needed
	scratch scratch
}

// NewClosure returns the closure of t's vocabulary.
func (t *Tokenizer) NewClosure() *Closure { return &Closure{t: t} }

// Close extends keep, one flag for each id, by what the kept tokens and the model itself need.
func (t *Tokenizer) Close(keep []bool) {
	if len(keep) != len(t.tokens) {
		panic("tokenizer: one flag for each token is needed")
	}
	c := t.NewClosure()
	for _, id := range c.Always() {
		keep[id] = true
	}
	for id := range keep {
		if keep[id] {
			for _, part := range c.Parts(int32(id)) {
				keep[part] = true
			}
		}
	}
}

// Always returns the tokens that every selection needs.
func (c *Closure) Always() (ids []int32) {
	switch m := c.t.model.(type) {
	case *scoreBPE:
		for id, typ := range m.types {
			if typ != Unused {
				continue
			}
			if _, whole := m.trace(c.t.tokens[id]); whole {
				ids = append(append(ids, c.Parts(int32(id))...), int32(id))
			}
		}
	case *spUnigram:
		lowest := -1
		for id, typ := range m.types {
			if typ == Normal && (lowest < 0 || m.scores[id] < m.scores[lowest]) {
				lowest = id
			}
		}
		if lowest >= 0 {
			ids = append(ids, int32(lowest))
		}
	case *jsonUnigram:
		lowest := 0
		for id, s := range m.scores {
			if s < m.scores[lowest] {
				lowest = id
			}
		}
		ids = append(ids, int32(lowest))
	}
	return ids
}

// Parts returns the tokens that a token needs, and those that they need; perhaps itself.
func (c *Closure) Parts(id int32) []int32 {
	switch m := c.t.model.(type) {
	case *mergeBPE:
		return c.merged(m, id, nil, map[int32]bool{})
	case *scoreBPE:
		if m.types[id] != Normal && m.types[id] != Unused {
			return nil
		}
		made, whole := m.trace(c.t.tokens[id])
		if !whole {
			return nil
		}
		var ids []int32
		for _, piece := range made {
			if part, ok := m.pieces[piece]; ok {
				ids = append(ids, part)
			}
		}
		return ids
	}
	return nil
}

// merged appends what a token of merges needs.
func (c *Closure) merged(m *mergeBPE, id int32, ids []int32, seen map[int32]bool) []int32 {
	if seen[id] {
		return ids
	}
	seen[id] = true
	if m.subPrefix == "" && m.wordSuffix == "" {
		made, whole := m.trace(c.t.tokens[id], &c.scratch)
		if whole && made[len(made)-1] == id {
			return append(ids, made...)
		}
	}
	if c.ways == nil {
		c.ways = m.ways()
	}
	for _, pair := range c.ways[id] {
		ids = append(ids, pair[0], pair[1])
		ids = c.merged(m, pair[0], ids, seen)
		ids = c.merged(m, pair[1], ids, seen)
	}
	return ids
}

// ways lists the merges that make each token.
func (m *mergeBPE) ways() map[int32][][2]int32 {
	ways := make(map[int32][][2]int32)
	for pair, rule := range m.merges {
		ways[rule.id] = append(ways[rule.id], [2]int32{int32(pair >> 32), int32(uint32(pair))})
	}
	return ways
}

// trace returns the tokens that are made of a word's characters, those included, in the order in which they are made; whole: the last of them
// is the whole word.
func (m *mergeBPE) trace(word string, s *scratch) (made []int32, whole bool) {
	m.symbols(word, s)
	var ids []int32
	for _, y := range s.symbols {
		if y.id < 0 {
			return nil, false
		}
		ids = append(ids, y.id)
	}
	made = slices.Clone(ids)
	for len(ids) > 1 {
		best, at := mergeRule{}, -1
		for i := 1; i < len(ids); i++ {
			if rule, ok := m.merges[pairKey(ids[i-1], ids[i])]; ok && (at < 0 || rule.rank < best.rank) {
				best, at = rule, i-1
			}
		}
		if at < 0 {
			return made, false
		}
		ids[at] = best.id
		ids = slices.Delete(ids, at+1, at+2)
		made = append(made, best.id)
	}
	return made, len(ids) == 1
}

// trace returns the pieces that are made of a word's characters, those included, in order; whole: the last of them is the whole word.
func (m *scoreBPE) trace(word string) (made []string, whole bool) {
	var list []string
	for i := 0; i < len(word); {
		if m.userDefined.longest(word[i:]) > 0 {
			return nil, false // never joined
		}
		_, n := utf8.DecodeRuneInString(word[i:])
		list = append(list, word[i:i+n])
		i += n
	}
	made = slices.Clone(list)
	for len(list) > 1 {
		at, score := -1, float32(0)
		for i := 1; i < len(list); i++ {
			if id, ok := m.pieces[list[i-1]+list[i]]; ok && (at < 0 || m.scores[id] > score) {
				at, score = i-1, m.scores[id]
			}
		}
		if at < 0 {
			return made, false
		}
		list[at] += list[at+1]
		list = slices.Delete(list, at+1, at+2)
		made = append(made, list[at])
	}
	return made, len(list) == 1
}

// Specials returns the ids that have a meaning besides a text: types unknown, control and user-defined (added tokens), BOS, EOS, padding, and
// what a template puts around a text. Rising.
func (t *Tokenizer) Specials() []int32 {
	is := make(map[int32]bool)
	for id, typ := range t.types {
		if typ == Unknown || typ == Control || typ == UserDefined {
			is[int32(id)] = true
		}
	}
	for _, list := range [][]int32{t.prefix, t.suffix, {t.bos, t.eos, t.unk, t.pad}} {
		for _, id := range list {
			is[id] = true
		}
	}
	var ids []int32
	for id := range is {
		if id >= 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Atoms returns the ids that every text can be written with which the whole vocabulary can write: the 256 bytes of byte-level BPE; the byte
// pieces, and the space, where a model falls back on them; else single characters, and pieces that hold a character which is no piece itself. Rising.
func (t *Tokenizer) Atoms() []int32 {
	var ids []int32
	switch {
	case t.spelling != nil:
		for _, s := range t.spelling.spelling {
			if id, ok := t.ids[s]; ok {
				ids = append(ids, id)
			}
		}
	case t.fallsBack():
		for id, typ := range t.types {
			if typ == Byte || typ == Normal && t.tokens[id] == spaceMark { // whose bytes would come back as U+2581, not as a space
				ids = append(ids, int32(id))
			}
		}
	default:
		for id, typ := range t.types {
			if typ == Normal && t.atomic(t.tokens[id]) {
				ids = append(ids, int32(id))
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// fallsBack reports whether characters without a piece become bytes.
func (t *Tokenizer) fallsBack() bool {
	switch m := t.model.(type) {
	case *mergeBPE:
		return m.byteFallback && m.byteIDs[0] >= 0
	case *scoreBPE:
		return m.byteFallback
	case *spUnigram:
		return m.byteFallback
	case *jsonUnigram:
		return m.byteFallback && m.byteIDs[0] >= 0
	}
	return false
}

func (t *Tokenizer) atomic(piece string) bool {
	if utf8.RuneCountInString(piece) == 1 {
		return true
	}
	return strings.ContainsFunc(piece, func(r rune) bool { _, ok := t.ids[string(r)]; return !ok })
}
