package tokenizer

import (
	"math"
	"unicode/utf8"
)

// unknownPenalty is what an unknown character costs below the worst piece (both reference implementations).
const unknownPenalty = 10

// viterbiNode is the best segmentation of the text up to one byte position.
type viterbiNode struct {
	score float64
	start int32 // -1: not reached
	id    int32
}

// spUnigram is SentencePiece's Unigram model (Kudo 2018): the segmentation with the largest sum of scores.
// Sums are float32, as in the reference (sentencepiece 0.2.3), since ties and near-ties are decided by them.
type spUnigram struct {
	*pieceTable
	trie         *trie
	minScore     float32
	byteFallback bool
}

func newSPUnigram(v *pieceTable, byteFallback bool) *spUnigram {
	m := &spUnigram{pieceTable: v, trie: newTrie(), byteFallback: byteFallback, minScore: math.MaxFloat32}
	for id, piece := range v.tokens {
		switch v.types[id] {
		case Normal:
			m.minScore = min(m.minScore, v.scores[id])
			m.trie.insert(piece, int32(id))
		case UserDefined:
			m.trie.insert(piece, int32(id))
		}
	}
	return m
}

func (m *spUnigram) encode(dst []int32, word string, s *scratch) []int32 {
	unknownScore := m.minScore - unknownPenalty
	best := s.nodes(len(word))
	frontier := 0 // the last node reached so far
	for i := 0; i < len(word); {
		_, size := utf8.DecodeRuneInString(word[i:])
		if score := float32(best[i].score); score < -resetThreshold || score > resetThreshold {
			rebase(best[i:frontier+1], score)
		}
		here := float32(best[i].score)
		single := false
		node := int32(0)
		for end := i; end < len(word); {
			next, ok := m.trie.step(node, word[end])
			if !ok {
				break
			}
			node = next
			end++
			id := m.trie.ids[node]
			if id < 0 {
				continue
			}
			frontier = max(frontier, end)
			score := m.scores[id]
			if m.types[id] == UserDefined {
				score = float32(0.1 * float64(end-i-1)) // above every logarithm of a probability: always chosen
			}
			score += here
			if t := &best[end]; t.start < 0 || float64(score) > t.score {
				*t = viterbiNode{float64(score), int32(i), id}
			}
			single = single || end == i+size
		}
		if !single {
			frontier = max(frontier, i+size)
			score := float64(unknownScore + here)
			if t := &best[i+size]; t.start < 0 || score > t.score {
				*t = viterbiNode{score, int32(i), m.unk}
			}
		}
		i += size
	}
	out := piecesOut{dst: dst, byteIDs: &m.byteIDs, byteFallback: m.byteFallback, unk: m.unk}
	for _, end := range s.path(len(word)) {
		if n := best[end]; n.id == m.unk {
			out.unknown(word[n.start:end])
		} else {
			out.known(n.id)
		}
	}
	return out.dst
}

// resetThreshold: sums beyond it begin again from 0, so that long texts keep their precision (sentencepiece 0.2.3).
const resetThreshold = 100000

// rebase takes offset off the scores of the first node and of every other that was reached.
func rebase(nodes []viterbiNode, offset float32) {
	for i := range nodes {
		if i == 0 || nodes[i].start >= 0 {
			nodes[i].score = float64(float32(nodes[i].score) - offset)
		}
	}
}

// nodes returns n+1 fresh nodes, the first of them reached.
func (s *scratch) nodes(n int) []viterbiNode {
	if cap(s.best) < n+1 {
		s.best = make([]viterbiNode, n+1)
	}
	s.best = s.best[:n+1]
	for i := range s.best {
		s.best[i] = viterbiNode{start: -1}
	}
	return s.best
}

// path returns the ends of the pieces of the best segmentation, in order.
func (s *scratch) path(n int) []int32 {
	s.pieces = s.pieces[:0]
	for end := int32(n); end > 0; end = s.best[end].start {
		s.pieces = append(s.pieces, end)
	}
	for i, j := 0, len(s.pieces)-1; i < j; i, j = i+1, j-1 {
		s.pieces[i], s.pieces[j] = s.pieces[j], s.pieces[i]
	}
	return s.pieces
}

// jsonUnigram is the Unigram model of Hugging Face tokenizers: float64 sums, every vocabulary entry is a piece, runs
// of unknown characters are fused before byte fallback.
type jsonUnigram struct {
	ids          map[string]int32
	scores       []float64
	trie         *trie
	unknownScore float64
	byteIDs      [256]int32
	byteFallback bool
	unk          int32 // -1: none; unknown characters then vanish
}

func (m *jsonUnigram) encode(dst []int32, word string, s *scratch) []int32 {
	best := s.nodes(len(word))
	for i := 0; i < len(word); {
		_, size := utf8.DecodeRuneInString(word[i:])
		here := best[i].score
		single := false
		node := int32(0)
		for end := i; end < len(word); {
			next, ok := m.trie.step(node, word[end])
			if !ok {
				break
			}
			node = next
			end++
			id := m.trie.ids[node]
			if id < 0 {
				continue
			}
			score := m.scores[id] + here
			if t := &best[end]; t.start < 0 || score > t.score {
				*t = viterbiNode{score, int32(i), id}
			}
			single = single || end == i+size
		}
		if !single {
			score := m.unknownScore + here
			if t := &best[i+size]; t.start < 0 || score > t.score {
				*t = viterbiNode{score, int32(i), m.unk}
			}
		}
		i += size
	}
	unknownFrom := int32(-1)
	for _, end := range s.path(len(word)) {
		n := best[end]
		if n.id == m.unk {
			if unknownFrom < 0 {
				unknownFrom = n.start
			}
			continue
		}
		if unknownFrom >= 0 {
			dst = m.unknown(dst, word[unknownFrom:n.start])
			unknownFrom = -1
		}
		dst = append(dst, n.id)
	}
	if unknownFrom >= 0 {
		dst = m.unknown(dst, word[unknownFrom:])
	}
	return dst
}

// unknown appends a run of unknown characters: one token if it happens to be spelled like one, its bytes, or unk.
func (m *jsonUnigram) unknown(dst []int32, run string) []int32 {
	if id, ok := m.ids[run]; ok {
		return append(dst, id)
	}
	if m.byteFallback {
		whole := true
		for i := 0; i < len(run); i++ {
			whole = whole && m.byteIDs[run[i]] >= 0
		}
		if whole {
			for i := 0; i < len(run); i++ {
				dst = append(dst, m.byteIDs[run[i]])
			}
			return dst
		}
	}
	if m.unk >= 0 {
		dst = append(dst, m.unk)
	}
	return dst
}
