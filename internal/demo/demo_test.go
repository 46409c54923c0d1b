package demo

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/internal/sharedtest"
)

// smallDemo runs the demo on a small real model.
func smallDemo(t *testing.T, out string, codecs ...string) ([]Row, string) {
	t.Helper()
	var b strings.Builder
	rows, err := Run(context.Background(), out, &b, Options{Model: os.DirFS(sharedtest.Path(t, "models", "stories260K")), Codecs: codecs, TextBytes: 6000, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	return rows, b.String()
}

func TestDemoTableIsOrderedByQuality(t *testing.T) {
	out := t.TempDir()
	rows, printed := smallDemo(t, out, "int8-g32", "int4-g32", "int2-g32")
	if len(rows) != 4 || rows[0].Codec != "original" || rows[0].Result.Comparison != nil {
		t.Fatalf("rows: %+v", rows)
	}
	for i, r := range rows[1:] {
		if r.Result.KLMean <= 0 || r.Decode <= 0 || r.Result.FileBytes <= 0 || !strings.Contains(printed, r.Codec) {
			t.Errorf("%s: %+v", r.Codec, r.Result)
		}
		if i > 0 && (r.Result.KLMean <= rows[i].Result.KLMean || r.Result.BitsPerWeight >= rows[i].Result.BitsPerWeight || r.Result.Agreement >= rows[i].Result.Agreement) {
			t.Errorf("%s is not worse and smaller than %s", r.Codec, rows[i].Codec)
		}
		if _, err := os.Stat(filepath.Join(r.Path, "pith.json")); err != nil {
			t.Error(err)
		}
	}
}

func TestDemoRunsTwiceInOneDirectory(t *testing.T) {
	out := t.TempDir()
	first, _ := smallDemo(t, out, "int4-g32")
	again, _ := smallDemo(t, out, "int4-g32")
	if first[1].Result.KLMean != again[1].Result.KLMean || first[1].Result.Model.SHA256 != again[1].Result.Model.SHA256 {
		t.Error("the second run differs")
	}
}

func TestLicenceHeadersAreLeftOut(t *testing.T) {
	in := "// Copyright 2009 The Go Authors. All rights reserved.\n// Use of this source code is governed by a BSD-style\n// license that can be found in the LICENSE file.\n\n// Package x.\npackage x\n"
	if got := string(withoutLicence([]byte(in))); got != "// Package x.\npackage x\n" {
		t.Errorf("%q", got)
	}
	if got := withoutLicence([]byte("\n\n")); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestExcerptsAreEqualSharesOfWholeLines(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": strings.Repeat("0123456\n", 100), "b.go": "short\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := string(excerpts(dir, []string{"a.go", "missing.go", "b.go"}, 60)), "0123456\n0123456\nshort\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestEmbeddedModelIsTheTrainedOne(t *testing.T) {
	rows, err := Run(context.Background(), t.TempDir(), io.Discard, Options{Codecs: []string{"q4_k"}, TextBytes: 5000, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	// Held-out Go source: an untrained model of 2,048 tokens would have a perplexity near 2,048.
	if p := rows[0].Result.Perplexity; p > 60 || rows[1].Result.KLMean > .2 || rows[1].Result.Agreement < .75 {
		t.Errorf("perplexity %.2f; q4_k: KL %.4f, top-1 agreement %.3f", p, rows[1].Result.KLMean, rows[1].Result.Agreement)
	}
	if rows[0].Result.Model.Parameters != 3_410_176 {
		t.Errorf("%d parameters; internal/demo/README.md says 3,410,176", rows[0].Result.Model.Parameters)
	}
}

func TestSampleStandsInWhereThereIsNoGo(t *testing.T) {
	text, where, err := heldOut([]string{t.TempDir()}, 5000)
	if err != nil || len(text) != 5000 || !strings.Contains(where, "sampled from the model") {
		t.Errorf("%d bytes of %s: %v", len(text), where, err)
	}
}
