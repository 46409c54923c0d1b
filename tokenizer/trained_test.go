package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// testdata/trained/ids.tsv holds what the reference implementations make of strings.json; see testdata/README.md.
func TestIDsEqualTheReferenceOnTrickyStrings(t *testing.T) {
	table, err := os.ReadFile(filepath.Join("testdata", "trained", "ids.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	texts := trickyStrings(t)
	tokenizers := make(map[string]*Tokenizer)
	for _, row := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		f := strings.Split(row, "\t")
		tok := tokenizers[f[0]]
		if tok == nil {
			tok = trained(t, f[0])
			tokenizers[f[0]] = tok
		}
		encode := func(s string) []int32 {
			return tok.Encode(s, EncodeOptions{ParseSpecial: f[1] != "plain", AddSpecial: f[1] == "added"})
		}
		if f[2] == "all" {
			if _, sum := digest(texts, encode); sum != f[3] {
				t.Errorf("%s (%s): the digest over all strings is %s, want %s", f[0], f[1], sum, f[3])
			}
			continue
		}
		i, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Trim(fmt.Sprint(encode(texts[i])), "[]"); got != f[3] {
			t.Errorf("%s (%s): %q gives\n %s, want\n %s", f[0], f[1], texts[i], got, f[3])
		}
	}
	if len(tokenizers) != 22 {
		t.Errorf("%d tokenizers were compared, not 22", len(tokenizers))
	}
}

// Byte-level and byte-fallback vocabularies lose nothing; what may differ is said for each group.
func TestDecodingTheIDsGivesTheTextBack(t *testing.T) {
	for name, normalize := range map[string]func(string) string{
		"gpt2.json": nil, "llama3.json": nil, "cl100k.json": nil, "o200k.json": nil, "tekken.json": nil, "smollm.json": nil,
		"deepseek3.json": nil, "deepseek-coder.json": nil, "qwen35.json": nil,
		"qwen2.json": func(s string) string { return formNormalizer{norm.NFC}.normalize(s) },
		// U+2581 reads as a space: SentencePiece's escape is not escaped itself.
		"gemma.json":             func(s string) string { return strings.ReplaceAll(s, spaceMark, " ") },
		"sp-unigram-bytes.model": func(s string) string { return strings.ReplaceAll(s, spaceMark, " ") },
		"sp-bpe-user.model":      func(s string) string { return strings.ReplaceAll(s, spaceMark, " ") },
	} {
		tok := trained(t, name)
		for _, s := range trickyStrings(t) {
			ids := tok.Encode(s, EncodeOptions{})
			want := s
			if normalize != nil {
				want = normalize(s)
			}
			if got := tok.Decode(ids); got != want {
				t.Errorf("%s: %q came back as %q", name, want, got)
			}
			var raw []byte
			for _, id := range ids {
				raw = append(raw, tok.TokenBytes(id)...)
			}
			if got := string(raw); got != want && got != " "+want {
				t.Errorf("%s: the bytes of the tokens of %q are %q", name, want, got)
			}
		}
	}
}

func TestAStreamNeverSplitsACharacterAndEqualsDecode(t *testing.T) {
	for _, name := range []string{"gpt2.json", "gemma.json", "sp-bpe-user.model", "metaspace-first.json"} {
		tok := trained(t, name)
		for _, s := range trickyStrings(t) {
			ids := tok.Encode(s, EncodeOptions{})
			d := tok.NewDecoder()
			var got strings.Builder
			for _, id := range ids {
				piece := d.Next(id)
				if strings.ContainsRune(piece, '\ufffd') {
					t.Fatalf("%s: %q: half a character was put out", name, s)
				}
				got.WriteString(piece)
			}
			got.WriteString(d.Flush())
			if got.String() != tok.Decode(ids) {
				t.Errorf("%s: the stream gave %q, Decode %q", name, got.String(), tok.Decode(ids))
			}
		}
	}
}

func TestDecodeMarksBytesThatAreNoCharacter(t *testing.T) {
	tok := trained(t, "gpt2.json")
	ids := tok.Encode("日", EncodeOptions{})
	lone := []int32{}
	for id := int32(0); int(id) < tok.Size(); id++ {
		if string(tok.TokenBytes(id)) == "\xe6" {
			lone = append(lone, id)
		}
	}
	if len(lone) != 1 {
		t.Fatalf("%d tokens for the byte E6", len(lone))
	}
	if got := tok.Decode(append(lone, ids...)); got != "\ufffd日" {
		t.Errorf("a lone first byte before a character: %q", got)
	}
	if got := tok.Decode(lone); got != "\ufffd" {
		t.Errorf("a lone first byte at the end: %q", got)
	}
	if got := tok.Decode([]int32{-1, 1 << 30}); got != "" || tok.TokenBytes(-1) != nil || tok.TokenBytes(1<<30) != nil {
		t.Errorf("ids out of range decode to %q", got)
	}
}
