package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// mergeBPE is the BPE of Hugging Face tokenizers: a list of merges (left, right), the first of which that applies
// anywhere in the word is applied at its leftmost place, until none applies (Sennrich, Haddow and Birch 2016).
type mergeBPE struct {
	ids          map[string]int32
	merges       map[uint64]mergeRule // left<<32 | right
	byteIDs      [256]int32           // byte fallback: id of "<0xAB>", -1 if absent
	byteFallback bool
	unk          int32 // -1: characters without a piece vanish
	fuseUnk      bool
	ignoreMerges bool   // a word that is a token stays whole, whatever the merges say
	subPrefix    string // continuing_subword_prefix
	wordSuffix   string // end_of_word_suffix
	cut          bool
}

type mergeRule struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// newMergeBPE resolves merges to ids; the merged piece is left + right without right's subword prefix.
func newMergeBPE(m *mergeBPE, merges [][2]string) error {
	m.merges = make(map[uint64]mergeRule, len(merges))
	m.cut = !m.ignoreMerges && m.subPrefix == "" && m.wordSuffix == ""
	if _, ok := m.ids[spaceMark]; !ok {
		m.cut = false
	}
	for rank, pair := range merges {
		left, ok := m.ids[pair[0]]
		if !ok {
			return fmt.Errorf("merge %d (%q, %q): %q is not in the vocabulary", rank, pair[0], pair[1], pair[0])
		}
		right, ok := m.ids[pair[1]]
		if !ok {
			return fmt.Errorf("merge %d (%q, %q): %q is not in the vocabulary", rank, pair[0], pair[1], pair[1])
		}
		// The reference cuts len(prefix) bytes without looking at them; here they must be the prefix.
		tail := pair[1]
		if m.subPrefix != "" {
			if !strings.HasPrefix(tail, m.subPrefix) {
				return fmt.Errorf("merge %d (%q, %q): the right side lacks the subword prefix %q", rank, pair[0], pair[1], m.subPrefix)
			}
			tail = tail[len(m.subPrefix):]
		}
		merged := pair[0] + tail
		id, ok := m.ids[merged]
		if !ok {
			return fmt.Errorf("merge %d (%q, %q): %q is not in the vocabulary", rank, pair[0], pair[1], merged)
		}
		m.merges[pairKey(left, right)] = mergeRule{int32(rank), id}
		if m.cut && crossesWords(merged) {
			m.cut = false
		}
	}
	return nil
}

// crossesWords reports whether a space mark follows something else in the piece.
func crossesWords(piece string) bool {
	return strings.Contains(strings.TrimLeft(piece, spaceMark), spaceMark)
}

// cutsAtSpaceMark: no merge spans the beginning of a word, so words can be encoded one by one.
func (m *mergeBPE) cutsAtSpaceMark() bool { return m.cut }

func (m *mergeBPE) encode(dst []int32, word string, s *scratch) []int32 {
	if m.ignoreMerges {
		if id, ok := m.ids[word]; ok {
			return append(dst, id)
		}
	}
	m.symbols(word, s)
	s.heap = s.heap[:0]
	for i := 1; i < len(s.symbols); i++ {
		m.offer(s, int32(i-1), int32(i))
	}
	for len(s.heap) > 0 {
		c := s.pop()
		l := &s.symbols[c.left]
		if l.end == l.start || l.next < 0 {
			continue
		}
		right := l.next
		rule, ok := m.merges[pairKey(l.id, s.symbols[right].id)]
		if !ok || rule.id != c.id { // the pair is no longer what it was
			continue
		}
		l.id = c.id
		s.merge(c.left, right)
		if l.prev >= 0 {
			m.offer(s, l.prev, c.left)
		}
		if l.next >= 0 {
			m.offer(s, c.left, l.next)
		}
	}
	if len(s.symbols) > 0 {
		for i := int32(0); i >= 0; i = s.symbols[i].next {
			dst = append(dst, s.symbols[i].id)
		}
	}
	return dst
}

func (m *mergeBPE) offer(s *scratch, left, right int32) {
	if rule, ok := m.merges[pairKey(s.symbols[left].id, s.symbols[right].id)]; ok {
		s.push(candidate{priority: float64(rule.rank), left: left, right: right, id: rule.id})
	}
}

// symbols cuts the word into characters. A run of characters without a piece is one unknown token if fuseUnk;
// byte-fallback symbols do not end such a run (as in the reference).
func (m *mergeBPE) symbols(word string, s *scratch) {
	s.symbols = s.symbols[:0]
	unknownFrom, unknownTo := -1, -1
	flush := func() {
		if unknownFrom >= 0 {
			s.symbols = append(s.symbols, symbol{id: m.unk, start: int32(unknownFrom), end: int32(unknownTo)})
			unknownFrom = -1
		}
	}
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		piece := word[i : i+n]
		if i > 0 && m.subPrefix != "" {
			piece = m.subPrefix + piece
		}
		if i+n == len(word) && m.wordSuffix != "" {
			piece += m.wordSuffix
		}
		if id, ok := m.ids[piece]; ok {
			flush()
			s.symbols = append(s.symbols, symbol{id: id, start: int32(i), end: int32(i + n)})
		} else if !m.fallBack(piece, i, s) && m.unk >= 0 {
			if unknownFrom >= 0 && !m.fuseUnk {
				flush()
			}
			if unknownFrom < 0 {
				unknownFrom = i
			}
			unknownTo = i + n
		}
		i += n
	}
	flush()
	s.link()
}

func (m *mergeBPE) fallBack(piece string, at int, s *scratch) bool {
	if !m.byteFallback {
		return false
	}
	for i := 0; i < len(piece); i++ {
		if m.byteIDs[piece[i]] < 0 {
			return false
		}
	}
	for i := 0; i < len(piece); i++ {
		s.symbols = append(s.symbols, symbol{id: m.byteIDs[piece[i]], start: int32(at + i), end: int32(at + i + 1)})
	}
	return true
}
