package tokenizer

import "unicode/utf8"

// scoreBPE is the BPE of SentencePiece (Kudo and Richardson 2018): of all adjacent pairs whose concatenation is a
// piece, the one whose piece has the highest score (the leftmost among equals) is joined, until there is none.
type scoreBPE struct {
	pieces       map[string]int32 // normal, user-defined and unused pieces
	scores       []float32
	types        []TokenType
	userDefined  *trie // nil: none
	byteIDs      [256]int32
	byteFallback bool
	unk          int32
	longest      int  // bytes of the longest piece
	hasUnused    bool // some piece is Unused and must be taken apart again
	cut          bool
}

func newScoreBPE(v *pieceTable, byteFallback bool) *scoreBPE {
	m := &scoreBPE{pieces: v.pieces, scores: v.scores, types: v.types, userDefined: v.userDefined,
		byteIDs: v.byteIDs, byteFallback: byteFallback, unk: v.unk}
	_, m.cut = m.pieces[spaceMark]
	for p, id := range m.pieces {
		m.longest = max(m.longest, len(p))
		m.hasUnused = m.hasUnused || m.types[id] == Unused
		if m.cut && crossesWords(p) {
			m.cut = false
		}
	}
	m.cut = m.cut && !m.hasUnused // how an unused piece was made is remembered for the whole text
	return m
}

func (m *scoreBPE) cutsAtSpaceMark() bool { return m.cut }

func (m *scoreBPE) encode(dst []int32, word string, s *scratch) []int32 {
	s.symbols = s.symbols[:0]
	for i := 0; i < len(word); {
		if n := m.userDefined.longest(word[i:]); n > 0 {
			s.symbols = append(s.symbols, symbol{start: int32(i), end: int32(i + n), frozen: true})
			i += n
			continue
		}
		_, n := utf8.DecodeRuneInString(word[i:])
		s.symbols = append(s.symbols, symbol{start: int32(i), end: int32(i + n)})
		i += n
	}
	s.link()
	s.heap = s.heap[:0]
	var taken map[string]int32 // unused piece → bytes of its left part when it was last offered
	for i := 1; i < len(s.symbols); i++ {
		taken = m.offer(word, s, int32(i-1), int32(i), taken)
	}
	for len(s.heap) > 0 {
		c := s.pop()
		l, r := &s.symbols[c.left], &s.symbols[c.right]
		if l.end == l.start || r.end == r.start || l.end-l.start+r.end-r.start != c.size {
			continue
		}
		s.merge(c.left, c.right)
		taken = m.offer(word, s, l.prev, c.left, taken)
		taken = m.offer(word, s, c.left, l.next, taken)
	}
	if len(s.symbols) == 0 {
		return dst
	}
	out := piecesOut{dst: dst, byteIDs: &m.byteIDs, byteFallback: m.byteFallback, unk: m.unk}
	for i := int32(0); i >= 0; i = s.symbols[i].next {
		m.emit(&out, word[s.symbols[i].start:s.symbols[i].end], taken, 0)
	}
	return out.dst
}

func (m *scoreBPE) offer(word string, s *scratch, left, right int32, taken map[string]int32) map[string]int32 {
	if left < 0 || right < 0 {
		return taken
	}
	l, r := &s.symbols[left], &s.symbols[right]
	if l.frozen || r.frozen || int(r.end-l.start) > m.longest {
		return taken
	}
	id, ok := m.pieces[word[l.start:r.end]]
	if !ok {
		return taken
	}
	s.push(candidate{priority: -float64(m.scores[id]), left: left, right: right, size: r.end - l.start})
	if m.hasUnused && m.types[id] == Unused {
		if taken == nil {
			taken = make(map[string]int32)
		}
		taken[word[l.start:r.end]] = l.end - l.start
	}
	return taken
}

// maxTakenApart is how deep unused pieces may lie in each other (as in the reference).
const maxTakenApart = 100

// emit appends the ids of one symbol; an unused piece is taken apart the way it was last put together.
func (m *scoreBPE) emit(out *piecesOut, piece string, taken map[string]int32, depth int) {
	id, ok := m.pieces[piece]
	if !ok {
		out.unknown(piece)
		return
	}
	if m.types[id] == Unused && depth <= maxTakenApart {
		n, ok := taken[piece]
		if !ok {
			out.unknown(piece)
			return
		}
		m.emit(out, piece[:n], taken, depth+1)
		m.emit(out, piece[n:], taken, depth+1)
		return
	}
	out.known(id)
}

// piecesOut writes SentencePiece's output: a run of unknown pieces is one unknown token, or bytes with fallback.
type piecesOut struct {
	dst          []int32
	byteIDs      *[256]int32
	byteFallback bool
	unk          int32
	lastUnknown  bool
}

func (o *piecesOut) known(id int32) {
	o.dst = append(o.dst, id)
	o.lastUnknown = false
}

func (o *piecesOut) unknown(piece string) {
	if o.byteFallback {
		for i := 0; i < len(piece); i++ {
			id := o.byteIDs[piece[i]]
			if id < 0 {
				id = o.unk
			}
			o.dst = append(o.dst, id)
		}
		return
	}
	if !o.lastUnknown {
		o.dst = append(o.dst, o.unk)
	}
	o.lastUnknown = true
}
