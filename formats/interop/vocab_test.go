package interop

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/internal/sharedtest"
	"pith/tokenizer"
)

// testTokenizer has n tokens: <unk>, <s>, </s> and single characters.
func testTokenizer(t *testing.T, n int) *tokenizer.Tokenizer {
	t.Helper()
	v := tokenizer.Vocab{Model: "llama", Tokens: []string{"<unk>", "<s>", "</s>", "▁"}, Scores: make([]float32, n), BOS: 1, EOS: 2, UNK: 0, PAD: -1, AddBOS: true, AddSpacePrefix: true,
		Types: []tokenizer.TokenType{tokenizer.Unknown, tokenizer.Control, tokenizer.Control, tokenizer.Normal}}
	for c := rune('a'); len(v.Tokens) < n; c++ {
		v.Tokens = append(v.Tokens, string(c))
		v.Types = append(v.Types, tokenizer.Normal)
	}
	tok, err := tokenizer.FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTokenizersOfTheSharedModelsSurviveTheTripThroughGGUF(t *testing.T) {
	texts := []string{"", " ", "a", "Once upon a time, there was a little girl.", "  two  spaces\n\nand\tlines ", "naïve café 日本 🦙", "<s>not special</s>", "1234567890"}
	for _, name := range []string{"pith-ref", "stories260K", "babyllama-tok105"} {
		dir := sharedtest.Path(t, "models", name)
		tok, err := tokenizer.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		kv, err := vocabKV(tok, tok.Size()+3, func(s string) { t.Errorf("%s: %s", name, s) })
		if err != nil {
			t.Fatal(err)
		}
		m := metadata{file: name, values: map[string]any{}}
		for _, e := range kv {
			m.values[e.Key] = e.Value
		}
		v, err := m.vocab()
		if err != nil {
			t.Fatal(err)
		}
		back, err := tokenizer.FromVocab(v)
		if err != nil {
			t.Fatal(err)
		}
		if back.Size() != tok.Size()+3 {
			t.Errorf("%s: %d tokens, want three rows of padding after %d", name, back.Size(), tok.Size())
		}
		for _, text := range texts {
			o := tokenizer.EncodeOptions{AddSpecial: true}
			if a, b := tok.Encode(text, o), back.Encode(text, o); !slices.Equal(a, b) {
				t.Errorf("%s: %q gives %v, gave %v", name, text, b, a)
			}
		}
	}
}

func TestHostileVocabulariesGiveAnErrorThatNamesTheKey(t *testing.T) {
	cases := []struct {
		name, key string
		v         any // nil: removed
	}{
		{"no tokenizer", "tokenizer.ggml.model", nil},
		{"model of no known kind", "tokenizer.ggml.model", "rwkv"},
		{"model a number", "tokenizer.ggml.model", uint32(1)},
		{"tokens missing", "tokenizer.ggml.tokens", nil},
		{"tokens an array of numbers", "tokenizer.ggml.tokens", []uint8{1, 2}},
		{"tokens a string", "tokenizer.ggml.tokens", "abc"},
		{"no token at all", "tokenizer.ggml.tokens", []string{}},
		{"scores an array of bytes, llama.cpp's issue 26690", "tokenizer.ggml.scores", []uint8{1, 2, 3, 4, 5, 6}},
		{"scores too few", "tokenizer.ggml.scores", []float32{0}},
		{"scores missing", "tokenizer.ggml.scores", nil},
		{"types an array of floats", "tokenizer.ggml.token_type", []float32{1, 1, 1, 1, 1, 1}},
		{"types an array of bytes", "tokenizer.ggml.token_type", []uint8{1, 1, 1, 1, 1, 1}},
		{"types too few", "tokenizer.ggml.token_type", []int32{1}},
		{"byte token that is no byte, llama.cpp's issue 25969", "tokenizer.ggml.token_type", []int32{2, 3, 3, 6, 1, 1}},
		{"BOS a string", "tokenizer.ggml.bos_token_id", "1"},
		{"BOS negative", "tokenizer.ggml.bos_token_id", int32(-5)},
		{"add_bos_token a number", "tokenizer.ggml.add_bos_token", uint32(1)},
		{"template an array", "tokenizer.chat_template", []string{"x"}},
		{"character map of floats", "tokenizer.ggml.precompiled_charsmap", []float32{1}},
		{"merges an array of numbers", "tokenizer.ggml.merges", []int32{1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kv := tiny()
			kv[c.key] = c.v
			if c.v == nil {
				delete(kv, c.key)
			}
			path := gguf(t, kv, tinyTensors())
			m, err := OpenGGUF(path)
			if err == nil {
				defer m.Close()
				_, err = m.Tokenizer()
			}
			if err == nil {
				t.Fatal("no error")
			}
			last := c.key[strings.LastIndex(c.key, ".")+1:]
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), last) && !strings.Contains(err.Error(), "token") {
				t.Errorf("error does not name the file and %s: %v", last, err)
			}
		})
	}
}

func TestSpecialIdsOutsideTheVocabularyCountAsAbsent(t *testing.T) {
	kv := tiny()
	kv["tokenizer.ggml.eos_token_id"] = uint32(1 << 30)
	kv["tokenizer.ggml.padding_token_id"] = uint32(7)
	m, err := OpenGGUF(gguf(t, kv, tinyTensors()))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	v, err := m.meta.vocab()
	if err != nil || v.EOS != 2 || v.PAD != -1 { // 2 is llama.cpp's default for this model
		t.Errorf("eos %d, pad %d, %v", v.EOS, v.PAD, err)
	}
}

func TestVocabulariesThatLlamaCppCannotLoadAreRefused(t *testing.T) {
	c, w := golden(t, "llama", nil)
	err := ExportGGUF(filepath.Join(t.TempDir(), "m.gguf"), c, testTokenizer(t, c.Vocab+1), w, GGUFOptions{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(c.Vocab)) {
		t.Errorf("more tokens than rows: %v", err)
	}
	if err := checkDistinct([]string{"a", "b", "a"}); err == nil || !strings.Contains(err.Error(), "0 and 2") {
		t.Errorf("the same piece twice: %v", err)
	}
}

func TestModelsWithoutATokenizerSayNone(t *testing.T) {
	kv, err := vocabKV(nil, 5, nil)
	if err != nil || len(kv) != 1 || kv[0].Value != "none" {
		t.Errorf("%v, %v", kv, err)
	}
}

func TestSentencePieceFilesGiveTheSameIds(t *testing.T) {
	text := "Once upon  a time,\n\nthere was naïve 日本 🦙 1234 <s>"
	for _, name := range []string{"pith-ref", "stories260K", "babyllama-tok105"} {
		tok, err := tokenizer.OpenDir(sharedtest.Path(t, "models", name))
		if err != nil {
			t.Fatal(err)
		}
		files, err := TokenizerFiles(tok.Vocab())
		if err != nil {
			t.Fatal(err)
		}
		back, err := tokenizer.FromSentencePiece(files["tokenizer.model"], files["tokenizer_config.json"])
		if err != nil {
			t.Fatal(err)
		}
		o := tokenizer.EncodeOptions{AddSpecial: true}
		if a, b := tok.Encode(text, o), back.Encode(text, o); !slices.Equal(a, b) {
			t.Errorf("%s: %v, want %v", name, b, a)
		}
	}
	if _, err := TokenizerFiles(tokenizer.Vocab{Model: "none"}); err == nil {
		t.Error("no vocabulary, but files")
	}
}
