package tokenizer

import (
	"errors"
	"fmt"
	"slices"
)

// kept is a selection of a vocabulary's ids: new id → old id, rising, and the other way round.
type kept struct {
	old []int32
	new map[int32]int32
}

func newKept(old []int32) (*kept, error) {
	if len(old) == 0 {
		return nil, errors.New("no token is kept")
	}
	k := &kept{old: old, new: make(map[int32]int32, len(old))}
	for i, id := range old {
		if id < 0 || i > 0 && id <= old[i-1] {
			return nil, fmt.Errorf("the kept ids must rise, and %d stands at place %d", id, i)
		}
		k.new[id] = int32(i)
	}
	return k, nil
}

// id returns the new id of a token that something other than a text refers to.
func (k *kept) id(old int32, what string) (int32, error) {
	id, ok := k.new[old]
	if !ok {
		return 0, fmt.Errorf("%s is token %d, which is not kept: keep it", what, old)
	}
	return id, nil
}

// Trim returns the vocabulary of the kept ids, which rise and are renumbered from 0. Merges stay whose parts and result stay.
func (v Vocab) Trim(ids []int32) (Vocab, error) {
	k, err := newKept(ids)
	if err != nil {
		return Vocab{}, err
	}
	if last := int(ids[len(ids)-1]); last >= len(v.Tokens) {
		return Vocab{}, fmt.Errorf("token %d of a vocabulary of %d cannot be kept", last, len(v.Tokens))
	}
	out := v
	out.Tokens, out.Scores, out.Types, out.Merges = make([]string, len(ids)), nil, nil, nil
	stays := make(map[string]bool, len(ids))
	for i, id := range ids {
		out.Tokens[i] = v.Tokens[id]
		stays[v.Tokens[id]] = true
		if v.Scores != nil {
			out.Scores = append(out.Scores, v.Scores[id])
		}
		if v.Types != nil {
			out.Types = append(out.Types, v.Types[id])
		}
	}
	for i, line := range v.Merges {
		left, right, ok := cutMerge(line)
		if !ok {
			return Vocab{}, fmt.Errorf("merge %d (%q) is not two pieces separated by one space", i, line)
		}
		if stays[left] && stays[right] && stays[left+right] {
			out.Merges = append(out.Merges, line)
		}
	}
	if v.Model == "gpt2" && len(out.Merges) == 0 {
		return Vocab{}, errors.New("no merge is left of the vocabulary: keep more tokens")
	}
	for _, f := range []struct {
		id   *int32
		what string
	}{{&out.BOS, "BOS"}, {&out.EOS, "EOS"}, {&out.UNK, "the unknown token"}, {&out.PAD, "the padding token"}} {
		if *f.id < 0 {
			continue
		}
		if *f.id, err = k.id(*f.id, f.what); err != nil {
			return Vocab{}, err
		}
	}
	out.Lost = slices.Clone(v.Lost)
	return out, nil
}
