package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sameTree fails unless two directories hold the same files.
func sameTree(t *testing.T, a, b string) {
	t.Helper()
	entries, err := os.ReadDir(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		x, err := os.ReadFile(filepath.Join(a, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if string(x) != string(y) {
			t.Errorf("%s differs", e.Name())
		}
	}
}

func TestLeavingOutNoLayersIsExact(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	for _, codec := range []string{"keep", "int4-g32"} {
		plain, none := filepath.Join(dir, codec), filepath.Join(dir, codec+"-0")
		ok(t, "compress", model, "--codec", codec, "-o", plain)
		ok(t, "compress", model, "--codec", codec, "--drop-layers", "0", "-o", none)
		sameTree(t, plain, none)
	}
}

func TestAShallowModelIsTheSameInEveryFormat(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	got := ok(t, "compress", model, "--drop-layers", "1", "--any-layer", "--rank", "bi", "--text", text, "--ctx", "32", "-o", at("chosen"))
	if !strings.Contains(got, "left out") || !strings.Contains(got, "of 2, chosen by bi") {
		t.Errorf("compress printed %s", got)
	}
	ok(t, "verify", at("chosen"))
	ok(t, "compress", model, "--drop-layers", "0-0", "-o", at("pith"))
	ok(t, "compress", model, "--drop-layers", "0,", "-o", at("out.gguf"))
	ok(t, "convert", model, "--drop-layers", "0,", "--format", "hf", "-o", at("hf"))
	ok(t, "convert", model, "--drop-layers", "0,", "-o", at("converted.gguf"))
	want := perplexity(t, at("pith"), text)
	for _, name := range []string{"out.gguf", "hf", "converted.gguf"} {
		if p := perplexity(t, at(name), text); p != want {
			t.Errorf("perplexity %v of %s, %v of the artifact", p, name, want)
		}
	}
	if whole := perplexity(t, model, text); whole == want {
		t.Error("the layer is still there")
	}
	if got := ok(t, "inspect", at("pith")); !strings.Contains(got, "llama, 1 layers") {
		t.Errorf("inspect printed %s", got)
	}
	ok(t, "compress", model, "--drop-layers", "0-0", "--codec", "int4-g32", "--text", text, "--ctx", "32", "--method", "gptq", "-o", at("both"))
	ok(t, "run", at("both"), "--prompt", "the rain", "-n", "4")
}

func TestASavedPlanKnowsWhichLayersAreLeftOut(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	saved, a, b := filepath.Join(dir, "plan.json"), filepath.Join(dir, "a"), filepath.Join(dir, "b")
	ok(t, "plan", model, "--drop-layers", "0-0", "--codec", "int8-g32", "--save", saved)
	ok(t, "compress", model, "--plan", saved, "-o", a)
	ok(t, "compress", model, "--drop-layers", "0-0", "--codec", "int8-g32", "-o", b)
	sameTree(t, a, b)
	if code, _, errs := cli("compress", model, "--drop-layers", "1-1", "--codec", "int8-g32", "-o", b); code != exitBadInput || !strings.Contains(errs, "another plan") {
		t.Errorf("other layers into the same directory: %d %s", code, errs)
	}
}

func TestLayersAreRanked(t *testing.T) {
	model, text := tinyModel(t), tinyText(t)
	got := ok(t, "layers", model, "--text", text, "--ctx", "32", "--any-layer")
	for _, want := range []string{"KL without", "spearman", "bi and loo_kl", "--drop-layers 1 would leave out"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	v := jsonOf(t, "layers", model, "--text", text, "--ctx", "32")
	for _, field := range []string{"layers", "similarity", "rank_correlation", "perplexity", "corpus"} {
		if v[field] == nil {
			t.Errorf("no field %s", field)
		}
	}
}

func TestLeavingOutWhatCannotBeIsAnErrorWithARemedy(t *testing.T) {
	model, text, out := tinyModel(t), tinyText(t), filepath.Join(t.TempDir(), "out")
	for want, args := range map[string][]string{
		"give --text":           {"--drop-layers", "1"},
		"2 layers, 0 to 1":      {"--drop-layers", "7-7"},
		"no layer of 2 is left": {"--drop-layers", "0-1"},
		"protected":             {"--drop-layers", "1", "--text", text},
		"unknown ranker":        {"--drop-layers", "1", "--any-layer", "--text", text, "--rank", "best"},
		"one layer alone: 3-3":  {"--drop-layers", "two"},
		"go with --drop-layer":  {"--any-layer"},
	} {
		code, _, errs := cli(append([]string{"compress", model, "-o", out}, args...)...)
		if code != exitBadInput || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

func TestReplacementsRunAndOnlyLinearMapsArePithsOwn(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	with := func(kind string, more ...string) []string {
		return append([]string{model, "--drop-layers", "1-1", "--replace", kind, "--text", text}, more...)
	}
	ok(t, append([]string{"compress"}, with("mean", "--ctx", "32", "-o", at("mean"))...)...)
	ok(t, append([]string{"compress"}, with("mean", "--ctx", "32", "-o", at("mean.gguf"))...)...)
	ok(t, "convert", at("mean"), "--format", "hf", "-o", at("hf"))
	want := perplexity(t, at("mean"), text)
	for _, name := range []string{"mean.gguf", "hf"} {
		if p := perplexity(t, at(name), text); p != want {
			t.Errorf("perplexity %v of %s, %v of the artifact", p, name, want)
		}
	}
	saved := at("plan.json")
	ok(t, append([]string{"plan"}, with("linear", "--ctx", "32", "--save", saved)...)...)
	ok(t, "compress", model, "--plan", saved, "--text", text, "--ctx", "32", "-o", at("linear"))
	ok(t, "verify", at("linear"))
	ok(t, "run", at("linear"), "--prompt", "the rain", "-n", "4")
	if got := ok(t, "compress", at("linear"), "--codec", "int8-g32", "-o", at("again"), "--json"); !strings.Contains(got, "result") {
		t.Errorf("compress printed %s", got)
	}
	if p := perplexity(t, at("again"), text); p == want {
		t.Error("mean and linear are the same")
	}
	for want, args := range map[string][]string{
		"only Pith":    {"convert", at("linear"), "-o", at("no.gguf")},
		"only Pith a":  {"convert", at("linear"), "--format", "hf", "-o", at("no")},
		"another text": {"compress", model, "--plan", saved, "--text", text, "--ctx", "16", "-o", at("other")},
		"give --text":  {"compress", model, "--plan", saved, "-o", at("other")},
	} {
		if code, _, errs := cli(args...); code != exitBadInput || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

func TestConvertChoosesLayersOnAText(t *testing.T) {
	model, text, out := tinyModel(t), tinyText(t), filepath.Join(t.TempDir(), "hf")
	ok(t, "convert", model, "--drop-layers", "1", "--any-layer", "--text", text, "--format", "hf", "-o", out)
	if got := ok(t, "inspect", out); !strings.Contains(got, "llama, 1 layers") {
		t.Errorf("inspect printed %s", got)
	}
}

func TestSlicedModelsRunAndAreRefusedWhereTheyGrow(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	slice := func(part string, more ...string) []string {
		return append([]string{"compress", model, "--slice", part, "--text", text, "--ctx", "32"}, more...)
	}
	got := ok(t, slice("25%", "-o", at("sliced"))...)
	if !strings.Contains(got, "all but 48 directions") {
		t.Errorf("compress printed %s", got)
	}
	ok(t, "verify", at("sliced"))
	ok(t, "run", at("sliced"), "--prompt", "the rain", "-n", "4")
	ok(t, slice("50%", "--codec", "int8-g32", "-o", at("both"))...)
	ok(t, "compress", at("sliced"), "--codec", "int8-g32", "--text", text, "--ctx", "32", "--method", "gptq", "-o", at("then"))
	code, _, errs := cli(slice("0", "-o", at("larger"))...)
	if code != exitBadInput || !strings.Contains(errs, "the file would be larger") || !strings.Contains(errs, "of them shortcut") {
		t.Errorf("slicing nothing: %d %s", code, errs)
	}
	ok(t, slice("0", "--force", "-o", at("larger"))...)
	if a, b := perplexity(t, model, text), perplexity(t, at("larger"), text); math.Abs(a-b) > 1e-3*a {
		t.Errorf("perplexity %v of the model, %v rotated", a, b)
	}
	saved := at("plan.json")
	ok(t, append([]string{"plan"}, append(slice("25%")[1:], "--save", saved)...)...)
	ok(t, "compress", model, "--plan", saved, "--text", text, "--ctx", "32", "-o", at("planned"))
	sameTree(t, at("sliced"), at("planned"))
	// One basis for all: an ordinary model, in every format.
	ok(t, slice("25%", "--shared-basis", "-o", at("shared"))...)
	ok(t, slice("25%", "--shared-basis", "-o", at("shared.gguf"))...)
	ok(t, "convert", model, "--slice", "25%", "--shared-basis", "--text", text, "--format", "hf", "-o", at("hf"))
	ok(t, "convert", at("shared"), "--format", "hf", "-o", at("hf2"))
	want := perplexity(t, at("shared"), text)
	for _, name := range []string{"shared.gguf", "hf2"} {
		if p := perplexity(t, at(name), text); math.Abs(p-want) > 1e-9*want {
			t.Errorf("perplexity %v of %s, %v of the artifact", p, name, want)
		}
	}
	for want, args := range map[string][]string{
		"only Pith artifacts hold": {"convert", at("sliced"), "-o", at("no.gguf")},
		"give the part":            slice("ten", "-o", at("no")),
		"give --text":              {"compress", model, "--slice", "25%", "-o", at("no")},
		"(--slice with":            append([]string{"plan"}, slice("25%", "--save", at("unsaved.json"), "-o", at("no.gguf"))[1:]...),
		"--shared-basis, --drop":   slice("25%", "-o", at("no.gguf")),
		"--slice is empty":         {"compress", model, "--slice", "", "-o", at("no")},
		"--drop-layers is empty":   {"compress", model, "--drop-layers", "", "--text", text, "-o", at("no")},
		"go with --drop-layers":    {"compress", model, "--rank", "bi", "--text", text, "-o", at("no")},
		"slice the original":       {"compress", at("sliced"), "--slice", "25%", "--text", text, "-o", at("no")},
	} {
		if code, _, errs := cli(args...); code != exitBadInput || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
	if _, err := os.Stat(at("unsaved.json")); err == nil {
		t.Error("a plan that cannot be carried out was saved")
	}
}
