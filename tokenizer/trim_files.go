package tokenizer

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pith/internal/ordered"
)

// TrimFiles returns the tokenizer files of a Hugging Face directory for the kept ids of t, the tokenizer made of them. Files without ids come back as
// they are. Of two files that hold the vocabulary, one whose ids are not t's cannot be renumbered and is left out, with a note.
func TrimFiles(files map[string][]byte, t *Tokenizer, ids []int32) (out map[string][]byte, notes []string, err error) {
	k, err := newKept(ids)
	if err != nil {
		return nil, nil, err
	}
	out = make(map[string][]byte, len(files))
	for name, data := range files {
		if data == nil {
			continue
		}
		switch name {
		case "tokenizer.json":
			data, err = TrimJSON(data, ids)
		case "tokenizer.model":
			if why := t.disagrees(data); why != "" {
				notes = append(notes, "tokenizer.model is left out: "+why)
				continue
			}
			data, err = TrimSentencePiece(data, ids)
		case "vocab.json", "added_tokens.json":
			data, err = k.pieceFile(data)
		case "merges.txt":
			data = k.mergesText(data, t)
		case "tokenizer_config.json":
			data, err = k.config(data)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = data
	}
	slices.Sort(notes)
	return out, notes, nil
}

// disagrees says why a tokenizer.model does not number its pieces as t does, or "".
func (t *Tokenizer) disagrees(model []byte) string {
	m, err := readSentencePiece(model)
	if err != nil {
		return err.Error()
	}
	for id, piece := range m.tokens {
		if id >= len(t.tokens) || t.tokens[id] != piece && t.tokens[id] != "" {
			return fmt.Sprintf("its piece %d is %q, not the tokenizer's token %d", id, piece, id)
		}
	}
	return ""
}

// pieceFile renumbers a file that is an object piece → id.
func (k *kept) pieceFile(data []byte) ([]byte, error) {
	list, err := k.pieces(data)
	if err != nil {
		return nil, err
	}
	out, err := ordered.Compact(list)
	return append(out, '\n'), err
}

// mergesText leaves out the lines of merges whose parts or result are gone.
func (k *kept) mergesText(data []byte, t *Tokenizer) []byte {
	stays := func(piece string) bool {
		id, ok := t.ids[piece]
		if ok {
			_, ok = k.new[id]
		}
		return ok
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		left, right, ok := cutMerge(strings.TrimRight(line, "\r\n"))
		if !ok || strings.HasPrefix(line, "#version") || stays(left) && stays(right) && stays(left+right) {
			out.WriteString(line)
		}
	}
	return out.Bytes()
}

// config renumbers tokenizer_config.json: the keys of added_tokens_decoder.
func (k *kept) config(data []byte) ([]byte, error) {
	return ordered.EditFile(data, func(o *ordered.Object) error {
		b := o.Get("added_tokens_decoder")
		if b == nil {
			return nil
		}
		tokens, err := ordered.Parse(b)
		if err != nil {
			return fmt.Errorf("added_tokens_decoder: %w", err)
		}
		left := ordered.Object{}
		for _, m := range tokens {
			old, err := strconv.ParseInt(m.Key, 10, 32)
			if err != nil {
				return fmt.Errorf("added_tokens_decoder: %q is not a token id", m.Key)
			}
			if id, ok := k.new[int32(old)]; ok {
				left = append(left, ordered.Member{Key: strconv.Itoa(int(id)), Value: m.Value})
			}
		}
		return o.Set("added_tokens_decoder", left)
	})
}
