package model

import (
	"fmt"

	"pith/tensor"
)

// A draft model proposes tokens that a larger one, the target, checks; so its head need not know all of the target's tokens. The layout is that
// of EAGLE-3 (Li et al. 2025, arXiv 2503.01840) as vLLM and SGLang read it: the head has draft_vocab_size rows, tensor d2t holds for each of them the
// target's id minus the row, and t2d, which nothing here reads, says for each id of the target whether a row stands for it. What goes in is
// the target's ids: the embedding is whole.
const (
	// DraftMap is the tensor of differences, (draft_vocab_size): I64 in public files.
	DraftMap = "d2t"
	// TargetMask is the tensor of flags, (vocab_size): BOOL in public files.
	TargetMask = "t2d"
)

// HeadRows is how many logits the head gives: Vocab, or fewer for a draft model whose head is trimmed.
func (c Config) HeadRows() int {
	if c.DraftVocab > 0 {
		return c.DraftVocab
	}
	return c.Vocab
}

// draft reads draft_vocab_size. Files of whole heads state it too, without a map.
func (c *Config) draft(f fields) {
	if n := f.count("draft_vocab_size", 0); n > c.Vocab {
		f.fail("draft_vocab_size", "%d rows of the head for %d tokens of the target", n, c.Vocab)
	} else if n < c.Vocab {
		c.DraftVocab = n
	}
	if c.DraftVocab > 0 {
		c.TiedHead = false // the head is a part of the embedding at most
	}
}

// draftSpecs lists the tensors of a trimmed head besides the head.
func (c Config) draftSpecs() []Spec {
	if c.DraftVocab == 0 {
		return nil
	}
	return []Spec{{Name: DraftMap, Role: "other", Layer: -1, Shape: []int{c.DraftVocab}},
		{Name: TargetMask, Role: "other", Layer: -1, Shape: []int{c.Vocab}, Optional: true}}
}

// draftIDs reads the map of a trimmed head; nil without one. Differences are whole numbers below 2^20, which float32 holds exactly.
func (l *loader) draftIDs() ([]int32, error) {
	if l.c.DraftVocab == 0 {
		return nil, nil
	}
	w, err := l.load(DraftMap, 1, l.c.DraftVocab)
	if err != nil {
		return nil, err
	}
	if err := CheckDraftMap(w.Terms[0].Parts()[0].DType); err != nil {
		return nil, err
	}
	differences := make([]float32, l.c.DraftVocab)
	w.ReadRows(tensor.Of(1, len(differences), differences), 0)
	ids := make([]int32, len(differences))
	row := make(map[int32]int, len(ids))
	for i, d := range differences {
		id := float64(i) + float64(d)
		if id < 0 || id >= float64(l.c.Vocab) {
			return nil, fmt.Errorf("%s: row %d of the head stands for token %.0f of a vocabulary of %d; entries are the token's id minus the row", DraftMap, i, id, l.c.Vocab)
		}
		ids[i] = int32(id)
		if first, twice := row[ids[i]]; twice {
			return nil, fmt.Errorf("%s: rows %d and %d of the head both stand for token %d", DraftMap, first, i, ids[i])
		}
		row[ids[i]] = i
	}
	return ids, nil
}

// CheckDraftMap returns an error if the map of a trimmed head is not stored as integers: floats of few bits round ids.
func CheckDraftMap(dt tensor.DType) error {
	switch dt {
	case tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64:
		return nil
	}
	return fmt.Errorf("%s: is stored as %v, and ids are integers; store it as I64", DraftMap, dt)
}

// DraftIDs returns, for each row of the head, the id of the token that it stands for: logits of a model whose head is trimmed are those of
// these tokens, in this order. nil: the head has a row for every token. Do not write to it.
func (m *Model) DraftIDs() []int32 { return m.draftIDs }

// HeadName is transformers' name of the head's weight.
func HeadName(c Config) string { return c.arch.heads[0] + ".weight" }
