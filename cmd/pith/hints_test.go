package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
)

func TestOutputNameChoosesTheFormat(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	file := filepath.Join(dir, "tiny.gguf")
	ok(t, "compress", model, "--codec", "q8_0", "-o", file)
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		t.Errorf("compress -o tiny.gguf wrote no file: %v", err)
	}
	named := filepath.Join(dir, "named.gguf")
	ok(t, "compress", model, "--codec", "q8_0", "-o", named, "--format", "pith")
	if _, err := os.Stat(filepath.Join(named, "pith.json")); err != nil {
		t.Errorf("--format pith was overruled by the name: %v", err)
	}
	refused(t, []string{file, "is a file"}, "verify", file)
}

// A user who never runs pith plan learns that weights got another codec, or grew.
func TestWhatWasNotDoneAsAskedIsSaid(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	out := filepath.Join(dir, "out")
	if got := ok(t, "compress", model, "--codec", "q4_k", "-o", out); !strings.Contains(got, "get another codec than asked for") { // rows of 64
		t.Errorf("compress printed %s", got)
	}
	if got := ok(t, "convert", out, "-o", filepath.Join(dir, "a.gguf")); strings.Contains(got, "decoded") {
		t.Errorf("convert of GGML blocks printed %s", got)
	}
	ints := filepath.Join(dir, "ints")
	if got := ok(t, "compress", model, "--codec", "int4-g32", "-o", ints); strings.Contains(got, "note") {
		t.Errorf("compress printed %s", got)
	}
	if got := ok(t, "compress", model, "--codec", "int4-g32", "-o", ints); strings.Contains(got, "weights/s") {
		t.Errorf("a run that found everything done prints a speed: %s", got)
	}
	if got := ok(t, "convert", ints, "-o", filepath.Join(dir, "b.gguf")); !strings.Contains(got, "int4-g32") || !strings.Contains(got, "decoded to f16") {
		t.Errorf("convert printed %s", got)
	}
	refused(t, []string{"--prompt"}, "run", ints, "hello")
}

func TestCompressToGGUFSaysWhatLlamaCppComputesDifferently(t *testing.T) {
	model, out := tinyModel(t), filepath.Join(t.TempDir(), "m.gguf")
	path := filepath.Join(model, "config.json")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, bytes.Replace(config, []byte(`"model_type":"llama"`), []byte(`"sliding_window":32,"model_type":"mistral"`), 1))
	if got := ok(t, "compress", model, "--codec", "q8_0", "-o", out); !strings.Contains(got, "note ") || !strings.Contains(got, "llama.cpp") {
		t.Errorf("compress printed %s", got)
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	if flag, command := ok(t, "--version"), ok(t, "version"); flag != command {
		t.Errorf("--version prints %q, version %q", flag, command)
	}
}

func TestInstructionLevelsThatCannotBeHadAreRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for level, want := range map[string]string{"sse9": "PITH_CPU=sse9: unknown level", "generic": "nowhere: does not exist"} {
		c := exec.Command(self, "bench", "nowhere")
		c.Env = append(os.Environ(), "PITH_TEST_AS_PROGRAM=1", "PITH_NOSIMD=", "PITH_CPU="+level)
		if out, _ := c.CombinedOutput(); c.ProcessState.ExitCode() != exitBadInput || !strings.Contains(string(out), want) {
			t.Errorf("PITH_CPU=%s: %s", level, out)
		}
	}
}

func TestShellsCompleteTheValuesOfFlags(t *testing.T) {
	for _, c := range []struct{ command, flag, want string }{
		{"compress", "--codec", "q4_k"}, {"plan", "--format", "gguf"}, {"eval", "--protocol", "bpb"}, {"convert", "--format", "hf"}, {"convert", "--dtype", "bf16"},
	} {
		if got := strings.Fields(ok(t, "__complete", c.command, c.flag, "")); !slices.Contains(got, c.want) {
			t.Errorf("%s %s completes to %q", c.command, c.flag, got)
		}
	}
}

func TestHelpNamesEveryCodec(t *testing.T) {
	for _, command := range []string{"plan", "compress"} {
		help := ok(t, command, "--help")
		for _, name := range codec.Names() {
			if family, _, _ := strings.Cut(name, "-g"); family != name {
				continue // the int family is one pattern
			}
			name = strings.TrimSuffix(name, "-had")
			if strings.HasPrefix(name, "tcq-") {
				name = "tcq-<code>-<bits>"
			}
			for prefix, pattern := range map[string]string{"sketch": "sketch{2,3,4}-p{1,2,4,8}", "jlcm": "jlcm{2,3,4}-k{1…256}[-s]", "sign-": "sign-k{1…64}"} {
				if strings.HasPrefix(name, prefix) {
					name = pattern
				}
			}
			if c, err := codec.Parse(name); err == nil {
				if _, product := c.(codec.LowRank); product {
					name = "lr<rank>-<codec>"
				}
				if _, masked := c.(codec.Sparse); masked {
					name = "<values>-<pattern>"
				}
			}
			if strings.HasPrefix(name, "atoms") {
				name = "atoms<n>-<codec>"
			}
			if !strings.Contains(help, name) {
				t.Errorf("pith %s --help does not name %s", command, name)
			}
		}
	}
}
