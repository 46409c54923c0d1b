package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pith/internal/demo"
)

// Between the sizes of two codecs a menu of both loses less than the smaller one everywhere, by theory and, clearly, by probes; its file holds the bytes
// that the plan says, which are within the budget.
func TestMenusOfTwoCodecsLoseLessThanTheSmaller(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses the demo's model three times")
	}
	dir := t.TempDir()
	model, text := filepath.Join(dir, "model"), filepath.Join("..", "..", "internal", "demo", "sample.txt")
	if err := os.CopyFS(model, demo.Files()); err != nil {
		t.Fatal(err)
	}
	const budget = 2.9
	made := func(flags ...string) (bits, kl float64) {
		out := filepath.Join(dir, "out")
		var r struct {
			Bytes int64
			Bits  float64 `json:"bits_per_weight"`
			KL    float64 `json:"kl_mean"`
		}
		flags = append(flags, "--text", text, "--ctx", "64", "--chunks", "8", "--method", "nearest")
		lines := strings.Split(strings.TrimSpace(ok(t, append([]string{"compress", model, "-o", out, "--overwrite", "--json"}, flags...)...)), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
			t.Fatal(err)
		}
		ok(t, "verify", out)
		if err := json.Unmarshal([]byte(ok(t, "eval", out, "--base", model, "--text", text, "--ctx", "64", "--chunks", "12", "--json")), &r); err != nil {
			t.Fatal(err)
		}
		return r.Bits, r.KL
	}
	small, worst := made("--codec", "int2-g64")
	list := []string{"--menu", "int2-g64,int3-g64", "--bpw", strconv.FormatFloat(budget, 'g', -1, 64)}
	theory, loss := made(list...)
	probed, best := made(append(list, "--probe", "2")...)
	t.Logf("%g bits lose %g, by theory %g lose %g, probed %g lose %g", small, worst, theory, loss, probed, best)
	if small >= theory || theory > budget || probed > budget || probed < budget-0.1 || !(loss < worst) || !(best < 0.9*worst) {
		t.Errorf("%g bits lose %g, by theory %g lose %g, probed %g lose %g", small, worst, theory, loss, probed, best)
	}
}

func TestMenusSayWhatTheyLack(t *testing.T) {
	model := tinyModel(t)
	for want, flags := range map[string][]string{
		"--menu needs --bpw":              {"--menu", "int4-g32"},
		"give only one of":                {"--menu", "int4-g32", "--bpw", "4", "--codec", "int4-g32"},
		"unknown codec \"int9-g64\"":      {"--menu", "int9-g64", "--bpw", "4"},
		"--bpw to":                        {"--menu", "int4-g32,int8-g32", "--bpw", "3"},
		"--probe is a number of windows":  {"--menu", "int4-g32", "--bpw", "6", "--probe", "3"},
		"--share-keep and --share-rank":   {"--menu", "int4-g32", "--bpw", "6", "--share", "joint", "--share-keep", "0.8"},
		"--probe goes with":               {"--codec", "int4-g32", "--probe", "3"},
		"GGUF has no layout for int4-g32": {"--menu", "int4-g32", "--bpw", "6", "--format", "gguf"},
	} {
		code, _, errs := cli(append([]string{"plan", model}, flags...)...)
		if code == exitOK || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s", flags, code, errs)
		}
	}
}
