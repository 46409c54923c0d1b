package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/internal/sharedtest"
)

// trickyStrings is testdata/trained/strings.json.
func trickyStrings(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "trained", "strings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// trained opens one of the small tokenizers in testdata/trained.
func trained(t testing.TB, name string) *Tokenizer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "trained", name))
	if err != nil {
		t.Fatal(err)
	}
	var tok *Tokenizer
	if strings.HasSuffix(name, ".json") {
		tok, err = FromJSON(b, nil)
	} else {
		tok, err = FromSentencePiece(b, nil)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tok
}

func sameIDs(t *testing.T, name string, want, got *Tokenizer, texts []string) {
	t.Helper()
	for _, special := range []bool{false, true} {
		for _, s := range texts {
			o := EncodeOptions{AddSpecial: true, ParseSpecial: special}
			a, b := want.Encode(s, o), got.Encode(s, o)
			if !slices.Equal(a, b) {
				t.Errorf("%s: %q (special %v): %v from the file, %v from its vocabulary", name, s, special, a, b)
				return
			}
			if want.Decode(a) != got.Decode(a) {
				t.Errorf("%s: %q decodes to %q and %q", name, s, want.Decode(a), got.Decode(a))
				return
			}
		}
	}
}

func TestVocabWithoutLossesMakesAnEqualTokenizer(t *testing.T) {
	for name, pre := range map[string]string{"gpt2.json": "gpt-2", "llama3.json": "llama-bpe", "qwen2.json": "qwen2", "cl100k.json": "dbrx",
		"o200k.json": "gpt-4o", "smollm.json": "smollm", "deepseek3.json": "deepseek-v3", "deepseek-coder.json": "deepseek-coder",
		"sp-unigram.model": "", "sp-unigram-bytes.model": "", "sp-bpe-user.model": "", "sp-bpe-unk.model": "", "sp-bpe-rules.model": "", "sp-unigram-rules.model": ""} {
		tok := trained(t, name)
		v := tok.Vocab()
		if len(v.Lost) > 0 || v.Pre != pre {
			t.Errorf("%s: pre-tokenizer %q, want %q; lost: %q", name, v.Pre, pre, v.Lost)
			continue
		}
		again, err := FromVocab(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameIDs(t, name, tok, again, trickyStrings(t))
	}
}

func TestVocabOfTheSharedModelsMakesAnEqualTokenizer(t *testing.T) {
	texts := trickyStrings(t)
	for _, file := range []string{"tinystories_200k.txt"} {
		b, err := os.ReadFile(sharedtest.Path(t, "text", file))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	for _, name := range []string{"stories260K", "babyllama-tok105", "pith-ref"} {
		for _, file := range []string{"tokenizer.json", "tokenizer.model"} {
			tok := openShared(t, "models/"+name+"/"+file)
			v := tok.Vocab()
			if v.Model != "llama" || len(v.Lost) > 0 {
				t.Errorf("%s/%s: model %q, lost: %q", name, file, v.Model, v.Lost)
				continue
			}
			again, err := FromVocab(v)
			if err != nil {
				t.Errorf("%s/%s: %v", name, file, err)
				continue
			}
			sameIDs(t, name+"/"+file, tok, again, texts)
		}
	}
}
