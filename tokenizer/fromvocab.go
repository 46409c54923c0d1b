package tokenizer

import (
	"errors"
	"fmt"
	"slices"
)

// FromVocab makes a tokenizer of GGUF metadata. Everything is checked: lengths, token types, byte tokens, ids,
// merges. Text is read as SentencePiece and Hugging Face tokenizers read it, not as llama.cpp does, where they differ
// (docs/formats/tokenizers.md).
func FromVocab(v Vocab) (*Tokenizer, error) {
	t, err := fromVocab(&v)
	if err != nil {
		return nil, fmt.Errorf("GGUF vocabulary: %w", err)
	}
	return t, nil
}

func fromVocab(v *Vocab) (*Tokenizer, error) {
	if len(v.Tokens) == 0 {
		return nil, errors.New("there are no tokens")
	}
	if v.Types == nil {
		v.Types = make([]TokenType, len(v.Tokens))
		for i := range v.Types {
			v.Types[i] = Normal
		}
	}
	if len(v.Types) != len(v.Tokens) {
		return nil, fmt.Errorf("%d tokens, but %d token types", len(v.Tokens), len(v.Types))
	}
	for _, f := range []struct {
		name string
		id   int32
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"unknown", v.UNK}, {"padding", v.PAD}} {
		if f.id < -1 || int(f.id) >= len(v.Tokens) {
			return nil, fmt.Errorf("%s token id %d is outside the vocabulary of %d", f.name, f.id, len(v.Tokens))
		}
	}
	if v.AddBOS && v.BOS < 0 || v.AddEOS && v.EOS < 0 {
		return nil, errors.New("BOS or EOS is to be added, but there is none")
	}
	v.nameEmptyTokens()
	var t *Tokenizer
	var err error
	switch v.Model {
	case "llama", "t5":
		t, err = fromScores(v)
	case "gpt2":
		t, err = fromMerges(v)
	default:
		return nil, fmt.Errorf("the model %q is not supported: only llama, gpt2 and t5 are", v.Model)
	}
	if err != nil {
		return nil, err
	}
	t.bos, t.eos, t.unk, t.pad = v.BOS, v.EOS, v.UNK, v.PAD
	if v.AddBOS {
		t.prefix = []int32{v.BOS}
	}
	if v.AddEOS {
		t.suffix = []int32{v.EOS}
	}
	t.chatTemplate = v.ChatTemplate
	t.export = exportInfo{vocab: v}
	return t, nil
}

// nameEmptyTokens gives tokens without a spelling one that cannot be confused, and no use.
func (v *Vocab) nameEmptyTokens() {
	if !slices.Contains(v.Tokens, "") {
		return
	}
	v.Tokens, v.Types = slices.Clone(v.Tokens), slices.Clone(v.Types)
	for id, piece := range v.Tokens {
		if piece == "" {
			v.Tokens[id], v.Types[id] = fmt.Sprintf("[EMPTY_%d]", id), Unused
		}
	}
}

func fromScores(v *Vocab) (*Tokenizer, error) {
	m := &spModel{tokens: v.Tokens, scores: v.Scores, types: v.Types, modelType: 2}
	if v.Model == "t5" {
		m.modelType = 1
	}
	if !slices.Contains(v.Types, Unknown) && v.UNK >= 0 {
		m.types = slices.Clone(v.Types)
		m.types[v.UNK] = Unknown
	}
	m.byteFallback = slices.Contains(v.Types, Byte)
	m.norm = spNormalizer{charsmapBytes: v.PrecompiledCharsmap, dummyPrefix: v.AddSpacePrefix,
		removeExtra: v.RemoveExtraWhitespaces, escape: true}
	return m.build()
}

func fromMerges(v *Vocab) (*Tokenizer, error) {
	pre, err := findPreType(v.Pre)
	if err != nil {
		return nil, err
	}
	all := make(map[string]int32, len(v.Tokens))
	model := make(map[string]int32, len(v.Tokens))
	var added []addedToken
	for i, piece := range v.Tokens {
		id := int32(i)
		if other, ok := all[piece]; ok {
			return nil, fmt.Errorf("tokens %d and %d are both %q", other, i, piece)
		}
		all[piece] = id
		switch v.Types[i] {
		case Normal, Byte:
			model[piece] = id
		case Unknown, Control, UserDefined:
			// A file may call ordinary pieces user-defined; as pieces they can still be merged.
			model[piece] = id
			added = append(added, addedToken{ID: id, Content: piece, Special: v.Types[i] != UserDefined})
		case Unused:
		default:
			return nil, fmt.Errorf("token %d (%q): token type %d is not one of 1 to 6", i, piece, v.Types[i])
		}
	}
	merges := make([][2]string, len(v.Merges))
	for i, line := range v.Merges {
		left, right, ok := cutMerge(line)
		if !ok {
			return nil, fmt.Errorf("merge %d (%q) is not two pieces separated by one space", i, line)
		}
		merges[i] = [2]string{left, right}
	}
	if len(merges) == 0 {
		return nil, errors.New("there are no merges")
	}
	bpe := &mergeBPE{ids: model, unk: -1, ignoreMerges: pre.ignoreMerges, byteIDs: findByteIDs(model)}
	if err := newMergeBPE(bpe, merges); err != nil {
		return nil, err
	}
	t := newTokenizer(v.Tokens, v.Types, all)
	t.model, t.spelling = bpe, newByteSpelling()
	t.pre, t.normalizers = pre.build(v.AddSpacePrefix)
	t.addTokens(added)
	t.setByteLevelSurfaces()
	return t, nil
}
