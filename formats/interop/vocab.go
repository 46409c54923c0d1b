package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pith/formats"
	"pith/tokenizer"
)

// vocabKV returns the tokenizer.* metadata of a model with n token ids. A nil tokenizer gives tokenizer.ggml.model = none: llama.cpp then
// loads the model but cannot tokenize. What GGUF cannot express is told to warn; where no model of llama.cpp's fits at all, it is an error.
func vocabKV(tok *tokenizer.Tokenizer, n int, warn func(string)) ([]formats.KV, error) {
	if tok == nil {
		return []formats.KV{{Key: "tokenizer.ggml.model", Value: "none"}}, nil
	}
	v := tok.Vocab()
	if v.Model == "" {
		return nil, fmt.Errorf("GGUF cannot express this tokenizer: %s; keep the Hugging Face or Pith format", strings.Join(v.Lost, "; "))
	}
	if warn != nil {
		for _, lost := range v.Lost {
			warn("tokenizer: " + lost + ": llama.cpp may give other token ids")
		}
		if v.Model == "llama" && v.RemoveExtraWhitespaces {
			warn("tokenizer: remove_extra_whitespaces is not done by llama.cpp: it may give other token ids")
		}
	}
	if v.Model == "llama" && !slices.Contains(v.Types, tokenizer.Byte) {
		if charactersOnly(v) {
			v.Model = "t5"
		} else if warn != nil {
			warn("tokenizer: there are no byte tokens (<0x00> to <0xFF>): llama.cpp stops at the first character outside the vocabulary")
		}
	}
	if len(v.Tokens) > n {
		return nil, fmt.Errorf("the tokenizer has %d tokens, the model's embedding %d rows", len(v.Tokens), n)
	}
	tokens, types := slices.Clone(v.Tokens), make([]int32, 0, n)
	for _, kind := range v.Types {
		types = append(types, int32(kind))
	}
	scores := slices.Clone(v.Scores)
	for id := len(tokens); id < n; id++ { // rows of the embedding that no token has, as llama.cpp's converter fills them
		tokens = append(tokens, fmt.Sprintf("[PAD%d]", id))
		types = append(types, int32(tokenizer.Unused))
		scores = append(scores, -10000)
	}
	if err := checkDistinct(tokens); err != nil {
		return nil, err
	}
	kv := []formats.KV{{Key: "tokenizer.ggml.model", Value: v.Model}}
	add := func(name string, value any) {
		kv = append(kv, formats.KV{Key: "tokenizer." + name, Value: value})
	}
	if v.Model == "gpt2" {
		add("ggml.pre", v.Pre)
	} else {
		add("ggml.pre", "default")
	}
	add("ggml.tokens", tokens)
	if v.Model != "gpt2" {
		add("ggml.scores", scores)
	}
	add("ggml.token_type", types)
	if v.Model == "gpt2" {
		add("ggml.merges", v.Merges)
	}
	for _, special := range []struct {
		name string
		id   int32
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"unknown", v.UNK}, {"padding", v.PAD}} {
		if special.id >= 0 {
			add("ggml."+special.name+"_token_id", uint32(special.id))
		}
	}
	add("ggml.add_bos_token", v.AddBOS)
	add("ggml.add_eos_token", v.AddEOS)
	if v.Model != "gpt2" || v.AddSpacePrefix {
		add("ggml.add_space_prefix", v.AddSpacePrefix)
	}
	if v.Model == "t5" || v.RemoveExtraWhitespaces {
		add("ggml.remove_extra_whitespaces", v.RemoveExtraWhitespaces)
	}
	if len(v.PrecompiledCharsmap) > 0 {
		add("ggml.precompiled_charsmap", v.PrecompiledCharsmap)
	}
	if v.ChatTemplate != "" {
		add("chat_template", v.ChatTemplate)
	}
	return kv, nil
}

// charactersOnly reports whether every piece made from text is a single character. llama.cpp's "llama" tokenizer needs byte tokens for characters
// outside the vocabulary and stops without; where there is nothing to join, its "t5" tokenizer gives the same ids, and the unknown token for those.
func charactersOnly(v tokenizer.Vocab) bool {
	for id, piece := range v.Tokens {
		if (v.Types[id] == tokenizer.Normal || v.Types[id] == tokenizer.UserDefined) && utf8.RuneCountInString(piece) != 1 {
			return false
		}
	}
	return v.UNK >= 0
}

// checkDistinct: llama.cpp aborts on a vocabulary with the same piece twice.
func checkDistinct(tokens []string) error {
	seen := make(map[string]int, len(tokens))
	for id, piece := range tokens {
		if was, dup := seen[piece]; dup {
			return fmt.Errorf("tokens %d and %d are both %q, which llama.cpp does not load", was, id, piece)
		}
		seen[piece] = id
	}
	return nil
}

// Tokenizer builds the tokenizer that the file carries.
func (m *GGUFModel) Tokenizer() (*tokenizer.Tokenizer, error) {
	v, err := m.meta.vocab()
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.FromVocab(v)
	if err != nil {
		return nil, fmt.Errorf("%s: tokenizer: %w", m.meta.file, err)
	}
	return t, nil
}

