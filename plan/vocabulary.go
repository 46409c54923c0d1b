package plan

import (
	"encoding/base64"
	"errors"
	"fmt"
)

// Vocabulary says which tokens of the source the plan's model has.
type Vocabulary struct {
	SourceTokens int     `json:"source_tokens"` // that model and tokenizer have
	Tokens       int     `json:"tokens"`
	Coverage     float64 `json:"coverage"` // part of the counted tokens that are kept
	Kept         string  `json:"kept"`     // base64 of a bit for each token of the source, the lowest first
}

// maxTokens bounds a vocabulary.
const maxTokens = 1 << 24

// NewVocabulary records a selection of the ids below size, which rise.
func NewVocabulary(ids []int32, size int, coverage float64) *Vocabulary {
	bits := make([]byte, (size+7)/8)
	for _, id := range ids {
		bits[id>>3] |= 1 << (id & 7)
	}
	return &Vocabulary{SourceTokens: size, Tokens: len(ids), Coverage: coverage, Kept: base64.StdEncoding.EncodeToString(bits)}
}

// IDs returns the kept ids, rising.
func (v *Vocabulary) IDs() ([]int32, error) {
	bits, err := base64.StdEncoding.DecodeString(v.Kept)
	if err != nil || v.SourceTokens < 0 || v.SourceTokens > maxTokens || len(bits) != (v.SourceTokens+7)/8 {
		return nil, errors.New("vocabulary: the kept tokens are not a bit for each of the source's; make the plan again with pith plan")
	}
	var ids []int32
	for id := range int32(v.SourceTokens) {
		if bits[id>>3]>>(id&7)&1 == 1 {
			ids = append(ids, id)
		}
	}
	if len(ids) != v.Tokens {
		return nil, fmt.Errorf("vocabulary: %d tokens are kept, the plan says %d; make it again with pith plan", len(ids), v.Tokens)
	}
	return ids, nil
}
