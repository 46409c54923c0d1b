package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"pith/formats"
	"pith/tensor"
)

// refused runs a command line that must fail with exit code 2 and one line that contains all of wants.
func refused(t *testing.T, wants []string, args ...string) {
	t.Helper()
	code, _, errs := cli(args...)
	if code != exitBadInput || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "pith: ") {
		t.Errorf("pith %s: exit code %d: %q; want 2 and one line", strings.Join(args, " "), code, errs)
	}
	for _, w := range wants {
		if !strings.Contains(errs, w) {
			t.Errorf("pith %s: %q does not mention %q", strings.Join(args, " "), errs, w)
		}
	}
}

func TestBadUsageIsOneLine(t *testing.T) {
	model, text := tinyModel(t), tinyText(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		line  []string
		wants []string
	}{
		{[]string{"squash"}, []string{"unknown command", "squash"}},
		{[]string{"verfy", "x"}, []string{"unknown command", "verify"}},
		{[]string{"inspect"}, []string{"one MODEL", "pith inspect --help"}},
		{[]string{"inspect", model, "--fast"}, []string{"--fast"}},
		{[]string{"eval", model}, []string{"--text"}},
		{[]string{"eval", model, "--text", text, "--protocol", "mean"}, []string{"mean", "llamacpp, gptq, bpb"}},
		{[]string{"eval", model, "--text", text, "--ctx", "2"}, []string{"--ctx"}},
		{[]string{"eval", model, "--text", text, "--ctx", "2000"}, []string{"tokens", "at least 4000", "longer text"}},
		{[]string{"eval", model, "--text", text + ".none"}, []string{text + ".none"}},
		{[]string{"compress", model, "--codec", "int8-g32"}, []string{"-o"}},
		{[]string{"compress", model, "-o", out, "--codec", "q8_0", "--recipe", "x.yaml"}, []string{"recipe", "codec"}},
		{[]string{"compress", model, "-o", out, "--bpw", "0"}, []string{"0 bits per weight", "1 to 8"}},
		{[]string{"compress", model, "-o", out, "--codec", "int4g128"}, []string{"int4g128", "int4-g128"}},
		{[]string{"compress", model, "-o", out, "--codec", "q8_0", "--format", "onnx"}, []string{"onnx", "pith or gguf"}},
		{[]string{"compress", model, "-o", out, "--codec", "q8_0", "--memory", "lots"}, []string{"--memory", "lots", "512MiB"}},
		{[]string{"compress", model, "-o", out, "--codec", "q8_0", "--memory", "1MiB"}, []string{"MiB", "--memory"}},
		{[]string{"compress", model, "-o", out, "--codec", "int4-g32", "--format", "gguf"}, []string{"GGUF", "int4-g32", "q4_0"}},
		{[]string{"compress", model, "-o", model, "--codec", "q8_0"}, []string{model, "another directory"}},
		{[]string{"convert", model, "-o", out, "--dtype", "int4"}, []string{"int4", "f32, f16 or bf16"}},
		{[]string{"convert", model, "-o", out, "--format", "onnx"}, []string{"onnx", "gguf or hf"}},
		{[]string{"eval", model, "--text", text, "--ctx", "32", "--chunks", "-1"}, []string{"--chunks"}},
		{[]string{"eval", model, "--text", text, "--ctx", "32", "--workers", "0"}, []string{"--workers 0"}},
		{[]string{"eval", model, "--text", text, "--ctx", "32", "--workers", "1000000000"}, []string{"--workers 1000000000", "at most 4096"}},
		{[]string{"eval", model, "--text", text, "--ctx", "9223372036854775807"}, []string{"too long", "--ctx"}},
		{[]string{"eval", model, "--text", text, "--ctx", "1000000000", "--protocol", "bpb"}, []string{"too long", "--ctx"}},
		{[]string{"run", model, "--prompt", "the", "--temp", "-1"}, []string{"temperature"}},
		{[]string{"run", model, "--prompt", "the", "--seed", "x"}, []string{"seed"}},
		{[]string{"verify", model}, []string{model, "not a Pith artifact"}},
	} {
		refused(t, c.wants, c.line...)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused command left an output behind")
	}
}

