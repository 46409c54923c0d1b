package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pith/internal/demo"
	"pith/plan"
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

// seen is a context that ends when a file is there.
type seen struct {
	context.Context
	cancel  context.CancelFunc
	pattern string
}

func (s seen) Err() error {
	if found, _ := filepath.Glob(s.pattern); len(found) > 0 {
		s.cancel()
	}
	return s.Context.Err()
}

// interrupted runs a command until a file is there, and returns what it says.
func interrupted(t *testing.T, pattern string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code, _, errs := cliContext(seen{ctx, cancel, pattern}, args...)
	if code != exitInterrupted {
		t.Errorf("%q: exit code %d, %s", args, code, errs)
	}
	return errs
}

// What compress gathers for a menu is kept beside its output until that is whole, and only work on other texts begins again.
func TestCompressResumesTheStatisticsOfMenus(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	out := filepath.Join(dir, "new", "out")
	menu := []string{"compress", model, "--menu", "int4-g32,int8-g32", "--bpw", "7", "--text", text, "--ctx", "32", "-o", out}
	if errs := interrupted(t, out+".menu.work/part-00000*", menu...); !strings.Contains(errs, "run the same command again to resume") {
		t.Error(errs)
	}
	if left, _ := filepath.Glob(out + ".menu.work/part-*"); len(left) == 0 {
		t.Error("no layer is kept")
	}
	if errs := interrupted(t, out+".menu", menu...); !strings.Contains(errs, "the same command goes on with them") {
		t.Error(errs)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(out+".menu", old, old); err != nil {
		t.Fatal(err)
	}
	gathered := func() bool {
		info, err := os.Stat(out + ".menu")
		if err != nil {
			t.Fatal(err)
		}
		return !info.ModTime().Equal(old)
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(out, "notes.txt"), []byte("not pith's"))
	code, _, errs := cli(menu...)
	if code == exitOK || !strings.Contains(errs, "files that pith did not write") || gathered() {
		t.Errorf("exit code %d, gathered again: %v, %s", code, gathered(), errs)
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	if interrupted(t, out+"/pith.plan.json", menu...); gathered() {
		t.Error("gathered again")
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	interrupted(t, out+"/pith.plan.json", append(menu, "--chunks", "2")...)
	if !gathered() {
		t.Error("other windows, and the same statistics")
	}
	ok(t, append(menu, "--overwrite")...)
	if left, _ := filepath.Glob(out + ".menu*"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// A plan has no output to keep statistics beside: it says so, and leaves nothing.
func TestPlansOfMenusLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	menu := []string{"plan", tinyModel(t), "--menu", "int4-g32,int8-g32", "--bpw", "7", "--text", tinyText(t), "--ctx", "32"}
	if errs := interrupted(t, dir+"/pith-menu*/statistics.work/part-00000*", menu...); !strings.Contains(errs, "nothing is kept") || !strings.Contains(errs, "pith calibrate") {
		t.Error(errs)
	}
	ok(t, menu...)
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	if code, _, errs := cli(menu...); code == exitOK || !strings.Contains(errs, "let TMPDIR name") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// With --stats, text is for probes alone: what it is changes the choice at most, not what the plan records.
func TestProbesGoWithStatistics(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	stats, out := filepath.Join(dir, "stats"), filepath.Join(dir, "out")
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "-o", stats)
	menu := []string{"--menu", "int4-g32,int8-g32", "--bpw", "7", "--stats", stats, "--text", text, "--ctx", "32"}
	ok(t, append([]string{"compress", model, "-o", out, "--probe", "1"}, menu...)...)
	p := ok(t, append([]string{"plan", model, "--json", "--probe", "1"}, menu...)...)
	var r struct{ Calibration plan.Calibration }
	if err := json.Unmarshal([]byte(p), &r); err != nil || r.Calibration.SHA256 == "" || r.Calibration.Texts != 0 || r.Calibration.Sequential {
		t.Errorf("%+v, %v", r, err)
	}
	ok(t, "plan", model, "--codec", "lr0.6-int8-g32", "--ranks", stats, "--stats", stats, "--text", text, "--ctx", "32", "--probe", "1")
	if out := ok(t, "compress", model, "--codec", "lr0.6-int8-g32", "--method", "svd-llm", "--ranks", stats, "-o", filepath.Join(t.TempDir(), "out")); strings.Contains(out, "plain svd") {
		t.Errorf("the statistics of --ranks are not calibrated with:\n%s", out)
	}
	for want, flags := range map[string][]string{
		"both go with --probe":          nil,
		"leave out --chunks":            {"--probe", "1", "--chunks", "2"},
		"leave out --chunks and --sequ": {"--probe", "1", "--sequential"},
	} {
		if code, _, errs := cli(slices.Concat([]string{"plan", model}, menu, flags)...); code == exitOK || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s", flags, code, errs)
		}
	}
}

// What can be known at once is refused before anything is calibrated.
func TestMenusAreRefusedBeforeAnyWork(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	taken, broken := filepath.Join(dir, "taken"), filepath.Join(dir, "broken")
	ok(t, "compress", model, "--codec", "int8-g32", "-o", taken)
	writeFile(t, broken, []byte("no statistics"))
	for want, flags := range map[string][]string{
		"GGUF has no layout for int4-g32":  {"--menu", "q4_0,int4-g32", "-o", filepath.Join(dir, "out.gguf")},
		"holds the work of another plan":   {"--menu", "int8-g32", "-o", taken},
		"files that pith did not write":    {"--menu", "int8-g32", "-o", filepath.Dir(text)},
		"where the checkpoint itself lies": {"--menu", "int8-g32", "-o", model},
		"is too small":                     {"--menu", "int8-g32"},
		"solves no codec of the menu":      {"--menu", "int4-g32", "--method", "asvd0.25"},
		"--ranks: ":                        {"--menu", "lr0.5-int8-g32", "--ranks", broken},
		"how many atoms?":                  {"--menu", "int4-g32", "--share", "matrix-pca"},
		"anything in common":               {"--menu", "int4-g32-2:4", "--share", "joint"},
		"neither a role":                   {"--menu", "int4-g32", "--share", "joint", "--share-roles", "["},
	} {
		args := []string{"compress", model, "--bpw", "7.5", "--text", text, "--ctx", "32", "-o", filepath.Join(dir, "out")}
		code, _, errs := cli(append(args, flags...)...)
		if code == exitOK || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s", flags, code, errs)
		}
	}
	for _, at := range []string{dir, filepath.Dir(model), filepath.Dir(filepath.Dir(text))} {
		if left, _ := filepath.Glob(at + "/*.menu*"); len(left) > 0 {
			t.Errorf("%q: statistics were gathered", left)
		}
	}
	code, _, errs := cli("compress", model, "--drop-layers", "1", "--text", text, "--ctx", "32", "--share", "joint", "-o", filepath.Join(dir, "out"))
	if code == exitOK || !strings.Contains(errs, "of which rank?") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestMenusTakeSpacesAndExponents(t *testing.T) {
	model, text := tinyModel(t), tinyText(t)
	out := ok(t, "plan", model, "--menu", "lr0.9-int8-g32, int4-g32 ,int4-g32+lr4-f16", "--bpw", "9", "--method", "asvd0.25", "--text", text, "--ctx", "32", "--chunks", "4")
	if !strings.Contains(out, "asvd0.25") {
		t.Error(out)
	}
	ok(t, "plan", model, "--menu", "int4-g32+lr4-f16,int4-g32", "--bpw", "9", "--method", "ldlq+asvd0.7", "--text", text, "--ctx", "32", "--chunks", "4")
	for _, exponent := range []string{"1.0", "0.50", "8"} {
		if _, _, errs := cli("plan", model, "--codec", "lr0.5-f16", "--method", "asvd"+exponent); !strings.Contains(errs, "above 0 and at most 4") {
			t.Error(errs)
		}
	}
}
