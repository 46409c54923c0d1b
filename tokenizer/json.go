package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
)

// maxNesting bounds Sequences within Sequences in a tokenizer.json.
const maxNesting = 8

// maxHoles is how many ids of a vocabulary may have no token.
const maxHoles = 1 << 16

// FromJSON reads a tokenizer.json. tokenizerConfig is the text of tokenizer_config.json, nil if there is none.
// Truncation and padding settings in the file are not applied: Encode always returns the whole text.
func FromJSON(tokenizerJSON, tokenizerConfig []byte) (*Tokenizer, error) {
	cfg, err := parseConfig(tokenizerConfig)
	if err != nil {
		return nil, err
	}
	t, err := newFromJSON(tokenizerJSON, cfg)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func newFromJSON(data []byte, cfg *config) (*Tokenizer, error) {
	var file struct {
		Added         []addedToken    `json:"added_tokens"`
		Normalizer    json.RawMessage `json:"normalizer"`
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor json.RawMessage `json:"post_processor"`
		Decoder       json.RawMessage `json:"decoder"`
		Model         json.RawMessage `json:"model"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	m, err := parseModel(file.Model)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	t, err := m.tokenizer(file.Added)
	if err != nil {
		return nil, err
	}
	var norm normalizerList
	if err := norm.parse(file.Normalizer, 0); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	t.normalizers = norm.list
	var pre preTokenizerList
	if err := pre.parse(file.PreTokenizer, 0); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	t.setPreTokenizers(pre.list)
	if t.prefix, t.suffix, err = parsePostProcessor(file.PostProcessor, 0); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	for _, id := range append(t.prefix[:len(t.prefix):len(t.prefix)], t.suffix...) {
		if id < 0 || int(id) >= t.Size() {
			return nil, fmt.Errorf("post_processor: token id %d is outside the vocabulary of %d", id, t.Size())
		}
	}
	var dec decoderRules
	if err := dec.parse(file.Decoder, 0); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	t.applyDecoder(dec, m.byteFallback)
	t.addTokens(file.Added)
	t.model = m.model
	t.export = exportInfo{json: m, norms: norm, pre: pre, added: file.Added, dec: dec}
	if err := t.applyConfig(cfg, nil, nil); err != nil {
		return nil, err
	}
	t.guessSpecials()
	return t, nil
}

func (t *Tokenizer) setPreTokenizers(list []preTokenizer) {
	t.pre = list
	if n := len(list); n > 0 {
		if spelling, ok := list[n-1].(*byteSpelling); ok {
			t.pre, t.spelling = list[:n-1], spelling
		}
	}
}

// addTokens files the added tokens where the text is searched for them.
func (t *Tokenizer) addTokens(added []addedToken) {
	for _, tok := range added {
		if !tok.Normalized {
			t.rawAdded.add(tok.Content, tok)
			continue
		}
		pattern := tok.Content
		for _, n := range t.normalizers {
			pattern = n.normalize(pattern)
		}
		t.normalizedAdded.add(pattern, tok)
	}
}

// guessSpecials takes BOS and EOS from the post-processor where no configuration names them.
func (t *Tokenizer) guessSpecials() {
	if t.bos < 0 && len(t.prefix) > 0 {
		t.bos = t.prefix[0]
	}
	if t.eos < 0 && len(t.suffix) > 0 {
		t.eos = t.suffix[len(t.suffix)-1]
	}
}

// jsonModel is the "model" of a tokenizer.json, read and checked.
type jsonModel struct {
	kind         string // "BPE" or "Unigram"
	ids          map[string]int32
	scores       map[int32]float64 // Unigram
	merges       [][2]string       // BPE, in order
	bpe          *mergeBPE         // BPE
	model        model
	unk          int32 // -1: none
	byteFallback bool
}

func parseModel(b json.RawMessage) (*jsonModel, error) {
	var head struct {
		Type   string          `json:"type"`
		Merges json.RawMessage `json:"merges"`
	}
	if len(b) == 0 {
		return nil, errors.New("there is none")
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, err
	}
	if head.Type == "" && head.Merges != nil {
		head.Type = "BPE" // files of before 2020 do not say it
	}
	switch head.Type {
	case "BPE":
		return parseBPE(b)
	case "Unigram":
		return parseUnigram(b)
	}
	return nil, fmt.Errorf("type %q is not supported: only BPE and Unigram are", head.Type)
}

func parseBPE(b json.RawMessage) (*jsonModel, error) {
	var raw struct {
		Dropout      *float64         `json:"dropout"`
		UnkToken     *string          `json:"unk_token"`
		SubPrefix    *string          `json:"continuing_subword_prefix"`
		WordSuffix   *string          `json:"end_of_word_suffix"`
		FuseUnk      bool             `json:"fuse_unk"`
		ByteFallback bool             `json:"byte_fallback"`
		IgnoreMerges bool             `json:"ignore_merges"`
		Vocab        map[string]int32 `json:"vocab"`
		Merges       mergeList        `json:"merges"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	if raw.Dropout != nil && *raw.Dropout != 0 {
		return nil, fmt.Errorf("dropout %g makes encoding random; set it to null", *raw.Dropout)
	}
	m := &jsonModel{kind: "BPE", ids: raw.Vocab, merges: raw.Merges, unk: -1, byteFallback: raw.ByteFallback}
	bpe := &mergeBPE{ids: raw.Vocab, unk: -1, fuseUnk: raw.FuseUnk, byteFallback: raw.ByteFallback, ignoreMerges: raw.IgnoreMerges}
	if raw.UnkToken != nil && *raw.UnkToken != "" {
		id, ok := raw.Vocab[*raw.UnkToken]
		if !ok {
			return nil, fmt.Errorf("unk_token %q is not in the vocabulary", *raw.UnkToken)
		}
		m.unk, bpe.unk = id, id
	}
	if raw.SubPrefix != nil {
		bpe.subPrefix = *raw.SubPrefix
	}
	if raw.WordSuffix != nil {
		bpe.wordSuffix = *raw.WordSuffix
	}
	bpe.byteIDs = findByteIDs(raw.Vocab)
	if err := newMergeBPE(bpe, raw.Merges); err != nil {
		return nil, err
	}
	m.bpe, m.model = bpe, bpe
	return m, nil
}

// mergeList reads merges written as "a b" or as ["a", "b"].
type mergeList [][2]string

func (l *mergeList) UnmarshalJSON(b []byte) error {
	var pairs [][]string
	if json.Unmarshal(b, &pairs) == nil {
		*l = make(mergeList, len(pairs))
		for i, p := range pairs {
			if len(p) != 2 {
				return fmt.Errorf("merge %d has %d parts, not 2", i, len(p))
			}
			(*l)[i] = [2]string{p[0], p[1]}
		}
		return nil
	}
	var lines []string
	if err := json.Unmarshal(b, &lines); err != nil {
		return errors.New("merges must be strings \"a b\" or pairs [\"a\", \"b\"]")
	}
	*l = make(mergeList, len(lines))
	for i, line := range lines {
		left, right, ok := cutMerge(line)
		if !ok {
			return fmt.Errorf("merge %d (%q) is not two pieces separated by one space", i, line)
		}
		(*l)[i] = [2]string{left, right}
	}
	return nil
}

func parseUnigram(b json.RawMessage) (*jsonModel, error) {
	var raw struct {
		UnkID        *int32            `json:"unk_id"`
		ByteFallback bool              `json:"byte_fallback"`
		Vocab        []json.RawMessage `json:"vocab"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	if len(raw.Vocab) == 0 {
		return nil, errors.New("the vocabulary is empty")
	}
	m := &jsonModel{kind: "Unigram", ids: make(map[string]int32, len(raw.Vocab)), scores: make(map[int32]float64, len(raw.Vocab)),
		unk: -1, byteFallback: raw.ByteFallback}
	u := &jsonUnigram{ids: m.ids, scores: make([]float64, len(raw.Vocab)), trie: newTrie(), byteFallback: raw.ByteFallback, unk: -1}
	lowest := 0.0
	for i, entry := range raw.Vocab {
		var piece string
		pair := []any{&piece, &u.scores[i]}
		if err := json.Unmarshal(entry, &pair); err != nil || len(pair) != 2 {
			return nil, fmt.Errorf("vocabulary entry %d is not [piece, score]", i)
		}
		if other, ok := m.ids[piece]; ok {
			return nil, fmt.Errorf("vocabulary entries %d and %d are both %q", other, i, piece)
		}
		m.ids[piece], m.scores[int32(i)] = int32(i), u.scores[i]
		u.trie.insert(piece, int32(i))
		if i == 0 || u.scores[i] < lowest {
			lowest = u.scores[i]
		}
	}
	if raw.UnkID != nil {
		if *raw.UnkID < 0 || int(*raw.UnkID) >= len(raw.Vocab) {
			return nil, fmt.Errorf("unk_id %d is outside the vocabulary of %d", *raw.UnkID, len(raw.Vocab))
		}
		m.unk, u.unk = *raw.UnkID, *raw.UnkID
	}
	u.unknownScore = lowest - unknownPenalty
	u.byteIDs = findByteIDs(m.ids)
	m.model = u
	return m, nil
}

func findByteIDs(ids map[string]int32) (out [256]int32) {
	for b := range out {
		out[b] = -1
		if id, ok := ids[bytePiece(byte(b))]; ok {
			out[b] = id
		}
	}
	return out
}

// tokenizer lays out the vocabulary and the added tokens by id.
func (m *jsonModel) tokenizer(added []addedToken) (*Tokenizer, error) {
	ids := make(map[string]int32, len(m.ids)+len(added))
	size := 0
	limit := len(m.ids) + len(added) + maxHoles
	put := func(piece string, id int32) error {
		if id < 0 || int(id) >= limit {
			return fmt.Errorf("token %q has the id %d, far outside a vocabulary of %d", piece, id, len(m.ids)+len(added))
		}
		ids[piece] = id
		size = max(size, int(id)+1)
		return nil
	}
	for piece, id := range m.ids {
		if err := put(piece, id); err != nil {
			return nil, err
		}
	}
	for _, tok := range added {
		if id, ok := m.ids[tok.Content]; ok && id != tok.ID {
			return nil, fmt.Errorf("added token %q has the id %d here and %d in the vocabulary", tok.Content, tok.ID, id)
		}
		if err := put(tok.Content, tok.ID); err != nil {
			return nil, err
		}
	}
	tokens := make([]string, size)
	types := make([]TokenType, size)
	pieces := make([]string, 0, len(ids))
	for piece := range ids {
		pieces = append(pieces, piece)
	}
	sort.Strings(pieces)
	for _, piece := range pieces {
		id := ids[piece]
		if types[id] != 0 {
			return nil, fmt.Errorf("tokens %q and %q both have the id %d", tokens[id], piece, id)
		}
		tokens[id], types[id] = piece, Normal
		if _, err := parseBytePiece(piece); err == nil && m.byteFallback {
			types[id] = Byte
		}
	}
	for _, tok := range added {
		types[tok.ID] = UserDefined
		if tok.Special {
			types[tok.ID] = Control
		}
	}
	if m.unk >= 0 {
		types[m.unk] = Unknown
	}
	for id := range types {
		if types[id] == 0 {
			types[id] = Unused
		}
	}
	t := newTokenizer(tokens, types, ids)
	t.unk = m.unk
	return t, nil
}