func TestMissingAndForeignModelsAreRefused(t *testing.T) {
	dir, text := t.TempDir(), tinyText(t)
	missing, foreign, empty := filepath.Join(dir, "missing"), filepath.Join(dir, "photo.png"), filepath.Join(dir, "empty")
	writeFile(t, foreign, []byte("\x89PNG\r\n\x1a\n and so on"))
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	zeros, pickle := filepath.Join(dir, "zeros.safetensors"), filepath.Join(dir, "pytorch_model.bin")
	writeFile(t, zeros, make([]byte, 4096))
	writeFile(t, pickle, []byte("\x80\x02}q\x00."))
	for path, want := range map[string]string{missing: "does not exist", foreign: "photo.png", empty: "safetensors", zeros: "zeros.safetensors", pickle: "pytorch_model.bin"} {
		for _, args := range [][]string{{"inspect", path}, {"plan", path, "--codec", "q8_0"}, {"compress", path, "--codec", "q8_0", "-o", filepath.Join(dir, "out")},
			{"eval", path, "--text", text}, {"run", path, "-p", "a"}, {"bench", path}, {"convert", path, "-o", filepath.Join(dir, "o.gguf")}} {
			refused(t, []string{path, want}, args...)
		}
	}
	for _, out := range []string{"out", "o.gguf"} {
		if _, err := os.Stat(filepath.Join(dir, out)); err == nil {
			t.Errorf("%s was left behind", out)
		}
	}
}

func TestTruncatedWeightsAreRefusedByName(t *testing.T) {
	model := tinyModel(t)
	path := filepath.Join(model, "model.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 4, 8, 100, len(data) / 2, len(data) - 1} {
		writeFile(t, path, data[:n])
		refused(t, []string{"model.safetensors"}, "inspect", model)
		refused(t, []string{"model.safetensors"}, "compress", model, "--codec", "q8_0", "-o", filepath.Join(t.TempDir(), "out"))
	}
}

func TestTruncatedGGUFIsRefusedByName(t *testing.T) {
	gguf := filepath.Join(t.TempDir(), "tiny.gguf")
	ok(t, "convert", tinyModel(t), "-o", gguf)
	data, err := os.ReadFile(gguf)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 4, 30, len(data) / 3, len(data) - 1} {
		writeFile(t, gguf, data[:n])
		refused(t, []string{"tiny.gguf"}, "inspect", gguf)
	}
}

// rewriteTensor replaces one tensor of a model: edit gets its data and shape.
func rewriteTensor(t *testing.T, model, name string, edit func(data []byte, shape []int) ([]byte, []int)) {
	t.Helper()
	path := filepath.Join(model, "model.safetensors")
	src, err := formats.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []formats.LazyTensor
	for _, n := range src.Names() {
		x, err := formats.Read(src, n)
		if err != nil {
			t.Fatal(err)
		}
		if n == name {
			x.Data, x.Shape = edit(x.Data, x.Shape)
		}
		list = append(list, formats.LazyTensor{Info: formats.Info{Name: n, DType: tensor.F32, Shape: x.Shape, Bytes: int64(len(x.Data))},
			Data: func() ([]byte, error) { return x.Data, nil }})
	}
	src.Close()
	if err := formats.WriteSafetensors(path, list, nil); err != nil {
		t.Fatal(err)
	}
}

func TestWeightsThatAreNaNAreRefusedByName(t *testing.T) {
	model, name := tinyModel(t), "model.layers.1.mlp.up_proj.weight"
	rewriteTensor(t, model, name, func(data []byte, shape []int) ([]byte, []int) {
		binary.LittleEndian.PutUint32(data[400:], math.Float32bits(float32(math.NaN())))
		return data, shape
	})
	out := filepath.Join(t.TempDir(), "out")
	for _, codec := range []string{"int4-g32", "q8_0"} {
		refused(t, []string{filepath.Join(model, "model.safetensors") + ": " + name + ": weight at", "NaN"}, "compress", model, "--codec", codec, "-o", out)
		refused(t, []string{"not finished", out}, "inspect", out)
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, []string{"NaN", "window 0, position"}, "eval", model, "--text", tinyText(t), "--ctx", "32")
}

func TestShapesThatDoNotFitTheConfigAreRefusedByName(t *testing.T) {
	model, name := tinyModel(t), "model.layers.0.self_attn.k_proj.weight"
	rewriteTensor(t, model, name, func(data []byte, shape []int) ([]byte, []int) {
		return data[:len(data)/2], []int{shape[0] / 2, shape[1]}
	})
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{{"eval", model, "--text", tinyText(t), "--ctx", "32"}, {"run", model, "-p", "the"}, {"compress", model, "--codec", "q8_0", "-o", out}} {
		refused(t, []string{name, "16"}, args...)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an artifact was begun that pith verify would refuse")
	}
}

