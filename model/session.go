package model

import (
	"fmt"

	"pith/tensor"
)

// cache holds the keys and values of one sequence, a (positions, KVHeads·HeadDim) matrix each per layer.
type cache struct{ k, v []tensor.Mat }

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
