package model

import (
	"fmt"

	"pith/tensor"
)

// cache holds the keys and values of one sequence per layer: values as a (positions, KVHeads·HeadDim) matrix, keys as its
// transpose, so that a token's products with both run along memory.
type cache struct{ k, v []tensor.Mat }

// Session decodes one sequence, keeping keys and values of what it has seen. It is not safe for concurrent use.
type Session struct {
	m      *Model
	max    int
	tokens []int32 // seen so far
	key    [2]int  // which rotary frequencies the cache was made with
	cache  cache
	span   [1]span
	space  workspace
	tile   int // tokens of a prompt that go through the network at once, at most
	logits tensor.Mat
	hidden tensor.Mat
}

// NewSession returns an empty session for at most maxTokens tokens, prompt and answer together. Its cache takes
// 8·maxTokens·Layers·KVHeads·HeadDim bytes.
func (m *Model) NewSession(maxTokens int) *Session {
	c := &m.config
	if limit := m.MaxTokens(); limit > 0 {
		maxTokens = min(maxTokens, limit)
	}
	maxTokens = max(maxTokens, 1)
	s := &Session{m: m, max: maxTokens, tile: promptRows, tokens: make([]int32, 0, maxTokens), logits: tensor.NewMat(1, m.head.rows), hidden: tensor.NewMat(1, c.Hidden)}
	stride := (maxTokens+15)&^15 + 16 // not a power of two, which would put all features of a key in one set of the processor's caches
	for range m.layers {
		s.cache.k = append(s.cache.k, tensor.Mat{Rows: c.KVHeads * c.HeadDim, Cols: maxTokens, Stride: stride, Data: make([]float32, c.KVHeads*c.HeadDim*stride)})
		s.cache.v = append(s.cache.v, tensor.NewMat(maxTokens, c.KVHeads*c.HeadDim))
	}
	return s
}

// Len returns how many tokens the session has seen, Max how many it can.
func (s *Session) Len() int { return len(s.tokens) }
func (s *Session) Max() int { return s.max }

// ActivationBytes returns the memory that intermediate results have taken so far: what a pass through the network needs beside weights and
// CacheBytes, the most that any has needed. Kernels' own buffers, which hold pieces of decoded weights, are not among them.
func (s *Session) ActivationBytes() int64 {
	return s.space.bytes() + 4*int64(cap(s.hidden.Data)+cap(s.logits.Data))
}

// CacheBytes returns the memory of keys and values.
func (s *Session) CacheBytes() int64 {
	var n int64
	for i := range s.cache.k {
		n += 4 * int64(cap(s.cache.k[i].Data)+cap(s.cache.v[i].Data))
	}
	return n
}

// Reset forgets all tokens.
func (s *Session) Reset() { s.tokens = s.tokens[:0] }

// Feed appends tokens and returns the logits after the last of them, (Vocab), or those of DraftIDs; they are valid until the next call. On an error
// the session is as it was.
//
// Rotary frequencies that depend on the sequence's length (dynamic, longrope): when longrope changes from its short to its long
// factors the whole sequence is run again, so that logits are those of Forward; dynamic changes with every token beyond the
// trained length, and there earlier keys keep the rotation they were made with, as in transformers' generation.
func (s *Session) Feed(tokens []int32) ([]float32, error) {
	seen := len(s.tokens)
	if len(tokens) == 0 {
		return nil, fmt.Errorf("no tokens to feed; a prompt has at least one")
	}
	if seen+len(tokens) > s.max {
		return nil, fmt.Errorf("%d tokens seen and %d more exceed this session's %d; make a longer session", seen, len(tokens), s.max)
	}
	if err := s.m.check(tokens, seen); err != nil {
		return nil, err
	}
	s.tokens = append(s.tokens, tokens...)
	length := len(s.tokens)
	key := s.m.ropeKey(length)
	from := seen
	if key != s.key && (s.m.global.rope.Type == "longrope" || s.m.local.rope.Type == "longrope") {
		from = 0
	}
	s.key = key
	for r := range tilesOf(length-from, s.tile) {
		s.run(from+r.r0, from+r.r1, length, 1)
	}
	return s.logits.Row(0), nil
}

// run puts tokens [from, to) of a sequence of the given length through the network, and, at the end of the sequence, sets logits to those after
// the last few of them.
func (s *Session) run(from, to, length, last int) {
	m := s.m
	x := mat(&s.space.x, to-from, m.config.Hidden)
	m.embedTokens(x, s.tokens[from:to], from)
	s.span[0] = span{n: to - from, pos: from, cache: &s.cache, global: m.global.forLength(length), local: m.local.forLength(length)}
	p := m.begin(&s.space, s.span[:])
	defer p.end()
	p.layers(x)
	if to < length {
		return
	}
	hidden, logits := mat(&s.hidden.Data, last, m.config.Hidden), mat(&s.logits.Data, last, m.head.rows)
	for i := range last {
		m.finalNorm.apply(hidden.Row(i), x.Row(x.Rows-last+i))
	}
	p.logits(logits, hidden)
	s.hidden, s.logits = hidden, logits
}

// check returns an error if tokens at positions pos… cannot be run.
func (m *Model) check(tokens []int32, pos int) error {
	for i, t := range tokens {
		if t < 0 || int(t) >= m.config.Vocab {
			return fmt.Errorf("token %d at position %d is outside the model's vocabulary of %d; is this the model's own tokenizer?", t, pos+i, m.config.Vocab)
		}
	}
	if limit := m.MaxTokens(); limit > 0 && pos+len(tokens) > limit {
		return fmt.Errorf("%d tokens, but the model has embeddings for %d positions", pos+len(tokens), limit)
	}
	return nil
}