func TestOddShapesFallBackWithANote(t *testing.T) {
	model := tinyModel(t) // rows of 64 and 96 do not fit q4_k's 256
	got := ok(t, "plan", model, "--codec", "q4_k")
	if !strings.Contains(got, "instead of q4_k") {
		t.Errorf("plan printed %s", got)
	}
}

func TestRecipesSayWhereTheyAreWrong(t *testing.T) {
	model, recipe := tinyModel(t), filepath.Join(t.TempDir(), "r.yaml")
	for text, want := range map[string]string{
		"": "empty",
		"rules:\n  - match: \"*\"\n    codex: q8_0\n": "r.yaml:3:",
		"rules:\n  - match: \"*\"\n    codec: q9_9\n": "q9_9",
		"rules: [": "r.yaml",
	} {
		writeFile(t, recipe, []byte(text))
		refused(t, []string{recipe, want}, "plan", model, "--recipe", recipe)
	}
	refused(t, []string{"none.yaml"}, "plan", model, "--recipe", "none.yaml")
	writeFile(t, recipe, []byte("rules:\n  - match: head\n    codec: q8_0\n  - match: \"*\"\n    codec: int4-g32\n"))
	if got := ok(t, "plan", model, "--recipe", recipe); !strings.Contains(got, "q8_0") || !strings.Contains(got, "int4-g32") {
		t.Errorf("plan printed %s", got)
	}
}

func TestOutputsThatCannotBeWrittenAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions differ")
	}
	model, dir := tinyModel(t), t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, []byte("precious"))
	for _, out := range []string{file, filepath.Join(file, "below")} {
		refused(t, []string{file}, "compress", model, "--codec", "q8_0", "-o", out)
		refused(t, []string{file}, "compress", model, "--codec", "q8_0", "--format", "gguf", "-o", filepath.Join(out, "x.gguf"))
		refused(t, []string{file}, "convert", model, "-o", filepath.Join(out, "x.gguf"))
	}
	if data, _ := os.ReadFile(file); string(data) != "precious" {
		t.Error("a refused command changed a file")
	}
	readOnly := filepath.Join(dir, "read-only")
	if err := os.Mkdir(readOnly, 0o555); err != nil {
		t.Fatal(err)
	}
	if probe := os.WriteFile(filepath.Join(readOnly, "probe"), nil, 0o666); probe == nil {
		t.Skip("this user may write to read-only directories")
	}
	refused(t, []string{readOnly, "permission"}, "compress", model, "--codec", "q8_0", "-o", filepath.Join(readOnly, "out"))
}

func TestMessagesStayOneLineOfAFewHundredCharacters(t *testing.T) {
	long := strings.Repeat("é\n", 1<<16)
	got := oneLine("model.gguf: key \x1b[31m" + long + ": download it again")
	if !strings.HasPrefix(got, "model.gguf: key ") || !strings.HasSuffix(got, ": download it again") || len(got) > maxMessage+8 ||
		strings.ContainsAny(got, "\n\x1b") || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %.60q … %q", len(got), got, got[max(0, len(got)-60):])
	}
	refused(t, []string{"unknown codec", "near"}, "plan", tinyModel(t), "--codec", strings.Repeat("x", 100000))
}

func TestDevicesAreNotReadAsFiles(t *testing.T) {
	const zero = "/dev/zero"
	if _, err := os.Stat(zero); err != nil {
		t.Skip(err)
	}
	model, out := tinyModel(t), filepath.Join(t.TempDir(), "out")
	refused(t, []string{"--text", zero}, "eval", model, "--text", zero)
	refused(t, []string{zero}, "compress", model, "--plan", zero, "-o", out)
	refused(t, []string{zero}, "compress", model, "--recipe", zero, "-o", out)
	config := filepath.Join(model, "config.json")
	if err := errors.Join(os.Remove(config), os.Symlink(zero, config)); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{config, "regular file"}, "inspect", model)
}

