package formats

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func scansAsJSON(s string) bool {
	j := &jsonScanner{s: s}
	_, err := j.skip()
	return err == nil && j.end() == nil
}

func TestJSONScannerAcceptsWhatJSONIs(t *testing.T) {
	texts := []string{
		"", " ", "{}", "[]", "{ }", "[ ]", "[1,2]", "[1,]", "[,1]", "[1 2]", `{"a":1}`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":}`, `{"a"}`, "{", "[", "}", "]", "[}",
		"0", "-0", "-1", "01", "-01", "+1", "1.", "1.5", ".5", "-.5", "1e5", "1E+5", "1e-05", "1e", "1e+", "1.e1", "0x1", "1_0", "-", "NaN", "Infinity", "1-1", "0.0e00",
		"true", "false", "null", "nul", "truee", "True", "true false", `"a"`, `"a`, `a"`, `"\n"`, `"\u00e9"`, `"\u00E9"`, `"\u00g9"`, `"\u00"`, `"\"`, `"\a"`, `"\/"`, "\"\x01\"", "\"\x7f\"", "\u00e9",
		"\t\n\r 1 \t\n\r", "\v1", "\u00a01", `{"a":{"b":[{"c":"d"},null,[[]],-1.5e3]}}`,
	}
	// And these with random bytes changed.
	r := rand.New(rand.NewPCG(1, 2))
	for _, text := range texts[:len(texts):len(texts)] {
		for range 200 {
			b := []byte(text)
			for range 1 + r.IntN(2) {
				if len(b) > 0 {
					b[r.IntN(len(b))] = `{}[]",:\u0129eE+-. atrufl`[r.IntN(25)]
				}
			}
			texts = append(texts, string(b))
		}
	}
	accepted := 0
	for _, text := range texts {
		// encoding/json mends broken UTF-8 and surrogates, we refuse them.
		if !utf8.ValidString(text) || strings.Contains(text, `\ud`) {
			continue
		}
		want := json.Valid([]byte(text))
		if want {
			accepted++
		}
		if got := scansAsJSON(text); got != want {
			t.Errorf("%q: accepted %v, want %v", text, got, want)
		}
	}
	if accepted < 500 {
		t.Errorf("only %d of %d texts are JSON: the test shows little", accepted, len(texts))
	}
}

func TestJSONStringsAreReadAndQuotedAsTheyWere(t *testing.T) {
	for c := rune(0); c < 0x300; c++ {
		checkString(t, "a"+string(c)+"b")
	}
	for _, s := range []string{"", "\\", "\\\\u0041", "\u2028\u2029", "\ufeff", "\ufffd", "\U0001F600", "\U0010FFFF", "\"\"", "/"} {
		checkString(t, s)
	}
}

func checkString(t *testing.T, s string) {
	t.Helper()
	quoted := string(appendJSONString(nil, s))
	var other string
	if err := json.Unmarshal([]byte(quoted), &other); err != nil || other != s {
		t.Errorf("%q is quoted as %s, which encoding/json reads as %q (%v)", s, quoted, other, err)
	}
	byJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{quoted, string(byJSON)} {
		j := &jsonScanner{s: text}
		if got, err := j.str(); err != nil || got != s || j.end() != nil {
			t.Errorf("%s is read as %q (%v), want %q", text, got, err, s)
		}
	}
}
