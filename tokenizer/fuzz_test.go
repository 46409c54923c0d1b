package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzText is what a tokenizer that loads must survive.
const fuzzText = "Hello, world!  it's 12345\r\n\t今日 e\u0301 \u2581<s>\xff😀"

func checkLoaded(t *testing.T, tok *Tokenizer) {
	for _, o := range []EncodeOptions{{}, {true, true}} {
		ids := tok.Encode(fuzzText, o)
		for _, id := range ids {
			if id < 0 || int(id) >= tok.Size() {
				t.Fatalf("id %d of a vocabulary of %d", id, tok.Size())
			}
		}
		if s := tok.Decode(ids); !utf8.ValidString(s) {
			t.Fatalf("decoded text %q is not valid UTF-8", s)
		}
	}
	if again, err := FromVocab(tok.Vocab()); err == nil {
		again.Encode(fuzzText, EncodeOptions{true, true})
	}
}

func FuzzFromJSON(f *testing.F) {
	for _, normalizer := range []string{`null`, `{"type":"NFKC"}`, `{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}`,
		`{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAA="}`, `{"type":"Strip"}`, `{"type":"Lowercase"}`} {
		f.Add([]byte(bpeJSON(normalizer, "null", `{"type":"Metaspace","replacement":"▁"}`, tinyBPE)), []byte(`{"add_bos_token":true,"bos_token":{"content":"a"}}`))
	}
	for _, pre := range []string{`{"type":"ByteLevel","add_prefix_space":true}`, `{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}`,
		`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}{1,3}"},"behavior":"Contiguous"},{"type":"Digits"},{"type":"Punctuation"}]}`,
		`{"type":"Split","pattern":{"String":"a"},"behavior":"MergedWithNext","invert":true}`} {
		f.Add([]byte(bpeJSON("null", pre, `{"type":"ByteLevel"}`, tinyBPE)), []byte(`{}`))
	}
	f.Add([]byte(`{"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":4,"content":"<s>","lstrip":true,"rstrip":true,"normalized":true}],
"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"vocab":{"<unk>":0,"a":1,"b":2,"ab":3},"merges":[["a","b"]]}}`), []byte(`{}`))
	f.Add([]byte(bpeJSON("null", "null", "null", `{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["a",-1.5],["ab",-2]]}`)), []byte(`{}`))
	f.Fuzz(func(t *testing.T, data, config []byte) {
		tok, err := FromJSON(data, config)
		if err == nil {
			checkLoaded(t, tok)
		}
	})
}

func FuzzFromSentencePiece(f *testing.F) {
	var model []byte
	for _, p := range []struct {
		piece string
		typ   uint64
	}{{"<unk>", 2}, {"<s>", 3}, {"\u2581", 1}, {"l", 1}, {"ll", 5}, {"o", 1}, {"\u2581o", 1}, {"12", 4}} {
		model = append(model, spPiece(p.piece, p.typ)...)
	}
	f.Add(model)
	f.Add(append(model, protoBytes(2, protoVarint(3, 2))...))
	f.Add(append(model, protoBytes(3, protoBytes(2, []byte("\x08\x00\x00\x00\x00\x01\x00\x00\x01\x02\x00\x00a\x00")))...))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := FromSentencePiece(data, nil)
		if err == nil {
			checkLoaded(t, tok)
		}
	})
}

// FuzzEncode compares the heap with the definition (search all pairs, join the best, again) and checks that decoding
// gives the text back.
func FuzzEncode(f *testing.F) {
	merges := trained(f, "gpt2.json")
	spaced := trained(f, "gemma.json")
	scores := trained(f, "sp-bpe-user.model")
	unknown := trained(f, "sp-bpe-unk.model")
	for _, s := range trickyStrings(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 400 {
			return
		}
		s = validUTF8(s)
		if got := merges.Decode(merges.Encode(s, EncodeOptions{})); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
		var sc scratch
		for _, tok := range []*Tokenizer{merges, spaced} {
			m := tok.model.(*mergeBPE)
			word := strings.ReplaceAll(s, " ", spaceMark)
			if tok == merges {
				word = tok.spelling.respell(s)
			}
			if got, want := m.encode(nil, word, &sc), naiveMerges(m, word); !slices.Equal(got, want) {
				t.Fatalf("merges: %q gives %v, by the definition %v", word, got, want)
			}
		}
		for _, tok := range []*Tokenizer{scores, unknown} {
			m := tok.model.(*scoreBPE)
			word := strings.ReplaceAll(s, " ", spaceMark)
			want := naiveScores(m, word)
			if got := m.encode(nil, word, &sc); !slices.Equal(got, want) {
				t.Fatalf("scores: %q gives %v, by the definition %v", word, got, want)
			}
			// Cut into words, with the cache, the ids are the same.
			e := encoder{t: tok, useCache: true}
			e.word(word)
			if !slices.Equal(e.dst, want) {
				t.Fatalf("scores: %q cut into words gives %v, whole %v", word, e.dst, want)
			}
		}
	})
}

// naiveMerges applies, until none applies, the merge of the lowest rank at its leftmost place.
func naiveMerges(m *mergeBPE, word string) []int32 {
	var s scratch
	m.symbols(word, &s)
	var ids []int32
	for _, y := range s.symbols {
		ids = append(ids, y.id)
	}
	for {
		best, at := mergeRule{rank: 1 << 30}, -1
		for i := 1; i < len(ids); i++ {
			if rule, ok := m.merges[pairKey(ids[i-1], ids[i])]; ok && rule.rank < best.rank {
				best, at = rule, i-1
			}
		}
		if at < 0 {
			return ids
		}
		ids[at] = best.id
		ids = slices.Delete(ids, at+1, at+2)
	}
}

// naiveScores joins, until there is none, the pair whose piece has the highest score, the leftmost among equals.
func naiveScores(m *scoreBPE, word string) []int32 {
	type piece struct {
		text   string
		frozen bool
	}
	var list []piece
	for i := 0; i < len(word); {
		if n := m.userDefined.longest(word[i:]); n > 0 {
			list = append(list, piece{word[i : i+n], true})
			i += n
			continue
		}
		_, n := utf8.DecodeRuneInString(word[i:])
		list = append(list, piece{word[i : i+n], false})
		i += n
	}
	for {
		at, score := -1, float32(0)
		for i := 1; i < len(list); i++ {
			if list[i-1].frozen || list[i].frozen {
				continue
			}
			id, ok := m.pieces[list[i-1].text+list[i].text]
			if ok && (at < 0 || m.scores[id] > score) {
				at, score = i-1, m.scores[id]
			}
		}
		if at < 0 {
			break
		}
		list[at].text += list[at+1].text
		list = slices.Delete(list, at+1, at+2)
	}
	out := piecesOut{byteIDs: &m.byteIDs, byteFallback: m.byteFallback, unk: m.unk}
	for _, p := range list {
		if id, ok := m.pieces[p.text]; ok {
			out.known(id)
		} else {
			out.unknown(p.text)
		}
	}
	return out.dst
}