func TestAFailedConversionLeavesNothingBehind(t *testing.T) {
	model, name := tinyModel(t), "model.layers.1.mlp.up_proj.weight"
	rewriteTensor(t, model, name, func(data []byte, shape []int) ([]byte, []int) {
		binary.LittleEndian.PutUint32(data[400:], math.Float32bits(1e30))
		return data, shape
	})
	dir := t.TempDir()
	mine := filepath.Join(dir, "notes.txt")
	writeFile(t, mine, []byte("precious"))
	for _, out := range []string{filepath.Join(dir, "new"), dir} {
		refused(t, []string{name, "F16"}, "convert", model, "--format", "hf", "--dtype", "f16", "-o", out)
		refused(t, []string{name, "F16"}, "convert", model, "--dtype", "f16", "-o", filepath.Join(out, "x.gguf"))
	}
	if err := os.Remove(filepath.Join(dir, "new")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new directory is not empty: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "notes.txt" {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestAGGUFFileIsNotReplacedByItsOwnConversion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "model.gguf")
	ok(t, "convert", tinyModel(t), "-o", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, []string{file, "the checkpoint itself"}, "convert", file, "-o", file, "--overwrite")
	refused(t, []string{file, "the checkpoint itself"}, "compress", file, "--codec", "q4_0", "--format", "gguf", "-o", file, "--overwrite")
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed (%v)", err)
	}
}

// brokenPipe is standard output whose reader went away.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}
}

func TestAReaderThatGoesAwayStopsNoWorkAndHidesNoDamage(t *testing.T) {
	model, out := tinyModel(t), filepath.Join(t.TempDir(), "out")
	exec := func(args ...string) (int, string) {
		var errs bytes.Buffer
		code := run(t.Context(), args, streams{strings.NewReader(""), brokenPipe{}, &errs})
		return code, errs.String()
	}
	for _, args := range [][]string{{"compress", model, "--codec", "q8_0", "-o", out, "--json"}, {"inspect", out}, {"verify", out, "--json"}} {
		if code, errs := exec(args...); code != exitOK || errs != "" {
			t.Errorf("pith %s: exit code %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	ok(t, "verify", out)
	writeFile(t, filepath.Join(out, "config.json"), []byte("{}"))
	if code, _ := exec("verify", out, "--json"); code != exitNegative {
		t.Errorf("verify of a damaged artifact: exit code %d", code)
	}
}

func TestModelsOfDifferentVocabulariesAreNotCompared(t *testing.T) {
	a, b := tinyModel(t), tinyModel(t)
	path := filepath.Join(b, "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	v["model"].(map[string]any)["merges"] = []string{"t h"}
	writeJSON(t, path, v)
	refused(t, []string{a, b, "differently"}, "eval", a, "--base", b, "--text", tinyText(t), "--ctx", "32")
}

func TestUnknownArchitecturesCompressButDoNotRun(t *testing.T) {
	model := tinyModel(t)
	writeJSON(t, filepath.Join(model, "config.json"), map[string]any{"model_type": "mamba9", "vocab_size": tinyVocab})
	out := filepath.Join(t.TempDir(), "out")
	ok(t, "compress", model, "--codec", "int4-g32", "-o", out)
	ok(t, "verify", out)
	ok(t, "inspect", out)
	refused(t, []string{"mamba9"}, "eval", out, "--text", tinyText(t))
	refused(t, []string{"mamba9"}, "compress", model, "--codec", "q8_0", "--format", "gguf", "-o", out+".gguf")
	refused(t, []string{"mamba9"}, "run", out, "-p", "a")
}

func TestPlansOfOtherModelsAndWithMissingLinesAreRefused(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	path, out := filepath.Join(dir, "plan.json"), filepath.Join(dir, "out")
	ok(t, "plan", model, "--codec", "q8_0", "--save", path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ok(t, "compress", model, "--plan", path, "-o", filepath.Join(dir, "good"))
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	blocks := v["blocks"].([]any)
	v["blocks"] = blocks[1:]
	writeJSON(t, path, v)
	refused(t, []string{"model.embed_tokens.weight", "no line in the plan"}, "compress", model, "--plan", path, "-o", out)
	v["blocks"] = append(blocks, blocks[0])
	writeJSON(t, path, v)
	refused(t, []string{"model.embed_tokens.weight", "two lines"}, "compress", model, "--plan", path, "-o", out)
	writeFile(t, path, data)
	rewriteTensor(t, model, "model.norm.weight", func(data []byte, shape []int) ([]byte, []int) { return data[:8], []int{2} })
	refused(t, []string{"model.norm.weight", "[2]"}, "compress", model, "--plan", path, "-o", out)
	writeFile(t, path, []byte(`{"format":1}`))
	refused(t, []string{"no line in the plan"}, "compress", model, "--plan", path, "-o", out)
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused plan left an output behind")
	}
}
