package tokenizer

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func bpeJSON(normalizer, pre, decoder, model string) string {
	return fmt.Sprintf(`{"added_tokens":[],"normalizer":%s,"pre_tokenizer":%s,"decoder":%s,"post_processor":null,"model":%s}`, normalizer, pre, decoder, model)
}

const tinyBPE = `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}`

func TestFilesThatCannotBeReadExactlyAreErrorsThatSayWhy(t *testing.T) {
	for _, c := range []struct{ name, json, want string }{
		{"not JSON", `{`, "unexpected end"},
		{"empty", `{}`, "there is none"},
		{"WordPiece", bpeJSON("null", "null", "null", `{"type":"WordPiece","vocab":{}}`), `"WordPiece" is not supported`},
		{"unknown pattern", bpeJSON("null", `{"type":"Split","pattern":{"Regex":"[a-z]+|\\s"},"behavior":"Isolated"}`, "null", tinyBPE), `Regex "[a-z]+|\\s"`},
		{"no pattern", bpeJSON("null", `{"type":"Split","behavior":"Isolated"}`, "null", tinyBPE), "no pattern"},
		{"unknown behavior", bpeJSON("null", `{"type":"Split","pattern":{"String":" "},"behavior":"Sideways"}`, "null", tinyBPE), `"Sideways"`},
		{"unknown pre-tokenizer", bpeJSON("null", `{"type":"UnicodeScripts"}`, "null", tinyBPE), `"UnicodeScripts"`},
		{"unknown normalizer", bpeJSON(`{"type":"BertNormalizer"}`, "null", "null", tinyBPE), `"BertNormalizer"`},
		{"regex in Replace", bpeJSON(`{"type":"Replace","pattern":{"Regex":"x+"},"content":""}`, "null", "null", tinyBPE), `Regex "x+"`},
		{"unknown decoder", bpeJSON("null", "null", `{"type":"CTC"}`, tinyBPE), `"CTC"`},
		{"dropout", bpeJSON("null", "null", "null", `{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}`), "dropout"},
		{"merge without left", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":0,"b":1},"merges":["c b"]}`), `"c" is not in the vocabulary`},
		{"merge without result", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}`), `"ab" is not in the vocabulary`},
		{"merge of three", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":0},"merges":["a a a"]}`), "two pieces"},
		{"pair of three", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":0},"merges":[["a","a","a"]]}`), "3 parts"},
		{"two tokens of one id", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}`), "both have the id 0"},
		{"negative id", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":-1},"merges":[]}`), "id -1"},
		{"id far outside", bpeJSON("null", "null", "null", `{"type":"BPE","vocab":{"a":2147483647},"merges":[]}`), "far outside"},
		{"unknown token absent", bpeJSON("null", "null", "null", `{"type":"BPE","unk_token":"<unk>","vocab":{"a":0},"merges":[]}`), "unk_token"},
		{"unk_id outside", bpeJSON("null", "null", "null", `{"type":"Unigram","unk_id":7,"vocab":[["a",0]]}`), "unk_id 7"},
		{"Unigram entry of one", bpeJSON("null", "null", "null", `{"type":"Unigram","unk_id":0,"vocab":[["a"]]}`), "not [piece, score]"},
		{"template id outside", strings.Replace(bpeJSON("null", "null", "null", tinyBPE), `"post_processor":null`,
			`"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[99]}}}`, 1), "token id 99"},
		{"added token elsewhere", strings.Replace(bpeJSON("null", "null", "null", tinyBPE), `"added_tokens":[]`, `"added_tokens":[{"id":5,"content":"a"}]`, 1), `"a" has the id 5`},
	} {
		_, err := FromJSON([]byte(c.json), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tokenizer.json") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := FromJSON([]byte(bpeJSON("null", "null", "null", tinyBPE)), []byte(`{"bos_token":"<bos>"}`)); err == nil || !strings.Contains(err.Error(), "<bos>") {
		t.Errorf("a BOS that is not in the vocabulary: %v", err)
	}
	nested := strings.Repeat(`{"type":"Sequence","normalizers":[`, 40) + strings.Repeat("]}", 40)
	if _, err := FromJSON([]byte(bpeJSON(nested, "null", "null", tinyBPE)), nil); err == nil || !strings.Contains(err.Error(), "Sequences") {
		t.Errorf("40 nested Sequences: %v", err)
	}
}

// protobuf writers for hostile models
func protoBytes(field int, b []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(field)<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(b))), b...)
}

