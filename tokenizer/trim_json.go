package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pith/internal/ordered"
)

// TrimJSON returns the tokenizer.json of the kept ids, which rise and are renumbered from 0. Everything else in the file stays as it is.
func TrimJSON(tokenizerJSON []byte, ids []int32) ([]byte, error) {
	k, err := newKept(ids)
	if err != nil {
		return nil, err
	}
	out, err := ordered.EditFile(tokenizerJSON, k.file)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return out, nil
}

// file edits the members of a tokenizer.json.
func (k *kept) file(l *ordered.Object) error {
	if l.Get("model") == nil {
		return errors.New("model: there is none")
	}
	for _, part := range []struct {
		key string
		f   func(*ordered.Object) error
	}{{"model", k.model}, {"post_processor", k.postProcessor}, {"padding", k.padding}} {
		if err := l.EditMember(part.key, part.f); err != nil {
			return err
		}
	}
	added := l.Get("added_tokens")
	if added == nil {
		return nil
	}
	list, err := k.addedTokens(added)
	if err != nil {
		return fmt.Errorf("added_tokens: %w", err)
	}
	return l.Set("added_tokens", list)
}

func (k *kept) addedTokens(b json.RawMessage) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	out := []json.RawMessage{}
	for _, entry := range list {
		var tok addedToken
		if err := json.Unmarshal(entry, &tok); err != nil {
			return nil, err
		}
		id, stays := k.new[tok.ID]
		if !stays {
			continue
		}
		entry, err := ordered.Edit(entry, func(l *ordered.Object) error { return l.Set("id", id) })
		if err != nil {
			return nil, err
		}
		out = append(out, entry)
	}
	return out, nil
}

func (k *kept) model(l *ordered.Object) error {
	kind := ""
	if b := l.Get("type"); b != nil {
		if err := json.Unmarshal(b, &kind); err != nil {
			return err
		}
	}
	switch {
	case kind == "Unigram":
		return k.unigram(l)
	case kind == "BPE" || kind == "" && l.Get("merges") != nil:
		return k.bpe(l)
	}
	return fmt.Errorf("type %q is not supported: only BPE and Unigram are", kind)
}

func (k *kept) unigram(l *ordered.Object) error {
	var pieces []json.RawMessage
	if err := json.Unmarshal(l.Get("vocab"), &pieces); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	var out []json.RawMessage
	for _, id := range k.old {
		if int(id) < len(pieces) {
			out = append(out, pieces[id])
		}
	}
	if b := l.Get("unk_id"); b != nil {
		var unk int32
		if err := json.Unmarshal(b, &unk); err != nil {
			return fmt.Errorf("unk_id: %w", err)
		}
		id, err := k.id(unk, "unk_id")
		if err != nil {
			return err
		}
		if err := l.Set("unk_id", id); err != nil {
			return err
		}
	}
	return l.Set("vocab", out)
}

func (k *kept) bpe(l *ordered.Object) error {
	vocab, err := k.pieces(l.Get("vocab"))
	if err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	stays := make(map[string]bool, len(vocab))
	for _, p := range vocab {
		stays[p.piece] = true
	}
	var unk, prefix string
	for key, to := range map[string]*string{"unk_token": &unk, "continuing_subword_prefix": &prefix} {
		if b := l.Get(key); b != nil {
			if err := json.Unmarshal(b, to); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	if unk != "" && !stays[unk] {
		return fmt.Errorf("unk_token %q is not kept: keep it", unk)
	}
	var merges mergeList
	if b := l.Get("merges"); b != nil {
		if err := json.Unmarshal(b, &merges); err != nil {
			return err
		}
	}
	merges = slices.DeleteFunc(merges, func(p [2]string) bool {
		return !stays[p[0]] || !stays[p[1]] || !stays[p[0]+strings.TrimPrefix(p[1], prefix)]
	})
	if err := l.Set("vocab", vocab); err != nil {
		return err
	}
	if wereStrings(l.Get("merges")) {
		lines := make([]string, len(merges))
		for i, p := range merges {
			lines[i] = p[0] + " " + p[1]
		}
		return l.Set("merges", lines)
	}
	return l.Set("merges", append([][2]string{}, merges...))
}

// wereStrings reports whether a list of merges is written as "a b".
func wereStrings(b json.RawMessage) bool {
	var list []json.RawMessage
	return json.Unmarshal(b, &list) == nil && len(list) > 0 && len(list[0]) > 0 && list[0][0] == '"'
}

// pieces renumbers an object piece → id.
func (k *kept) pieces(b json.RawMessage) (pieceList, error) {
	var ids map[string]int32
	if err := json.Unmarshal(b, &ids); err != nil {
		return nil, err
	}
	list := pieceList{}
	for piece, old := range ids {
		if id, ok := k.new[old]; ok {
			list = append(list, pieceID{piece, int(id)})
		}
	}
	slices.SortFunc(list, func(a, b pieceID) int { return a.id - b.id })
	return list, nil
}

func (k *kept) padding(l *ordered.Object) error { return k.setID(l, "pad_id") }

// setID renumbers a member that is an id.
func (k *kept) setID(l *ordered.Object, key string) error {
	b := l.Get(key)
	if b == nil {
		return nil
	}
	var old int32
	if err := json.Unmarshal(b, &old); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	id, err := k.id(old, key)
	if err != nil {
		return err
	}
	return l.Set(key, id)
}

// postProcessor renumbers the ids that a post-processor adds.
func (k *kept) postProcessor(l *ordered.Object) error {
	for _, key := range []string{"cls", "sep"} { // ["<s>", 0]
		b := l.Get(key)
		if b == nil {
			continue
		}
		var pair []json.RawMessage
		if err := json.Unmarshal(b, &pair); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		old, err := pairID(pair)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		id, err := k.id(old, key)
		if err != nil {
			return err
		}
		if err := l.Set(key, []any{pair[0], id}); err != nil {
			return err
		}
	}
	if b := l.Get("processors"); b != nil {
		var list []json.RawMessage
		err := json.Unmarshal(b, &list)
		for i := 0; i < len(list) && err == nil; i++ {
			list[i], err = ordered.Edit(list[i], k.postProcessor)
		}
		if err != nil {
			return err
		}
		if err := l.Set("processors", list); err != nil {
			return err
		}
	}
	return l.EditMember("special_tokens", func(tokens *ordered.Object) error {
		for _, m := range *tokens {
			if err := tokens.EditMember(m.Key, k.templateToken); err != nil {
				return err
			}
		}
		return nil
	})
}

// templateToken renumbers the ids of one special token of a template.
func (k *kept) templateToken(l *ordered.Object) error {
	var ids []int32
	if err := json.Unmarshal(l.Get("ids"), &ids); err != nil {
		return fmt.Errorf("ids: %w", err)
	}
	for i := range ids {
		var err error
		if ids[i], err = k.id(ids[i], "a template's token"); err != nil {
			return err
		}
	}
	return l.Set("ids", ids)
}
