package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Vocab holds what GGUF files say about a tokenizer: one field for each tokenizer.ggml.* key.
type Vocab struct {
	Model  string      // "llama" (SentencePiece BPE by scores), "gpt2" (byte-level BPE by merges) or "t5" (Unigram)
	Pre    string      // gpt2 only: the name of the pre-tokenizer, "llama-bpe", "qwen2", …
	Tokens []string    // id → piece; byte-level pieces in GPT-2's alphabet
	Scores []float32   // llama and t5
	Types  []TokenType // one for each token
	Merges []string    // gpt2: "left right", in order

	BOS, EOS, UNK, PAD     int32 // -1: none
	AddBOS, AddEOS         bool
	AddSpacePrefix         bool
	RemoveExtraWhitespaces bool
	PrecompiledCharsmap    []byte
	ChatTemplate           string

	// Lost says, in a sentence each, what of the tokenizer these keys cannot express, so that a tokenizer made from
	// them would give other ids on some texts. Empty: they say everything. Model is "" if no model fits at all.
	Lost []string
}

// exportInfo is what Vocab needs beyond what encoding needs.
type exportInfo struct {
	vocab *Vocab // set if the tokenizer came from one

	scores     []float32     // SentencePiece
	norm       *spNormalizer // SentencePiece
	unigram    bool
	hidesBytes bool // there are byte pieces, but no byte fallback

	json  *jsonModel // tokenizer.json
	norms normalizerList
	pre   preTokenizerList
	added []addedToken
	dec   decoderRules
}

// cutMerge splits "a b": pieces in files that write merges so have no spaces of their own.
func cutMerge(s string) (left, right string, ok bool) {
	left, right, ok = strings.Cut(s, " ")
	return left, right, ok && left != "" && right != "" && !strings.Contains(right, " ")
}

// Vocab returns the tokenizer as GGUF metadata. The slices may be shared with the tokenizer: do not write to them.
func (t *Tokenizer) Vocab() Vocab {
	if t.export.vocab != nil {
		return *t.export.vocab
	}
	v := Vocab{Types: t.types, BOS: t.bos, EOS: t.eos, UNK: t.unk, PAD: t.pad, AddBOS: t.AddBOS(), AddEOS: t.AddEOS(),
		ChatTemplate: t.chatTemplate}
	v.Tokens = make([]string, len(t.tokens))
	for id, piece := range t.tokens {
		v.Tokens[id] = piece
		if piece == "" {
			v.Tokens[id] = fmt.Sprintf("[PAD%d]", id) // an id without a token, spelled as llama.cpp's converter does
		}
	}
	if len(t.prefix) > 1 || len(t.prefix) == 1 && !v.AddBOS || len(t.suffix) > 1 || len(t.suffix) == 1 && !v.AddEOS {
		v.Lost = append(v.Lost, "special tokens other than one BOS in front and one EOS behind are added")
	}
	if t.export.norm != nil {
		t.exportSentencePiece(&v)
		return v
	}
	for _, tok := range t.export.added {
		if tok.LStrip || tok.RStrip || tok.SingleWord || tok.Normalized && len(t.normalizers) > 0 {
			v.Lost = append(v.Lost, fmt.Sprintf("added token %q has lstrip, rstrip, single_word or normalized set", tok.Content))
		}
	}
	switch {
	case t.export.json.kind == "Unigram":
		t.exportUnigram(&v)
	case t.export.dec.byteLevel && t.spelling != nil:
		t.exportByteLevel(&v)
	default:
		t.exportMergesAsScores(&v)
	}
	return v
}

func (t *Tokenizer) exportSentencePiece(v *Vocab) {
	n := t.export.norm
	v.Model = "llama"
	if t.export.unigram {
		v.Model = "t5"
	}
	v.Scores = t.export.scores
	v.AddSpacePrefix, v.RemoveExtraWhitespaces, v.PrecompiledCharsmap = n.dummyPrefix, n.removeExtra, n.charsmapBytes
	if t.export.hidesBytes {
		v.Lost = append(v.Lost, "there are byte pieces, but no byte fallback")
	}
	if !n.escape {
		v.Lost = append(v.Lost, "spaces are not escaped")
	}
}

// exportByteLevel: the pre-tokenizer must be one that GGUF has a name for.
func (t *Tokenizer) exportByteLevel(v *Vocab) {
	v.Model = "gpt2"
	for _, p := range t.export.json.merges {
		v.Merges = append(v.Merges, p[0]+" "+p[1])
	}
	b := t.export.json.bpe
	var exact bool
	v.Pre, exact = preName(t.export.pre.names, t.export.norms.names, b.ignoreMerges)
	if v.Pre == "" {
		v.Model = ""
	}
	if !exact {
		v.Lost = append(v.Lost, fmt.Sprintf("no GGUF pre-tokenizer is %q after the normalizers %q with ignore_merges %v",
			t.export.pre.names, t.export.norms.names, b.ignoreMerges))
	}
	if v.AddSpacePrefix = t.export.pre.prefixSpace; v.AddSpacePrefix && t.export.pre.names[0] != "PrefixSpace" {
		v.Lost = append(v.Lost, "a space is put in front of each part of the text")
	}
	if b.unk >= 0 && slices.ContainsFunc(t.spelling.spelling[:], func(s string) bool { _, ok := b.ids[s]; return !ok }) {
		v.Lost = append(v.Lost, "bytes without a piece become the unknown token")
	}
	if b.subPrefix != "" || b.wordSuffix != "" || b.byteFallback {
		v.Lost = append(v.Lost, "the merges have a subword prefix, a word suffix or byte fallback")
	}
}

