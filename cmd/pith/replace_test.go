package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the user names as an output by mistake – the model, the text – is still there afterwards.
func TestStacksAndCountsReplaceOnlyTheirLike(t *testing.T) {
	text, dir := tinyText(t), t.TempDir()
	model, stack, counts := filepath.Join(dir, "model.gguf"), filepath.Join(dir, "a.pithstack"), filepath.Join(dir, "counts")
	ok(t, "convert", tinyModel(t), "-o", model)
	stacked := []string{"stack", model, "--levels", "1", "--refits", "1", "-o"}
	counted := []string{"vocab", "count", model, "--text", text, "-o"}
	for range 2 { // the second time there is one
		ok(t, append(stacked, stack)...)
		ok(t, append(counted, counts)...)
	}
	for _, args := range [][]string{stacked, counted, {"stack", stack, "--cut", "1GiB", "-o"}, {"vocab", "merge", counts, counts, "-o"}} {
		for _, out := range []string{model, text, dir} {
			before, _ := os.ReadFile(out)
			code, _, stderr := cli(append(args, out)...)
			if after, _ := os.ReadFile(out); code != 2 || !strings.Contains(stderr, out) || !strings.Contains(stderr, "will not replace") || !bytes.Equal(before, after) {
				t.Errorf("%q to %s: exit code %d, %s", args[:2], filepath.Base(out), code, stderr)
			}
		}
	}
	if code, _, stderr := cli("stack", model, "--cut", "1GiB", "-o", stack); code != 2 || !strings.Contains(stderr, "is no stack") {
		t.Errorf("cut of a model that is no stack: exit code %d, %s", code, stderr)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.*.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}

func TestTokensAreNotChosenByNothing(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.txt")
	writeFile(t, empty, nil)
	for _, command := range []string{"trim", "plan"} {
		code, _, stderr := cli(command, tinyModel(t), "--text", empty, "--vocab-coverage", "0.9", "-o", filepath.Join(t.TempDir(), "out"))
		if code != 2 || !strings.Contains(stderr, "no tokens were counted") {
			t.Errorf("%s: exit code %d, %s", command, code, stderr)
		}
	}
}
