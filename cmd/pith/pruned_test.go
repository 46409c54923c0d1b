package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPrunedModelRunsAndIsTheSameInEveryFormat(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, m := range [][2]string{{"wanda", "f16-s50"}, {"sparsegpt", "f16-2:4"}, {"magnitude", "f16-s70e"}} {
		ok(t, "compress", model, "--method", m[0], "--codec", m[1], "--text", text, "--ctx", "32", "-o", at(m[0]))
		ok(t, "verify", at(m[0]))
		ok(t, "run", at(m[0]), "--prompt", "a", "-n", "4")
		ok(t, "convert", at(m[0]), "--format", "hf", "-o", at(m[0]+"-hf"))
		ok(t, "convert", at(m[0]), "-o", at(m[0]+".gguf"))
		want := perplexity(t, at(m[0]), text)
		for _, name := range []string{m[0] + "-hf", m[0] + ".gguf"} {
			if p := perplexity(t, at(name), text); math.Abs(p/want-1) > 1e-4 {
				t.Errorf("perplexity %v of %s, %v of the artifact", p, name, want)
			}
		}
	}
}

func TestReorderedModelsAreTheSame(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	stats, out := filepath.Join(dir, "stats"), filepath.Join(dir, "out")
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "-o", stats)
	ok(t, "convert", model, "--permute", "2:4", "--stats", stats, "--format", "hf", "-o", out)
	if a, b := perplexity(t, model, text), perplexity(t, out, text); math.Abs(a/b-1) > 1e-5 {
		t.Errorf("perplexity %v, reordered %v", a, b)
	}
	for _, args := range [][]string{{"--permute", "2"}, {"--permute", "row"}, {"--stats", stats}} {
		if code, _, got := cli(append([]string{"convert", model, "-o", out + "2.gguf"}, args...)...); code == 0 || !strings.Contains(got, "--permute") {
			t.Errorf("%v: exit %d, %s", args, code, got)
		}
	}
}