// exportUnigram: only SentencePiece's own normalization and one space in front can be said.
func (t *Tokenizer) exportUnigram(v *Vocab) {
	v.Model = "t5"
	v.Scores = make([]float32, len(v.Tokens))
	for id, s := range t.export.json.scores {
		v.Scores[id] = float32(s)
	}
	for _, n := range t.export.norms.list {
		if p, ok := n.(precompiledNormalizer); ok {
			v.PrecompiledCharsmap = p.raw
		}
	}
	v.AddSpacePrefix, v.RemoveExtraWhitespaces = true, true
	v.Lost = append(v.Lost, "the normalizers and pre-tokenizers of a Unigram tokenizer.json are taken for SentencePiece's own; prefer tokenizer.model")
}

// exportMergesAsScores writes merges as SentencePiece scores: the earlier the merge, the higher the score.
func (t *Tokenizer) exportMergesAsScores(v *Vocab) {
	v.Model = "llama"
	m := t.export.json
	v.Scores = make([]float32, len(v.Tokens))
	rank := make(map[int32]int, len(m.merges)) // merged token → order of its first merge among tokens
	for _, p := range m.merges {
		id := m.ids[p[0]+p[1]]
		if _, ok := rank[id]; !ok {
			rank[id] = len(rank)
		}
	}
	for id := range v.Scores {
		if r, ok := rank[int32(id)]; ok {
			v.Scores[id] = -float32(r)
		}
	}
	switch fmt.Sprint(t.export.norms.names, t.export.pre.names) {
	case "[Prepend Replace] []", "[] [Metaspace]":
		v.AddSpacePrefix = true
	case "[Replace] []":
	default:
		if len(t.export.norms.names) != 1 || t.export.norms.names[0] != "Replace" || !spacesOnly(t.export.pre.names) {
			v.Lost = append(v.Lost, fmt.Sprintf("normalizers %q with pre-tokenizers %q", t.export.norms.names, t.export.pre.names))
		}
	}
	for _, n := range t.export.norms.list {
		if r, ok := n.(replaceNormalizer); ok && r != (replaceNormalizer{" ", spaceMark}) {
			v.Lost = append(v.Lost, fmt.Sprintf("%q is replaced by %q", r.old, r.new))
		}
	}
	for _, p := range t.export.pre.list {
		if p, ok := p.(*metaspace); ok {
			v.AddSpacePrefix = p.scheme != "never"
			if p.scheme == "first" {
				v.Lost = append(v.Lost, "a space is put in front of the whole text only, not behind special tokens")
			}
		}
	}
	if err := m.scoresTellMerges(rank); err != nil {
		v.Lost = append(v.Lost, err.Error())
	}
	if m.unk < 0 {
		v.Model = ""
		v.Lost = append(v.Lost, "there is no unknown token")
	}
}

// spacesOnly: the pre-tokenizer cuts at spaces that the normalizer has already replaced, so it never cuts.
func spacesOnly(names []string) bool {
	return len(names) == 1 && strings.HasPrefix(names[0], `String " " `)
}

// scoresTellMerges checks that joining by scores does what the merges do: every way to make a merged token of two
// others is a merge, and the merges of one token stand together.
func (m *jsonModel) scoresTellMerges(rank map[int32]int) error {
	if b := m.bpe; b.ignoreMerges || b.subPrefix != "" || b.wordSuffix != "" || !b.fuseUnk && !b.byteFallback {
		return errors.New("ignore_merges, a subword prefix, a word suffix or unknown tokens that are not fused")
	}
	last := -1
	seen := make(map[[2]string]bool, len(m.merges))
	for _, p := range m.merges {
		r := rank[m.ids[p[0]+p[1]]]
		if r < last {
			return fmt.Errorf("the merges of %q do not stand together", p[0]+p[1])
		}
		last = r
		seen[p] = true
	}
	for piece, id := range m.ids {
		if id == m.unk || m.bpe.byteIDs[0] >= 0 && len(piece) == 6 && piece[:3] == "<0x" {
			continue
		}
		for i := range piece {
			if i == 0 {
				continue
			}
			_, left := m.ids[piece[:i]]
			_, right := m.ids[piece[i:]]
			if left && right && !seen[[2]string{piece[:i], piece[i:]}] {
				return fmt.Errorf("%q could be made of %q and %q by scores, but there is no such merge", piece, piece[:i], piece[i:])
			}
		}
	}
	return nil
}
