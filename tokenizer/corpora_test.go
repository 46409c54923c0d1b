package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pith/internal/sharedtest"
)

// digest writes ids as decimal numbers with spaces between them and a newline behind, and hashes that.
func digest(texts []string, encode func(string) []int32) (ids int, sum string) {
	h := sha256.New()
	var line []byte
	for _, s := range texts {
		line = line[:0]
		for i, id := range encode(s) {
			if i > 0 {
				line = append(line, ' ')
			}
			line = strconv.AppendInt(line, int64(id), 10)
			ids++
		}
		h.Write(append(line, '\n'))
	}
	return ids, hex.EncodeToString(h.Sum(nil))
}

// testdata/corpora.tsv holds what the reference implementations make of every shared text; see testdata/README.md.
func TestIDsEqualTheReferenceOnEveryLineOfTheCorpora(t *testing.T) {
	table, err := os.ReadFile(filepath.Join("testdata", "corpora.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	tokenizers := make(map[string]*Tokenizer)
	texts := make(map[string]string)
	rows := 0
	for _, row := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		f := strings.Split(row, "\t")
		tok := tokenizers[f[0]]
		if tok == nil {
			tok = openShared(t, f[0])
			tokenizers[f[0]] = tok
		}
		if _, ok := texts[f[3]]; !ok {
			b, err := os.ReadFile(sharedtest.Path(t, filepath.FromSlash(f[3])))
			if err != nil {
				t.Fatal(err)
			}
			texts[f[3]] = string(b)
		}
		parts := []string{texts[f[3]]}
		if f[2] == "lines" {
			parts = strings.Split(texts[f[3]], "\n")
		}
		if strconv.Itoa(len(parts)) != f[4] {
			t.Fatalf("%s has %d %s, the golden was made of %s: another text", f[3], len(parts), f[2], f[4])
		}
		ids, sum := digest(parts, func(s string) []int32 {
			return tok.Encode(s, EncodeOptions{ParseSpecial: f[1] == "parsed"})
		})
		if sum != f[6] {
			t.Errorf("%s on the %s of %s: %d ids with digest %s, want %s with %s", f[0], f[2], f[3], ids, sum, f[5], f[6])
		}
		rows++
	}
	t.Logf("%d combinations of tokenizer, text and unit", rows)
}

func openShared(t *testing.T, name string) *Tokenizer {
	t.Helper()
	b, err := os.ReadFile(sharedtest.Path(t, filepath.FromSlash(name)))
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

func TestOpenDirReadsBOSAndTheTemplateOfTheSharedModels(t *testing.T) {
	for _, name := range []string{"stories260K", "babyllama-tok105", "pith-ref"} {
		tok, err := OpenDir(sharedtest.Path(t, "models", name))
		if err != nil {
			t.Fatal(err)
		}
		bos, ok := tok.BOS()
		eos, ok2 := tok.EOS()
		if bos != 1 || !ok || eos != 2 || !ok2 || !tok.AddBOS() || tok.AddEOS() {
			t.Errorf("%s: BOS %d, EOS %d, AddBOS %v, AddEOS %v; want 1, 2, true, false", name, bos, eos, tok.AddBOS(), tok.AddEOS())
		}
		ids := tok.Encode("a", EncodeOptions{AddSpecial: true})
		if len(ids) < 2 || ids[0] != 1 || ids[1] == 1 || ids[len(ids)-1] == 2 {
			t.Errorf("%s: ids of \"a\" with special tokens are %v", name, ids)
		}
		if got := tok.Decode(ids); got != "a" {
			t.Errorf("%s: decoded %q", name, got)
		}
	}
}