// vocab reads the tokenizer.* metadata, each with the type that the format states (a wrong element type was llama.cpp's issue #26690).
// What is missing has llama.cpp's defaults.
func (m metadata) vocab() (tokenizer.Vocab, error) {
	v := tokenizer.Vocab{}
	var err error
	if v.Model, err = m.str("tokenizer.ggml.model"); err != nil {
		return v, err
	}
	switch v.Model {
	case "llama", "gpt2", "t5":
	case "", "none", "no_vocab":
		return v, fmt.Errorf("%s: the file carries no tokenizer: give one with the text, or convert the model again with its tokenizer", m.file)
	default:
		return v, fmt.Errorf("%s: tokenizer.ggml.model = %q is not supported; llama, gpt2 and t5 are", m.file, v.Model)
	}
	if v.Pre, err = m.str("tokenizer.ggml.pre"); err != nil {
		return v, err
	}
	if v.ChatTemplate, err = m.str("tokenizer.chat_template"); err != nil {
		return v, err
	}
	if err := m.pieces(&v); err != nil {
		return v, err
	}
	return v, errors.Join(m.specials(&v), m.switches(&v))
}

// pieces reads the arrays.
func (m metadata) pieces(v *tokenizer.Vocab) error {
	var err error
	if v.Tokens, err = array[string](m, "tokenizer.ggml.tokens", "an array of strings"); err != nil {
		return err
	}
	if len(v.Tokens) == 0 {
		return m.missing("tokenizer.ggml.tokens")
	}
	scores := m.values["tokenizer.ggml.scores"]
	if whole, ok := scores.([]int32); ok { // llama.cpp takes these too
		v.Scores = make([]float32, len(whole))
		for i, s := range whole {
			v.Scores[i] = float32(s)
		}
	} else if v.Scores, err = array[float32](m, "tokenizer.ggml.scores", "an array of float32"); err != nil {
		return err
	}
	types, err := array[int32](m, "tokenizer.ggml.token_type", "an array of int32")
	if err != nil {
		return err
	}
	if v.Merges, err = array[string](m, "tokenizer.ggml.merges", "an array of strings"); err != nil {
		return err
	}
	switch {
	case v.Model != "gpt2" && scores == nil:
		return m.missing("tokenizer.ggml.scores")
	case v.Model == "gpt2" && !m.has("tokenizer.ggml.merges"):
		return m.missing("tokenizer.ggml.merges")
	case scores != nil && len(v.Scores) != len(v.Tokens):
		return fmt.Errorf("%s: tokenizer.ggml.scores has %d entries for %d tokens", m.file, len(v.Scores), len(v.Tokens))
	case types != nil && len(types) != len(v.Tokens):
		return fmt.Errorf("%s: tokenizer.ggml.token_type has %d entries for %d tokens", m.file, len(types), len(v.Tokens))
	}
	v.Types = make([]tokenizer.TokenType, len(v.Tokens))
	for id := range v.Types {
		v.Types[id] = tokenizer.Normal
		if types != nil {
			v.Types[id] = tokenizer.TokenType(types[id])
		}
		if v.Types[id] == tokenizer.Byte && !bytePiece(v.Tokens[id]) { // llama.cpp's issue #25969
			return fmt.Errorf("%s: token %d is of type byte, but %q is not <0x00> to <0xFF>", m.file, id, v.Tokens[id])
		}
	}
	switch charsmap := m.values["tokenizer.ggml.precompiled_charsmap"].(type) {
	case nil:
	case []uint8:
		v.PrecompiledCharsmap = charsmap
	case []int8:
		for _, b := range charsmap {
			v.PrecompiledCharsmap = append(v.PrecompiledCharsmap, byte(b))
		}
	default:
		return m.wrong("tokenizer.ggml.precompiled_charsmap", "an array of bytes", charsmap)
	}
	return nil
}

// array returns an array whose elements are of type T exactly; nil if there is no such key.
func array[T any](m metadata, key, want string) ([]T, error) {
	v, ok := m.values[key]
	if !ok {
		return nil, nil
	}
	list, ok := v.([]T)
	if !ok {
		return nil, m.wrong(key, want, v)
	}
	return list, nil
}

func bytePiece(piece string) bool {
	const hex = "0123456789ABCDEFabcdef"
	return len(piece) == 6 && strings.HasPrefix(piece, "<0x") && piece[5] == '>' && strings.IndexByte(hex, piece[3]) >= 0 && strings.IndexByte(hex, piece[4]) >= 0
}

// specials reads the ids of special tokens. An id outside the vocabulary counts as absent, as in llama.cpp.
func (m metadata) specials(v *tokenizer.Vocab) error {
	v.BOS, v.EOS, v.UNK, v.PAD = -1, -1, -1, -1
	switch v.Model {
	case "llama":
		v.BOS, v.EOS, v.UNK = 1, 2, 0
	case "t5":
		v.EOS, v.UNK, v.PAD = 1, 2, 0
	}
	for name, to := range map[string]*int32{"bos": &v.BOS, "eos": &v.EOS, "unknown": &v.UNK, "padding": &v.PAD} {
		id, err := m.integer("tokenizer.ggml."+name+"_token_id", int(*to))
		if err != nil {
			return err
		}
		if id < len(v.Tokens) {
			*to = int32(id)
		} else if int(*to) >= len(v.Tokens) {
			*to = -1
		}
	}
	return nil
}

// startWithBOS are the pre-tokenizers whose models llama.cpp begins with BOS unless the file says otherwise.
var startWithBOS = []string{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "tekken", "chameleon"}

func (m metadata) switches(v *tokenizer.Vocab) error {
	v.AddBOS = v.Model == "llama" || v.Model == "gpt2" && slices.Contains(startWithBOS, v.Pre)
	v.AddEOS = v.Model == "t5"
	v.AddSpacePrefix = v.Model == "llama"
	for name, to := range map[string]*bool{"add_bos_token": &v.AddBOS, "add_eos_token": &v.AddEOS, "add_space_prefix": &v.AddSpacePrefix,
		"remove_extra_whitespaces": &v.RemoveExtraWhitespaces} {
		b, err := m.flag("tokenizer.ggml."+name, *to)
		if err != nil {
			return err
		}
		*to = b
	}
	return nil
}