func protoVarint(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func spPiece(piece string, typ uint64) []byte {
	body := append(protoBytes(1, []byte(piece)), 2<<3|5, 0, 0, 0, 0)
	return protoBytes(1, append(body, protoVarint(3, typ)...))
}

func TestMalformedSentencePieceModelsAreErrors(t *testing.T) {
	unk, a := spPiece("<unk>", 2), spPiece("a", 1)
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	charsmap := func(b []byte) []byte { return protoBytes(3, protoBytes(2, b)) }
	bpe := protoBytes(2, protoVarint(3, 2))
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no pieces"},
		{"text", []byte("hello world"), "protobuf"},
		{"length beyond the file", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, "truncated"},
		{"varint without end", []byte{0x08, 0x80, 0x80}, "truncated"},
		{"byte token with a sign", join(unk, spPiece("<0x-1>", 6)), "<0x00> to <0xFF>"},
		{"byte token in lower case", join(unk, spPiece("<0xab>", 6)), "<0x00> to <0xFF>"},
		{"byte token too long", join(unk, spPiece("<0x100>", 6)), "<0x00> to <0xFF>"},
		{"byte token twice", join(unk, spPiece("<0x41>", 6), spPiece("<0x41>", 6)), "both"},
		{"type 9", join(unk, spPiece("b", 9)), "token type 9"},
		{"piece twice", join(unk, a, a), "both"},
		{"empty piece", join(unk, spPiece("", 1)), "empty"},
		{"invalid UTF-8", join(unk, spPiece("\xff", 1)), "UTF-8"},
		{"no unknown piece", a, "no unknown token"},
		{"two unknown pieces", join(unk, spPiece("<u>", 2)), "second unknown"},
		{"word model", join(unk, a, protoBytes(2, protoVarint(3, 3))), "model type 3"},
		{"byte fallback without bytes", join(unk, a, bpe, protoBytes(2, protoVarint(35, 1))), "<0x00>"},
		{"white space as suffix", join(unk, a, protoBytes(2, protoVarint(24, 1))), "suffix"},
		{"charsmap of 3 bytes", join(unk, a, charsmap([]byte{1, 2, 3})), "charsmap"},
		{"charsmap longer than itself", join(unk, a, charsmap([]byte{255, 255, 255, 255, 0})), "charsmap"},
		{"score as a varint", join(unk, protoBytes(1, join(protoBytes(1, []byte("b")), protoVarint(2, 7)))), "wire type"},
	} {
		_, err := FromSentencePiece(c.data, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tokenizer.model") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	// A trie that points anywhere is harmless.
	wild := binary.LittleEndian.AppendUint32(nil, 1024)
	for i := range 256 {
		wild = binary.LittleEndian.AppendUint32(wild, uint32(i)*0x9E3779B1)
	}
	if tok, err := FromSentencePiece(join(unk, a, charsmap(append(wild, "x\x00"...))), nil); err == nil {
		tok.Encode(fuzzText, EncodeOptions{})
	}
}

func TestGGUFVocabulariesAreChecked(t *testing.T) {
	good := func() Vocab {
		return Vocab{Model: "llama", Tokens: []string{"<unk>", "a", "b", "ab"}, Scores: []float32{0, -1, -2, -3},
			Types: []TokenType{Unknown, Normal, Normal, Normal}, BOS: -1, EOS: -1, UNK: 0, PAD: -1}
	}
	if _, err := FromVocab(good()); err != nil {
		t.Fatal(err)
	}
	bytesBPE := func(v *Vocab) {
		*v = Vocab{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"}, BOS: -1, EOS: -1, UNK: -1, PAD: -1}
	}
	for _, c := range []struct {
		name   string
		change func(*Vocab)
		want   string
	}{
		{"no tokens", func(v *Vocab) { v.Tokens = nil }, "no tokens"},
		{"unknown model", func(v *Vocab) { v.Model = "rwkv" }, `"rwkv"`},
		{"too few scores", func(v *Vocab) { v.Scores = v.Scores[:2] }, "2 scores"},
		{"too few types", func(v *Vocab) { v.Types = v.Types[:2] }, "2 token types"},
		{"type 0", func(v *Vocab) { v.Types[1] = 0 }, "token type 0"},
		{"BOS outside", func(v *Vocab) { v.BOS = 4 }, "bos token id 4"},
		{"EOS negative", func(v *Vocab) { v.EOS = -2 }, "eos token id -2"},
		{"BOS to be added, none there", func(v *Vocab) { v.AddBOS = true }, "there is none"},
		{"byte token with a sign", func(v *Vocab) { v.Tokens[3], v.Types[3] = "<0x-1>", Byte }, "<0x00> to <0xFF>"},
		{"one byte token only", func(v *Vocab) { v.Tokens[3], v.Types[3] = "<0x41>", Byte }, "<0x00>"},
		{"score not a number", func(v *Vocab) { v.Scores[1] /= 0; v.Scores[1] -= v.Scores[1] }, "not a number"},
		{"token twice", func(v *Vocab) { v.Tokens[3] = "a" }, "both"},
		{"broken charsmap", func(v *Vocab) { v.PrecompiledCharsmap = []byte{9} }, "charsmap"},
		{"unknown pre-tokenizer", func(v *Vocab) { bytesBPE(v); v.Pre = "nonsense" }, `"nonsense"`},
		{"no merges", func(v *Vocab) { bytesBPE(v); v.Merges = nil }, "no merges"},
		{"merge of a stranger", func(v *Vocab) { bytesBPE(v); v.Merges = []string{"a c"} }, `"c" is not in the vocabulary`},
		{"merge without space", func(v *Vocab) { bytesBPE(v); v.Merges = []string{"ab"} }, "two pieces"},
	} {
		v := good()
		c.change(&v)
		if _, err := FromVocab(v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// Nothing is quadratic in a text without spaces, and memory stays a small multiple of the text.
func TestOneLongWordTakesTimeAndMemoryInProportion(t *testing.T) {
	const size = 1 << 18
	for _, name := range []string{"gpt2.json", "gemma.json", "sp-bpe-user.model", "sp-unigram.model", "unigram.json", "o200k.json"} {
		tok := trained(t, name)
		for what, s := range map[string]string{"letters": strings.Repeat("ab", size/2), "spaces": strings.Repeat(" ", size), "newlines": strings.Repeat("\n", size)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			tok.Encode(s, EncodeOptions{ParseSpecial: true})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 400*size {
				t.Errorf("%s: 256 kB of %s took %d MB of memory", name, what, used>>20)
			}
			if took > 20*time.Second {
				t.Errorf("%s: 256 kB of %s took %v", name, what, took)
			}
		}
	}
}
