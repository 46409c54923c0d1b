package model

import (
	"fmt"

	"pith/codec"
	"pith/tensor"
)

// MaxVerify is how many tokens Verify takes.
const MaxVerify = codec.FewTokens

// Verify appends up to MaxVerify tokens and returns the logits after each of them, a row each, valid until the next call: byte for byte those that
// feeding them one by one gives, at the price of reading the weights once. On an error the session is as it was.
//
// They are the same because products of so few tokens with stored weights are (codec.FewTokens), because kernels sum in an order that does
// not depend on how many rows there are, and because tokens with other rotary frequencies than those before them go apart.
func (s *Session) Verify(tokens []int32) (tensor.Mat, error) {
	seen, n := len(s.tokens), len(tokens)
	switch {
	case n == 0:
		return tensor.Mat{}, fmt.Errorf("no tokens to verify; at least one is needed")
	case n > MaxVerify:
		return tensor.Mat{}, fmt.Errorf("%d tokens to verify at once; %d are possible", n, MaxVerify)
	case seen+n > s.max:
		return tensor.Mat{}, fmt.Errorf("%d tokens seen and %d more exceed this session's %d; make a longer session", seen, n, s.max)
	}
	if err := s.m.check(tokens, seen); err != nil {
		return tensor.Mat{}, err
	}
	if s.alike(seen, n) {
		s.tokens = append(s.tokens, tokens...)
		s.run(seen, seen+n, seen+n, n)
		return s.logits, nil
	}
	all := tensor.NewMat(n, s.m.head.rows)
	for i := range tokens {
		row, err := s.Feed(tokens[i : i+1])
		if err != nil {
			return tensor.Mat{}, err
		}
		copy(all.Row(i), row)
	}
	s.logits = all
	return all, nil
}

// alike reports whether the n tokens after the first seen have the rotary frequencies that the cache was made with.
func (s *Session) alike(seen, n int) bool {
	return s.m.ropeKey(seen+1) == s.key && s.m.ropeKey(seen+n) == s.key
}

// ropeKey stands for all lengths of a sequence with the same rotary frequencies.
func (m *Model) ropeKey(length int) [2]int {
	return [2]int{m.global.rope.lengthKey(length), m.local.rope.lengthKey(length)}
}

// Truncate forgets all tokens but the first n, of which there must be as many: what comes next is fed as if nothing else had ever been.
func (s *Session) Truncate(n int) {
	if n < 0 || n > len(s.tokens) {
		panic("model: Truncate to more tokens than were seen")
	}
	s.tokens = s.tokens[:n]
}

// spare returns how many tokens beyond the next one can be verified and forgotten again without a trace. A cache whose longrope factors have changed
// was made anew, all positions at once, so no token may go and come back over that length.
func (s *Session) spare() int {
	next := len(s.tokens) + 1
	n := s.max - next
	for _, r := range []*rotations{s.m.global, s.m.local} {
		if r.rope.Type == "longrope" && next <= r.rope.OriginalMax {
			n = min(n, r.rope.OriginalMax-next)
		}
	}
	return max(n, 0)
}
