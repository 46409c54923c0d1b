package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/calib"
)

func TestTextsThatCannotBeReadAreRefused(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	out := filepath.Join(dir, "out")
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(content))
		return path
	}
	empty, short := file("empty.txt", ""), file("short, with a comma.txt", "the rain")
	for _, command := range [][]string{{"calibrate", model, "-o", out}, {"compress", model, "-o", out, "--codec", "int4-g32", "--method", "ldlq"}} {
		with := func(args ...string) []string { return append(command[:len(command):len(command)], args...) }
		refused(t, []string{"empty.txt has 1 tokens", "use more text"}, with("--text", empty)...)
		refused(t, []string{"longest of 2 texts, short, with a comma.txt"}, with("--text", short, "--text", empty)...)
		refused(t, []string{"--text", dir}, with("--text", dir)...)
		refused(t, []string{"--text", "nosuch.txt"}, with("--text", "nosuch.txt")...)
		if _, err := os.Stat("/dev/zero"); err == nil {
			refused(t, []string{"--text", "/dev/zero"}, with("--text", "/dev/zero")...)
		}
		text := tinyText(t)
		refused(t, []string{"--ctx and --chunks"}, with("--text", text, "--ctx", "-1")...)
		refused(t, []string{"--ctx and --chunks"}, with("--text", text, "--chunks", "-1")...)
		refused(t, []string{"1 tokens", "16 to"}, with("--text", text, "--ctx", "1")...)
		refused(t, []string{"tokens and a window 100000"}, with("--text", text, "--ctx", "100000")...)
	}
}

func TestStatisticsThatCannotBeAreRefused(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	good := filepath.Join(dir, "good")
	ok(t, "calibrate", model, "--text", tinyText(t), "--ctx", "32", "--chunks", "4", "-o", good)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(name string, old, new string) string {
		if len(old) != len(new) || !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s cannot be changed", old)
		}
		path := filepath.Join(dir, name)
		writeFile(t, path, bytes.ReplaceAll(data, []byte(old), []byte(new)))
		return path
	}
	written := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, content)
		return path
	}
	nan := bytes.Clone(data) // the last value: of the last site's Gram matrix, or its moments
	binary.LittleEndian.PutUint64(nan[len(nan)-8:], 0x7ff8<<48)
	for path, wants := range map[string][]string{
		written("truncated", data[:len(data)-100]):                                              {"cut short"},
		written("header", data[:200]):                                                           {"cut short"},
		written("empty", nil):                                                                   {"pith calibrate wrote", "importance matrix"},
		written("text", []byte(strings.Repeat("some text ", 100))):                              {"pith calibrate wrote", "importance matrix"},
		written("nan", nan):                                                                     {"damaged", "site"},
		changed("type", `\"type\":\"llama\"`, `\"type\":\"qwen2\"`):                             {"qwen2", "calibrate with this model"},
		changed("format", `\"format\":1`, `\"format\":9`):                                       {"format 9", "run pith calibrate again"},
		changed("features", `layers.0.qkv\",\"features\":64`, `layers.0.qkv\",\"features\":63`): {"layers.0.qkv"},
		filepath.Join(model, "model.safetensors"):                                               {"holds no statistics", "pith calibrate"},
		filepath.Join(dir, "nosuch"):                                                            {"--stats", "nosuch"},
		dir:                                                                                     {"--stats", "not a regular file"},
	} {
		refused(t, append(wants, filepath.Base(path)), "compress", model, "--codec", "int4-g32", "--method", "ldlq", "--stats", path, "-o", filepath.Join(dir, "out"))
	}
}

func TestStatisticsOfOtherWeightsAreNoted(t *testing.T) {
	model, dir, text := tinyModel(t), t.TempDir(), tinyText(t)
	other := changedModel(t, model, changes{layer0 + "mlp.up_proj.weight": set(3, 0, 0.5)})
	stats := filepath.Join(dir, "stats")
	ok(t, "calibrate", other, "--text", text, "--ctx", "32", "-o", stats)
	compressed := func(model, out string) string {
		return ok(t, "compress", model, "--codec", "int4-g32", "--method", "gptq", "--stats", stats, "-o", filepath.Join(dir, out))
	}
	const note = "of other weight files"
	if printed := compressed(model, "a"); !strings.Contains(printed, note) {
		t.Errorf("another model's statistics: %s", printed)
	}
	if printed := compressed(other, "b"); strings.Contains(printed, note) {
		t.Errorf("the model's own statistics: %s", printed)
	}
}

