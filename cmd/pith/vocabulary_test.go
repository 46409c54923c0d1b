package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATrimmedModelIsTheSameInEveryFormat(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if got := ok(t, "vocab", "count", model, "--text", text, "-o", at("counts")); !strings.Contains(got, "tokens counted") {
		t.Errorf("count printed %s", got)
	}
	ok(t, "vocab", "count", model, "--text", text, "--generate", "40", "--length", "16", "--seed", "3", "-o", at("written"))
	ok(t, "vocab", "merge", at("counts"), at("written"), "-o", at("both"))
	var menu struct {
		Tokens int
		Must   int
		Menu   []struct{ Tokens int }
	}
	if err := json.Unmarshal([]byte(ok(t, "vocab", "show", model, "--counts", at("both"), "--json")), &menu); err != nil || len(menu.Menu) < 2 || menu.Must >= menu.Tokens {
		t.Fatalf("menu %+v, %v", menu, err)
	}
	flags := []string{"--vocab-counts", at("counts"), "--vocab-coverage", "1"}
	with := func(args ...string) []string { return append(args, flags...) }
	if got := ok(t, with("trim", model, "-o", at("hf"))...); !strings.Contains(got, "of those counted") {
		t.Errorf("trim printed %s", got)
	}
	ok(t, with("trim", model, "-o", at("out.gguf"))...)
	ok(t, with("compress", model, "-o", at("pith"))...)
	ok(t, "verify", at("pith"))
	ok(t, with("plan", model, "--save", at("plan.json"))...)
	ok(t, "compress", model, "--plan", at("plan.json"), "-o", at("planned"))
	sameTree(t, at("pith"), at("planned"))
	ok(t, "convert", at("pith"), "-o", at("converted.gguf"))
	want := perplexity(t, at("hf"), text)
	for _, name := range []string{"out.gguf", "pith", "converted.gguf"} {
		if p := perplexity(t, at(name), text); p != want {
			t.Errorf("perplexity %v of %s, %v of the directory", p, name, want)
		}
	}
	got := ok(t, "eval", at("hf"), "--base", model, "--text", text, "--ctx", "32")
	if !strings.Contains(got, "tokens: KL and agreement are over these") || !strings.Contains(got, "KL mean               0.000000") {
		t.Errorf("eval printed %s", got)
	}
	before, err := os.Stat(filepath.Join(model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(filepath.Join(at("hf"), "model.safetensors")); err != nil || after.Size() >= before.Size() {
		t.Errorf("%v bytes after trimming, %v", after, err)
	}
}

func TestATrimmedHeadDraftsForItsModel(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	draft := filepath.Join(dir, "draft")
	got := ok(t, "trim", model, "--head", "--target", model, "--text", text, "--vocab-size", "290", "-o", draft)
	if !strings.Contains(got, "290 of 320 tokens") {
		t.Errorf("trim printed %s", got)
	}
	plain := ok(t, "run", model, "--prompt", "the cat", "-n", "12")
	if drafted := ok(t, "run", model, "--draft", draft, "--prompt", "the cat", "-n", "12"); drafted != plain {
		t.Errorf("with the draft: %q, without %q", drafted, plain)
	}
	packed := filepath.Join(dir, "packed")
	ok(t, "compress", draft, "--codec", "int8-g32", "-o", packed)
	ok(t, "verify", packed)
	ok(t, "run", packed, "--prompt", "the cat", "-n", "3")
	for _, source := range []string{draft, packed} { // a head is trimmed again, and converted, with its map
		again, hf := filepath.Join(t.TempDir(), "again"), filepath.Join(t.TempDir(), "hf")
		ok(t, "trim", source, "--head", "--target", model, "--text", text, "--vocab-size", "285", "-o", again)
		ok(t, "convert", source, "--format", "hf", "--dtype", "f32", "-o", hf)
		for _, d := range []string{again, hf} {
			if drafted := ok(t, "run", model, "--draft", d, "--prompt", "the cat", "-n", "12"); drafted != plain {
				t.Errorf("with the draft: %q, without %q", drafted, plain)
			}
		}
	}
	if code, _, errs := cli("eval", draft, "--text", text); code != exitBadInput || !strings.Contains(errs, "draft") {
		t.Errorf("eval of a draft: %d, %s", code, errs)
	}
	if code, _, errs := cli("convert", draft, "-o", filepath.Join(dir, "d.gguf")); code != exitBadInput || !strings.Contains(errs, "drafting") {
		t.Errorf("a draft as GGUF: %d, %s", code, errs)
	}
}

// Packed rows are decoded when they are written, and trim says what that takes.
func TestTrimStatesTheBytesThatItWrites(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	packed := filepath.Join(dir, "packed")
	ok(t, "compress", model, "--codec", "int4-g32", "-o", packed)
	for name, args := range map[string][]string{"hf": nil, "out.gguf": nil, "head": {"--head"}, "bf16": {"--dtype", "bf16"}} {
		out := filepath.Join(dir, name)
		r := jsonOf(t, append([]string{"trim", packed, "--text", text, "--vocab-size", "290", "-o", out}, args...)...)
		if want := jsonOf(t, "inspect", out)["tensor_bytes"]; r["tensor_bytes"] != want {
			t.Errorf("%s: trim states %v bytes of tensors, the file has %v", name, r["tensor_bytes"], want)
		}
	}
}

func TestFlagsOfTheVocabularyThatMakeNoSenseAreExplained(t *testing.T) {
	model, text := tinyModel(t), tinyText(t)
	out := filepath.Join(t.TempDir(), "out")
	for want, args := range map[string][]string{
		"give only one":          {"trim", model, "--vocab-size", "300", "--vocab-coverage", "0.9", "-o", out},
		"say how many":           {"trim", model, "-o", out},
		"--vocab-counts (pith":   {"trim", model, "--vocab-size", "300", "-o", out},
		"must stay":              {"trim", model, "--vocab-size", "3", "--text", text, "-o", out},
		"choose among":           {"trim", model, "--vocab-size", "300", "--vocab-keep", "emoji", "--text", text, "-o", out},
		"--vocab-bytes 10":       {"compress", model, "--vocab-bytes", "10", "--text", text, "-o", out},
		"above 0, at most 1":     {"compress", model, "--vocab-coverage", "2", "--text", text, "-o", out},
		"whole vocabulary":       {"compress", model, "--vocab-size", "300", "--stats", text, "-o", out},
		"go with --vocab-size":   {"compress", model, "--vocab-keep", "none", "-o", out},
		"pith vocab count":       {"trim", model, "--vocab-size", "300", "--vocab-counts", filepath.Join(model, "model.safetensors"), "-o", out},
		"--target goes with":     {"trim", model, "--vocab-size", "300", "--target", model, "--text", text, "-o", out},
		"-o is missing":          {"vocab", "count", model, "--text", text},
		"goes with --generate N": {"vocab", "count", model, "--text", text, "--draft", model, "-o", out},
	} {
		if code, _, errs := cli(args...); code != exitBadInput || !strings.Contains(errs, want) {
			t.Errorf("pith %s: %d, %s; want %q", strings.Join(args, " "), code, errs, want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something was written")
	}
}

func TestAnEmbeddingIsFactoredByHowOftenItsRowsAreRead(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	stats := filepath.Join(dir, "stats.safetensors")
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "-o", stats)
	loss := map[string]float64{}
	for name, method := range map[string]string{"text": "svd-freq", "stats": "svd-freq", "plain": "svd"} {
		recipe, out := filepath.Join(dir, name+".yaml"), filepath.Join(dir, name)
		writeFile(t, recipe, []byte("rules:\n  - match: embedding\n    method: "+method+"\n    codec: lr40-f32\n  - match: \"*\"\n    keep: true\n"))
		args := []string{"compress", model, "--recipe", recipe, "-o", out, "--text", text, "--ctx", "32"}
		if name == "stats" {
			args = append(args[:len(args)-4], "--stats", stats)
		}
		if got := ok(t, args...); strings.Contains(got, "plain svd") {
			t.Errorf("%s: no counts reached the method: %s", name, got)
		}
		loss[name] = jsonOf(t, "eval", out, "--base", model, "--text", text, "--ctx", "32")["kl_mean"].(float64)
	}
	if loss["text"] != loss["stats"] || loss["text"] > 0.01*loss["plain"] { // the text reads fewer rows than the rank
		t.Errorf("KL %v", loss)
	}
}

// Rows that the text reads have the first codec, here exactly; others are never seen by it. A head of the same rows is rounded with them.
func TestAnEmbeddingHasTwoPrecisionsByHowOftenItsRowsAreRead(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	stats := filepath.Join(dir, "stats.safetensors")
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "-o", stats)
	kl := map[string]float64{}
	for name, method := range map[string]string{"text": "frequent", "stats": "frequent", "norm": "nearest"} {
		recipe, out := filepath.Join(dir, name+".yaml"), filepath.Join(dir, name)
		writeFile(t, recipe, []byte("rules:\n  - match: embedding\n    method: "+method+"\n    codec: rows0.5-f32/int2-g32\n  - match: \"*\"\n    keep: true\n"))
		args := []string{"compress", model, "--recipe", recipe, "-o", out, "--text", text, "--ctx", "32"}
		if name == "stats" {
			args = append(args[:len(args)-4], "--stats", stats)
		}
		if got := ok(t, args...); strings.Contains(got, "largest norm") {
			t.Errorf("%s: no counts reached the method: %s", name, got)
		}
		kl[name] = jsonOf(t, "eval", out, "--base", model, "--text", text, "--ctx", "32")["kl_mean"].(float64)
		for format, to := range map[string]string{"hf": "-hf", "gguf": ".gguf"} { // which have the decoded rows
			ok(t, "convert", out, "--format", format, "-o", out+to)
			if again := jsonOf(t, "eval", out+to, "--base", model, "--text", text, "--ctx", "32")["kl_mean"].(float64); math.Abs(again-kl[name]) > 1e-6+1e-3*kl[name] {
				t.Errorf("%s: KL %g, as %s %g", name, kl[name], format, again)
			}
		}
	}
	if kl["text"] != kl["stats"] || kl["text"] > 0.5*kl["norm"] {
		t.Errorf("KL %v", kl)
	}
}
