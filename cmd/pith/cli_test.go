package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain lets the test binary be the program, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("PITH_TEST_AS_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestHelpOfEveryCommandIsTheGolden(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if c.Short == "" || (c.Runnable() && c.Example == "") {
			t.Errorf("%s: every command has a description and examples", c.CommandPath())
		}
		got := ok(t, args...)
		if i := strings.Index(got, "goroutines to compute with"); i >= 0 { // the default is the machine's
			line := got[i : strings.IndexByte(got[i:], '\n')+i]
			got = strings.Replace(got, line, "goroutines to compute with; results do not depend on it", 1)
		}
		golden := filepath.Join("testdata", "help", strings.ReplaceAll(c.CommandPath(), " ", "-")+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o777); err != nil {
				t.Fatal(err)
			}
			writeFile(t, golden, []byte(got))
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatalf("%v; go test ./cmd/pith -update writes it", err)
		}
		if got != string(want) {
			t.Errorf("help of %s is not %s; go test ./cmd/pith -update rewrites it. It is now:\n%s", c.CommandPath(), golden, got)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand(streams{}))
}

func TestCommandsAreThoseOfTheContract(t *testing.T) {
	var names []string
	for _, c := range rootCommand(streams{}).Commands() {
		names = append(names, c.Name())
	}
	for _, want := range []string{"demo", "inspect", "plan", "compress", "eval", "run", "bench", "verify", "convert", "version"} {
		if !slices.Contains(names, want) {
			t.Errorf("no command %s", want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := ok(t, "completion", shell); !strings.Contains(out, "pith") {
			t.Errorf("no completion for %s", shell)
		}
	}
}

func TestCompressEvaluateVerifyRunAndConvert(t *testing.T) {
	model, text, out := tinyModel(t), tinyText(t), filepath.Join(t.TempDir(), "out")
	if got := ok(t, "compress", model, "--codec", "int8-g32", "-o", out, "--workers", "2", "--memory", "512MiB"); !strings.Contains(got, "bits per weight") {
		t.Errorf("compress printed %q", got)
	}
	if got := ok(t, "verify", out); !strings.HasPrefix(got, "whole: ") {
		t.Errorf("verify printed %q", got)
	}
	if got := ok(t, "inspect", out); !strings.Contains(got, "int8-g32") || !strings.Contains(got, "llama, 2 layers of 64") || !strings.Contains(got, "320 tokens") {
		t.Errorf("inspect printed %s", got)
	}
	if got := ok(t, "eval", out, "--base", model, "--text", text, "--ctx", "32", "--chunks", "4"); !strings.Contains(got, "KL mean") {
		t.Errorf("eval printed %s", got)
	}
	first := ok(t, "run", out, "--prompt", "the rain", "-n", "8", "--temp", "1", "--seed", "3")
	if !strings.HasPrefix(first, "the rain") || len(first) < len("the rain\n")+1 || first != ok(t, "run", out, "--prompt", "the rain", "-n", "8", "--temp", "1", "--seed", "3") {
		t.Errorf("run printed %q", first)
	}
	gguf := filepath.Join(t.TempDir(), "tiny.gguf")
	ok(t, "compress", model, "--codec", "q8_0", "--format", "gguf", "-o", gguf)
	if _, err := os.Stat(gguf + ".work"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the working directory is left behind")
	}
	if got := ok(t, "eval", gguf, "--text", text, "--ctx", "32", "--chunks", "4"); !strings.Contains(got, "gguf") {
		t.Errorf("eval of gguf printed %s", got)
	}
	hf := filepath.Join(t.TempDir(), "hf")
	ok(t, "convert", out, "--format", "hf", "-o", hf, "--dtype", "f32")
	if a, b := perplexity(t, out, text), perplexity(t, hf, text); a != b {
		t.Errorf("perplexity %v of the artifact, %v once decoded to float32", a, b)
	}
	if code, _, errs := cli("convert", out, "--format", "hf", "-o", hf); code != exitBadInput || !strings.Contains(errs, "exists already") {
		t.Errorf("convert over a file: %d %s", code, errs)
	}
	if got := ok(t, "bench", out, "--prompt", "8", "--decode", "4", "--repeats", "1"); !strings.Contains(got, "tokens/s") {
		t.Errorf("bench printed %s", got)
	}
}

// jsonOf runs a command with --json and returns its object.
func jsonOf(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out := ok(t, append(args, "--json")...)
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("pith %v: %v in %q", args, err, out)
	}
	return v
}

func perplexity(t *testing.T, model, text string) float64 {
	t.Helper()
	return jsonOf(t, "eval", model, "--text", text, "--ctx", "32")["perplexity"].(float64)
}

func TestJSONHasTheFieldsThatScriptsRelyOn(t *testing.T) {
	model, text, out := tinyModel(t), tinyText(t), filepath.Join(t.TempDir(), "out")
	lines := ok(t, "compress", model, "--codec", "int4-g32", "-o", out, "--json")
	var last map[string]any
	kinds := map[string]bool{}
	for sc := bufio.NewScanner(strings.NewReader(lines)); sc.Scan(); {
		last = nil
		if err := json.Unmarshal(sc.Bytes(), &last); err != nil {
			t.Fatalf("%v: %s", err, sc.Text())
		}
		kinds[last["event"].(string)] = true
	}
	if last["event"] != "result" || last["dir"] != out || !kinds["started"] || !kinds["block"] || !kinds["finished"] {
		t.Errorf("compress --json ends with %v and has events %v", last, kinds)
	}
	for _, c := range []struct {
		args   []string
		fields string
	}{
		{[]string{"eval", out, "--base", model, "--text", text, "--protocol", "gptq", "--ctx", "32", "--chunks", "2"},
			"perplexity perplexity_stderr nll_per_token tokens bits_per_byte kl_mean kl_p99 top1_agreement file_bytes bits_per_weight tokens_per_second " +
				"kl_median kl_max protocol ctx chunks text_sha256 model base delta_p_rms ln_ppl_ratio_stderr"},
		{[]string{"plan", model, "--codec", "int4-g32"}, "blocks totals plan_sha256 memory_bytes seconds"},
		{[]string{"inspect", model}, "kind parameters tensor_bytes bits_per_weight codecs tensors architecture"},
		{[]string{"verify", out}, "ok files weights"},
		{[]string{"run", out, "-p", "the", "-n", "2"}, "text ids tokens_per_second prompt_tokens stop"},
		{[]string{"bench", out, "--prompt", "4", "--decode", "2", "--repeats", "1"}, "load_seconds prompt_tokens_per_second decode_tokens_per_second activation_bytes cache_bytes"},
		{[]string{"convert", out, "-o", filepath.Join(t.TempDir(), "a.gguf")}, "path file_bytes notes"},
		{[]string{"version"}, "version go platform"},
	} {
		v := jsonOf(t, c.args...)
		for f := range strings.FieldsSeq(c.fields) {
			if _, has := v[f]; !has {
				t.Errorf("pith %s --json lacks %s", c.args[0], f)
			}
		}
	}
	if v := jsonOf(t, "eval", out, "--text", text, "--ctx", "32", "--chunks", "2"); v["kl_mean"] != nil || v["base"] != nil {
		t.Error("eval without --base reports figures of a base")
	}
}

func TestSameTextForAnyNumberOfWorkers(t *testing.T) {
	model, text := tinyModel(t), tinyText(t)
	var want string
	for _, workers := range []string{"1", "2", "5"} {
		v := jsonOf(t, "eval", model, "--text", text, "--ctx", "32", "--workers", workers)
		delete(v, "seconds")
		delete(v, "tokens_per_second")
		got, _ := json.Marshal(v)
		if want == "" {
			want = string(got)
		} else if string(got) != want {
			t.Errorf("%s workers: %s\n1 worker: %s", workers, got, want)
		}
	}
}

func TestVerifyOfADamagedArtifactExitsWithOne(t *testing.T) {
	model, out := tinyModel(t), filepath.Join(t.TempDir(), "out")
	ok(t, "compress", model, "--codec", "int4-g32", "-o", out)
	shards, _ := filepath.Glob(filepath.Join(out, "model-*.safetensors"))
	data, err := os.ReadFile(shards[1])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-3] ^= 1
	writeFile(t, shards[1], data)
	code, _, errs := cli("verify", out)
	if code != exitNegative || !strings.Contains(errs, filepath.Base(shards[1])) || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d: %q", code, errs)
	}
	code, stdout, _ := cli("verify", out, "--json")
	if code != exitNegative || !strings.Contains(stdout, `"ok": false`) {
		t.Errorf("--json: exit code %d: %q", code, stdout)
	}
}