// Statistics of one token, no tokens, or moments alone give a result that says what was done instead.
func TestStatisticsThatDoNotSufficeAreNoted(t *testing.T) {
	model, dir, text := tinyModel(t), t.TempDir(), tinyText(t)
	full := filepath.Join(dir, "full")
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "--chunks", "1", "-o", full)
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "--moments-only", "-o", filepath.Join(dir, "moments"))
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "-o", filepath.Join(dir, "imatrix.gguf"))
	set, err := calib.Open(full)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for _, tokens := range []int64{0, 1} {
		few := calib.NewSet(set.Model, set.Corpora...)
		for _, site := range set.Sites() {
			stats, err := set.Stats(site.Name, calib.Gram)
			if err != nil {
				t.Fatal(err)
			}
			stats.Tokens, stats.AbsSum = tokens, nil // magnitudes of more tokens would be refused as damage
			if err := few.Add(site, stats); err != nil {
				t.Fatal(err)
			}
		}
		if err := few.Save(filepath.Join(dir, []string{"none", "one"}[tokens])); err != nil {
			t.Fatal(err)
		}
	}
	for name, note := range map[string]string{"none": "statistics of 0 tokens", "one": "statistics of 1 tokens", "moments": "no Gram matrix", "imatrix.gguf": "no Gram matrix"} {
		printed := ok(t, "compress", model, "--codec", "tcq-lut7-3-had", "--method", "ldlq", "--stats", filepath.Join(dir, name), "-o", filepath.Join(dir, name+".out"))
		if !strings.Contains(printed, "rounded to nearest: "+note) {
			t.Errorf("%s: %s", name, printed)
		}
	}
}

func TestASavedPlanKeepsToItsStatistics(t *testing.T) {
	model, dir, text := tinyModel(t), t.TempDir(), tinyText(t)
	other := filepath.Join(dir, "other.txt")
	writeFile(t, other, []byte(strings.Repeat("another text in the garden ", 100)))
	path, out := filepath.Join(dir, "plan.json"), filepath.Join(dir, "out")
	ok(t, "plan", model, "--codec", "int4-g32", "--method", "ldlq", "--text", text, "--ctx", "32", "--save", path)
	refused(t, []string{path, "give the same --text"}, "compress", model, "--plan", path, "-o", out)
	refused(t, []string{path, "other statistics"}, "compress", model, "--plan", path, "--text", other, "-o", out)
	refused(t, []string{path, "leave out --ctx"}, "compress", model, "--plan", path, "--text", text, "--ctx", "16", "-o", out)
	ok(t, "compress", model, "--plan", path, "--text", text, "-o", out)
	direct := filepath.Join(dir, "direct")
	ok(t, "compress", model, "--codec", "int4-g32", "--method", "ldlq", "--text", text, "--ctx", "32", "-o", direct)
	a, err := os.ReadFile(filepath.Join(out, "pith.json"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(direct, "pith.json")); err != nil || !bytes.Equal(a, b) {
		t.Errorf("a saved plan gives another artifact (%v)", err)
	}
}

func TestPlansShowMethodsAndWhatTheyLack(t *testing.T) {
	model := tinyModel(t)
	for _, c := range []struct {
		args string
		want []string
		not  string
	}{
		{"--codec int4-g32 --method ldlq", []string{"method", "ldlq", "there are no statistics", "very roughly"}, "calibration on"},
		{"--codec int4-g32 --method ldlq --text " + tinyText(t), []string{"ldlq", "calibration on some"}, "there are no statistics"},
		{"--codec int4-g32", []string{"nearest"}, "there are no statistics"},
	} {
		printed := ok(t, append([]string{"plan", model}, strings.Fields(c.args)...)...)
		for _, w := range c.want {
			if !strings.Contains(printed, w) {
				t.Errorf("%s: no %q in\n%s", c.args, w, printed)
			}
		}
		if strings.Contains(printed, c.not) {
			t.Errorf("%s: %q in\n%s", c.args, c.not, printed)
		}
	}
}

// What is no statistics is never replaced by them: a text, a model.
func TestStatisticsReplaceNothingElse(t *testing.T) {
	model, dir, text := tinyModel(t), t.TempDir(), tinyText(t)
	stats, gguf := filepath.Join(dir, "stats"), filepath.Join(dir, "model.gguf")
	ok(t, "calibrate", model, "--text", text, "--ctx", "32", "--chunks", "2", "-o", stats)
	ok(t, "convert", model, "--format", "gguf", "-o", gguf)
	for _, path := range []string{text, filepath.Join(model, "model.safetensors"), gguf, dir} {
		before, _ := os.ReadFile(path)
		refused(t, []string{path, "choose another output"}, "calibrate", model, "--text", text, "--ctx", "32", "-o", path)
		refused(t, []string{path, "choose another output"}, "calibrate", "--merge", stats, "-o", path)
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
	imatrix := filepath.Join(dir, "imatrix.gguf")
	for range 2 { // its own kind it replaces
		ok(t, "calibrate", "--merge", stats, "-o", imatrix)
		ok(t, "calibrate", model, "--text", text, "--ctx", "32", "--chunks", "2", "-o", stats)
		ok(t, "calibrate", model, "--text", text, "--ctx", "32", "--chunks", "2", "-o", imatrix)
	}
}

func TestCodecsWithoutAGGUFLayoutAreRefusedBeforeAnyWork(t *testing.T) {
	model, out := tinyModel(t), filepath.Join(t.TempDir(), "out.gguf")
	for _, codec := range []string{"tcq-lut7-3", "nuq4-g64", "q8_0-had", "q8_0-scaled", "qoq4-g64", "f16-s50", "int4-g32"} {
		refused(t, []string{"model.embed_tokens.weight", "GGUF has no layout", "--format pith"}, "compress", model, "--codec", codec, "-o", out)
		if _, err := os.Stat(out + ".work"); err == nil {
			t.Errorf("%s: work was done", codec)
		}
	}
}
