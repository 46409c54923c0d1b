package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// Shared layers are the same model in every format that holds them, GGUF and Hugging Face written out.
func TestSharedLayersAreTheSameInEveryFormat(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, flags := range [][]string{
		{"--share-layers", "2", "--share-by", "first"},
		{"--share-layers", "fewer:1", "--share-norms", "--text", text, "--ctx", "32"},
		{"--share-layers", "0,1", "--share-by", "mse", "--codec", "q8_0", "--text", text, "--ctx", "32"},
	} {
		got := ok(t, append([]string{"compress", model, "-o", at("pith"), "--overwrite"}, flags...)...)
		if !strings.Contains(got, "layers 0, 1 use the matrices of") || !strings.Contains(got, "not compared with their own") {
			t.Errorf("%q: compress printed %s", flags, got)
		}
		ok(t, "verify", at("pith"))
		ok(t, "run", at("pith"), "--prompt", "the rain", "-n", "3")
		ok(t, append([]string{"compress", model, "-o", at("out.gguf"), "--overwrite"}, flags...)...)
		ok(t, "convert", at("pith"), "--format", "hf", "-o", at("hf"), "--dtype", "f32", "--overwrite")
		want := perplexity(t, at("pith"), text)
		for _, name := range []string{"out.gguf", "hf"} {
			if p := perplexity(t, at(name), text); math.Abs(p-want) > 1e-3*want { // F16 here, F32 there
				t.Errorf("%q: perplexity %v of %s, %v of the artifact", flags, p, name, want)
			}
		}
	}
}

func TestASavedPlanKnowsWhatIsShared(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	saved, a, b := filepath.Join(dir, "plan.json"), filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, flags := range [][]string{
		{"--share-layers", "2"},
		{"--share-layers", "2", "--share-norms"},
		{"--share", "joint", "--share-keep", "0.7"},
		{"--share", "joint", "--share-keep", "0.7", "--share-layers", "2", "--codec", "int8-g32"},
		{"--share", "matrix-pca", "--share-groups", "kl:1", "--share-atoms", "1", "--share-rank", "2", "--codec", "int8-g32"},
		{"--share", "joint", "--menu", "int8-g32", "--bpw", "8", "--method", "nearest"},
		{"--share", "basis-u", "--share-keep", "0.6", "--share-roles", "linear", "--codec", "bf16"},
	} {
		flags = append(flags, "--text", text, "--ctx", "32")
		ok(t, append([]string{"plan", model, "--save", saved}, flags...)...)
		ok(t, append([]string{"compress", model, "-o", a, "--overwrite"}, flags...)...)
		ok(t, "compress", model, "--plan", saved, "-o", b, "--overwrite", "--text", text, "--ctx", "32")
		sameTree(t, a, b)
		ok(t, "verify", a)
		if got := ok(t, "inspect", a); flags[0] == "--share" && !(strings.Contains(got, "in common") && strings.Contains(got, "–")) {
			t.Errorf("%q: inspect printed %s", flags, got)
		}
		bench := func(atoms string) string {
			return ok(t, "bench", a, "--prompt", "4", "--decode", "2", "--repeats", "1", "--atoms", atoms)
		}
		for atoms, want := range map[string]string{"materialise": "policy materialise", "fold": "policy fold", "auto:1MiB": "with a cache of 1.0 MiB a token by direct reads"} {
			if got := bench(atoms); strings.Contains(got, want) != (flags[1] == "matrix-pca") {
				t.Errorf("%q: bench --atoms %s printed %s", flags, atoms, got)
			}
		}
		code, _, said := cli("run", a, "--prompt", "the rain", "-n", "3", "--atoms", "auto:1MiB")
		if code != 0 || strings.Contains(said, "atoms multiplied by policy direct") != (flags[1] == "matrix-pca") {
			t.Errorf("%q: run --atoms auto: exit code %d, %s", flags, code, said)
		}
	}
}

func TestPoliciesOfAtomsAreNamedAsTheyAre(t *testing.T) {
	model := tinyModel(t)
	for atoms, want := range map[string]string{"often": "choose one of", "fold:1MiB": "goes with auto", "auto:": "--atoms auto:", "auto:much": "write a number", "auto:0": "a cache has a size"} {
		for _, command := range []string{"run", "bench"} {
			refused(t, []string{want}, command, model, "--atoms", atoms)
		}
	}
}

func TestWhatCannotBeSharedSaysWhy(t *testing.T) {
	model, out := tinyModel(t), filepath.Join(t.TempDir(), "out")
	for flags, want := range map[string]string{
		"--share-layers 2":                                             "give --text",
		"--share-layers x":                                             "give the size of groups",
		"--share-layers 0,7 --share-by first":                          "has 2 layers",
		"--share-layers 2 --drop-layers 0-0":                           "write the smaller model first",
		"--share-by kl":                                                "go with --share-layers",
		"--share magic":                                                "choose one of matrix-pca",
		"--share matrix-pca":                                           "how many atoms",
		"--share matrix-pca --share-atoms 3":                           "ask for at most 2",
		"--share matrix-pca --share-atoms half":                        "give how many atoms",
		"--share basis-v":                                              "of which rank",
		"--share basis-v --share-rank 10000":                           "a common factor of rank",
		"--share basis-v --share-atoms 1":                              "goes with --share matrix-pca",
		"--share basis-v --share-keep 2":                               "from 0 to 1",
		"--share joint --share-roles norm --share-rank 2":              "anything in common",
		"--share basis-v --share-rank 2 --share-groups kl:2 --stats x": "pith plan with --text shows the groups",
		"--share basis-v --share-keep NaN":                             "from 0 to 1",
		"--share joint --share-rank 2 --codec 2*int2-g32":              "choose one codec",
		"--share joint --share-keep 0.8 --bpw 4":                       "choose --codec",
		"--share-rank 3":                                               "say with --share METHOD",
		"--share basis-u --share-rank 2 --share-groups kl:2":           "give --text",
	} {
		code, _, stderr := cli(append([]string{"compress", model, "-o", out}, strings.Fields(flags)...)...)
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s; want %q", flags, code, stderr, want)
		}
	}
}