func TestInterruptedCompressSaysHowToResume(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := filepath.Join(t.TempDir(), "out")
	code, _, errs := cliContext(ctx, "compress", tinyModel(t), "--codec", "int4-g32", "-o", out)
	if code != exitInterrupted || !strings.Contains(errs, "resume") || strings.Count(errs, "\n") != 1 {
		t.Errorf("compress: exit code %d: %q", code, errs)
	}
	code, _, errs = cliContext(ctx, "eval", tinyModel(t), "--text", tinyText(t), "--ctx", "32")
	if code != exitInterrupted || strings.Count(errs, "\n") != 1 {
		t.Errorf("eval: exit code %d: %q", code, errs)
	}
}

func TestProgramExitsWithItsCode(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]int{"version": exitOK, "inspect nowhere": exitBadInput, "verify nowhere": exitBadInput, "nonsense": exitBadInput} {
		c := exec.Command(self, strings.Fields(args)...)
		c.Env = append(os.Environ(), "PITH_TEST_AS_PROGRAM=1")
		out, err := c.CombinedOutput()
		if got := c.ProcessState.ExitCode(); got != want {
			t.Errorf("pith %s: exit code %d (%v), want %d: %s", args, got, err, want, out)
		}
		if strings.Count(string(out), "\n") != 1 {
			t.Errorf("pith %s: not one line: %q", args, out)
		}
	}
}

func TestBenchSyntheticTimesLowRankBesideDense(t *testing.T) {
	v := ok(t, "bench", "synthetic", "--codec", "lr0.5-int8-g64", "--hidden", "64", "--intermediate", "96", "--heads", "4", "--kv-heads", "2", "--layers", "1",
		"--vocab", "50", "--decode", "2", "--repeats", "1", "--workers", "1", "--json")
	for _, want := range []string{`"codec": "int8-g64"`, `"dense_codec": "int8-g64"`, `"vs_dense"`, `"activation_bytes"`} {
		if !strings.Contains(v, want) {
			t.Errorf("no %s in %s", want, v)
		}
	}
	v = ok(t, "bench", "synthetic", "--codec", "atoms2-int8-g64", "--atoms", "direct,fold,auto:1KiB", "--hidden", "64", "--intermediate", "96", "--heads", "4", "--kv-heads", "2", "--layers", "2",
		"--vocab", "50", "--decode", "2", "--repeats", "1", "--workers", "1")
	for _, want := range []string{"atoms2-int8-g64 direct", "atoms2-int8-g64 fold"} {
		if !strings.Contains(v, want) {
			t.Errorf("no %s in %s", want, v)
		}
	}
}
