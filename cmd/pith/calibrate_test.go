package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/calib"
)

func TestCalibrateGathersMergesAndConverts(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	other := filepath.Join(dir, "other.txt")
	writeFile(t, other, []byte(strings.Repeat("there is another text in the house\n", 50)))
	a, b, sum := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sum")
	out := ok(t, "calibrate", model, "--text", text, "-o", a, "--ctx", "32")
	for _, want := range []string{"10: 9 with Gram matrices", "text.txt: ", "size        "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	var r calibration
	if err := json.Unmarshal([]byte(ok(t, "calibrate", model, "--text", other, "-o", b, "--ctx", "32", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Sites) != 10 || r.Plan.Tokens != r.Corpora[0].Tokens || r.Plan.Sites != 10 || r.Bytes < r.Plan.FileBytes {
		t.Errorf("result %+v", r)
	}
	ok(t, "calibrate", "--merge", a, b, "-o", sum)
	merged, err := calib.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	if len(merged.Corpora) != 2 {
		t.Errorf("corpora %+v", merged.Corpora)
	}
	both := filepath.Join(dir, "both")
	ok(t, "calibrate", model, "--text", text, "--text", other, "-o", both, "--ctx", "32")
	whole, err := calib.Open(both)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if whole.Tokens() != merged.Tokens() {
		t.Errorf("%d tokens at once, %d merged", whole.Tokens(), merged.Tokens())
	}
	direct, converted := filepath.Join(dir, "direct.gguf"), filepath.Join(dir, "converted.gguf")
	ok(t, "calibrate", model, "--text", text, "-o", direct, "--ctx", "32")
	ok(t, "calibrate", "--merge", a, "-o", converted)
	x, err := os.ReadFile(direct)
	if err != nil {
		t.Fatal(err)
	}
	y, _ := os.ReadFile(converted)
	if !bytes.Equal(x, y) {
		t.Error("an importance matrix made from Gram matrices differs from one of moments")
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.Contains(e.Name(), "work") || strings.HasSuffix(e.Name(), ".statistics") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestCalibrateGathersGradients(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	stats := filepath.Join(dir, "stats")
	out := ok(t, "calibrate", model, "--text", text, "-o", stats, "--ctx", "32", "--gradients", "2")
	if !strings.Contains(out, "gradients   of ") {
		t.Errorf("gradients are not in\n%s", out)
	}
	set, err := calib.Open(stats)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	shapes := set.Fishers()
	if len(shapes) == 0 {
		t.Fatal("no squared gradients")
	}
	for _, shape := range shapes {
		f, err := set.FisherOf(shape.Weight)
		if err != nil {
			t.Fatal(err)
		}
		var rows, cols float64
		for _, v := range f.Rows {
			rows += v
		}
		for _, v := range f.Cols {
			cols += v
		}
		if !(rows > 0) || math.Abs(rows-cols) > 1e-9*rows {
			t.Errorf("%s: rows add up to %g, columns to %g", shape.Weight, rows, cols)
		}
	}
	compressed := filepath.Join(dir, "out")
	ok(t, "compress", model, "-o", compressed, "--stats", stats, "--codec", "lr0.5-f16", "--method", "fwsvd")
	if code, _, errs := cli("calibrate", model, "--text", text, "-o", filepath.Join(dir, "x.gguf"), "--gradients", "2"); code == exitOK || !strings.Contains(errs, "importance matrices") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestCalibrateSaysWhatIsWrong(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	out := filepath.Join(dir, "stats")
	short := filepath.Join(dir, "short.txt")
	writeFile(t, short, []byte("the"))
	a := filepath.Join(dir, "a")
	ok(t, "calibrate", model, "--text", text, "-o", a, "--ctx", "32", "--moments-only")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"-o is missing", []string{"calibrate", model, "--text", text}},
		{"--text is missing", []string{"calibrate", model, "-o", out}},
		{"shorter context", []string{"calibrate", model, "--text", short, "-o", out}},
		{"context of 16", []string{"calibrate", model, "--text", text, "-o", out, "--ctx", "3"}},
		{"0 is the default", []string{"calibrate", model, "--text", text, "-o", out, "--chunks", "-1"}},
		{"are allowed", []string{"calibrate", model, "--text", text, "-o", out, "--ctx", "32", "--memory", "1KiB"}},
		{"count it twice", []string{"calibrate", "--merge", a, a, "-o", out}},
		{"will not replace", []string{"calibrate", model, "--text", text, "-o", short, "--ctx", "32"}},
		{"holds no statistics", []string{"calibrate", "--merge", filepath.Join(model, "model.safetensors"), "-o", out}},
	} {
		code, _, errs := cli(c.args...)
		if code != exitBadInput || !strings.Contains(errs, c.want) {
			t.Errorf("pith %s: exit code %d: %s; want %q", strings.Join(c.args, " "), code, errs, c.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed run left a file")
	}
}

func TestAPrintedErrorSaysWhetherInputsWeightIt(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	with := ok(t, "compress", tinyModel(t), "--text", tinyText(t), "--ctx", "32", "--chunks", "2", "-o", out)
	without := ok(t, "compress", tinyModel(t), "-o", out, "--overwrite")
	if !strings.Contains(with, "weighted by the mean squares of their inputs") || strings.Contains(without, "weighted by") {
		t.Errorf("with data %s\nwithout %s", with, without)
	}
}
