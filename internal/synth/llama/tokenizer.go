package llama

import "fmt"

// vocabulary is a byte-fallback BPE in the manner of SentencePiece: <unk>, <s>, </s>, the 256 bytes, the printable ASCII
// characters and the space marker, then merges of lower-case letters (pairs, triples, then the same after a space, then four letters)
// until size pieces are there.
type vocabulary struct {
	pieces []string
	merges [][2]string
}

const space = "\u2581" // the marker SentencePiece writes for a blank

// newVocabulary returns the first size pieces; at least 354 are needed, at most 493,834 exist.
func newVocabulary(size int) (vocabulary, error) {
	var v vocabulary
	v.pieces = append(v.pieces, "<unk>", "<s>", "</s>")
	for b := range 256 {
		v.pieces = append(v.pieces, fmt.Sprintf("<0x%02X>", b))
	}
	v.pieces = append(v.pieces, space)
	for c := '!'; c <= '~'; c++ {
		v.pieces = append(v.pieces, string(c))
	}
	if size < len(v.pieces) {
		return v, fmt.Errorf("a vocabulary of %d is too small; the bytes and characters take %d", size, len(v.pieces))
	}
	var pairs, triples [][2]string
	for a := 'a'; a <= 'z'; a++ {
		for b := 'a'; b <= 'z'; b++ {
			pairs = append(pairs, [2]string{string(a), string(b)})
		}
	}
	for _, p := range pairs {
		for c := 'a'; c <= 'z'; c++ {
			triples = append(triples, [2]string{p[0] + p[1], string(c)})
		}
	}
	for _, list := range [][][2]string{pairs, triples} {
		v.merge(size, list)
	}
	for _, list := range [][][2]string{pairs, triples} {
		for _, m := range list {
			v.merge(size, [][2]string{{space, m[0] + m[1]}})
		}
	}
	for _, t := range triples {
		for c := 'a'; c <= 'z' && len(v.pieces) < size; c++ {
			v.merge(size, [][2]string{{t[0] + t[1], string(c)}})
		}
	}
	if len(v.pieces) < size {
		return v, fmt.Errorf("a vocabulary of %d is too large; %d pieces exist", size, len(v.pieces))
	}
	return v, nil
}

func (v *vocabulary) merge(size int, list [][2]string) {
	for _, m := range list {
		if len(v.pieces) == size {
			return
		}
		v.pieces = append(v.pieces, m[0]+m[1])
		v.merges = append(v.merges, m)
	}
}

// tokenizerJSON returns the tokenizer in the layout of Hugging Face's tokenizers library.
func (v vocabulary) tokenizerJSON() map[string]any {
	ids := make(map[string]int, len(v.pieces))
	for i, p := range v.pieces {
		ids[p] = i
	}
	var added []map[string]any
	for i, p := range v.pieces[:3] {
		added = append(added, map[string]any{"id": i, "content": p, "single_word": false, "lstrip": false, "rstrip": false,
			"normalized": false, "special": true})
	}
	bos := map[string]any{"SpecialToken": map[string]any{"id": "<s>", "type_id": 0}}
	piece := func(id string, n int) map[string]any {
		return map[string]any{"Sequence": map[string]any{"id": id, "type_id": n}}
	}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": map[string]any{"type": "Sequence", "normalizers": []any{
			map[string]any{"type": "Prepend", "prepend": space},
			map[string]any{"type": "Replace", "pattern": map[string]any{"String": " "}, "content": space}}},
		"pre_tokenizer": nil,
		"post_processor": map[string]any{"type": "TemplateProcessing",
			"single": []any{bos, piece("A", 0)}, "pair": []any{bos, piece("A", 0), bos, piece("B", 1)},
			"special_tokens": map[string]any{"<s>": map[string]any{"id": "<s>", "ids": []int{1}, "tokens": []string{"<s>"}}}},
		"decoder": map[string]any{"type": "Sequence", "decoders": []any{
			map[string]any{"type": "Replace", "pattern": map[string]any{"String": space}, "content": " "},
			map[string]any{"type": "ByteFallback"}, map[string]any{"type": "Fuse"},
			map[string]any{"type": "Strip", "content": " ", "start": 1, "stop": 0}}},
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil,
			"end_of_word_suffix": nil, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": ids, "merges": v.merges},
	}
}

// tokenizerConfig returns the content of tokenizer_config.json.
func tokenizerConfig() map[string]any {
	return map[string]any{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": false, "bos_token": "<s>",
		"eos_token": "</s>", "unk_token": "<unk>", "clean_up_tokenization_spaces": false, "legacy": true}
}
