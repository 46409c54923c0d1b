package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tinyStack makes a stack of the tiny model and returns its path, and that of a text.
func tinyStack(t *testing.T) (stack, text, model string) {
	t.Helper()
	model = tinyModel(t)
	dir := t.TempDir()
	text = filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 60)), 0o666); err != nil {
		t.Fatal(err)
	}
	stack = filepath.Join(dir, "model.pithstack")
	ok(t, "stack", model, "-o", stack, "--text", text, "--ctx", "32", "--levels", "2", "--probe-tokens", "128", "--refits", "1")
	return stack, text, model
}

func TestAStackIsOpenedByEveryCommandAtAnySize(t *testing.T) {
	stack, text, model := tinyStack(t)
	var v struct {
		Kind  string
		Stack struct {
			Blocks         int
			Mandatory      int `json:"mandatory_blocks"`
			Bytes          int64
			MandatoryBytes int64 `json:"mandatory_bytes"`
		}
	}
	if err := json.Unmarshal([]byte(ok(t, "inspect", stack, "--json")), &v); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(stack)
	if err != nil {
		t.Fatal(err)
	}
	if v.Kind != "stack" || v.Stack.Bytes != info.Size() || v.Stack.Blocks != 2*v.Stack.Mandatory {
		t.Errorf("%+v of a file of %d bytes", v, info.Size())
	}
	least := v.Stack.MandatoryBytes
	sizes := map[string]int64{}
	for _, budget := range []string{"1000MiB", "100bpw", jsonNumber(least), jsonNumber(least + 3000)} {
		var r struct {
			FileBytes int64 `json:"file_bytes"`
		}
		out := ok(t, "eval", stack, "--budget", budget, "--base", model, "--text", text, "--ctx", "32", "--chunks", "2", "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		sizes[budget] = r.FileBytes
	}
	if sizes["1000MiB"] != info.Size() || sizes["100bpw"] != info.Size() || sizes[jsonNumber(least)] != least || sizes[jsonNumber(least+3000)] > least+3000 {
		t.Errorf("bytes used %v, the file has %d and its mandatory part %d", sizes, info.Size(), least)
	}
	ok(t, "run", stack, "--budget", jsonNumber(least), "-p", "the", "-n", "4")
	benchSwitches(t, stack, least, info.Size())
	ok(t, "verify", stack)
	ok(t, "plan", stack, "--codec", "int8-g64")
	ok(t, "convert", stack, "-o", filepath.Join(t.TempDir(), "x.gguf"))
	small := filepath.Join(t.TempDir(), "small.pithstack")
	ok(t, "stack", stack, "--cut", jsonNumber(least+5000), "-o", small)
	ok(t, "verify", small)
	whole, part := ok(t, "run", stack, "--budget", jsonNumber(least+5000), "-p", "the", "-n", "8"), ok(t, "run", small, "-p", "the", "-n", "8")
	if whole != part {
		t.Errorf("a cut file says %q, the whole with that budget %q", part, whole)
	}
}

// benchSwitches checks that bench goes from size to size, reads what is new and allocates little else.
func benchSwitches(t *testing.T, stack string, least, most int64) {
	t.Helper()
	type size struct {
		Bytes     int64
		From      int64   `json:"from_bytes"`
		Read      int64   `json:"read_bytes"`
		Allocated int64   `json:"allocated_bytes"`
		Decode    float64 `json:"decode_tokens_per_second"`
	}
	for _, c := range []struct {
		flags []string
		want  []int64
	}{
		{nil, []int64{least, most}},
		{[]string{"--budgets", "1000MiB," + jsonNumber(least) + ",100bpw"}, []int64{most, least, most}},
	} {
		var r struct{ Sizes []size }
		args := append([]string{"bench", stack, "--prompt", "4", "--decode", "4", "--repeats", "2", "--json"}, c.flags...)
		if err := json.Unmarshal([]byte(ok(t, args...)), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Sizes) != len(c.want) {
			t.Fatalf("%v: %+v", c.flags, r.Sizes)
		}
		from := c.want[len(c.want)-1]
		for i, z := range r.Sizes {
			if z.Bytes != c.want[i] || z.From != from || z.Read != max(0, z.Bytes-from) || z.Decode <= 0 {
				t.Errorf("%v, size %d: %+v, came from %d", c.flags, i, z, from)
			}
			if z.Allocated < z.Read || z.Allocated > 2*z.Read+64<<10 {
				t.Errorf("%v, size %d: %d bytes allocated to read %d", c.flags, i, z.Allocated, z.Read)
			}
			from = z.Bytes
		}
	}
	if out := ok(t, "bench", stack, "--prompt", "4", "--decode", "4", "--repeats", "1"); !strings.Contains(out, "switch") {
		t.Errorf("bench says nothing of switching:\n%s", out)
	}
}

func jsonNumber(n int64) string {
	data, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestDamagedStacksAreFoundByVerifyAndNamed(t *testing.T) {
	stack, _, _ := tinyStack(t)
	data, err := os.ReadFile(stack)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-100] ^= 1
	if err := os.WriteFile(stack, data, 0o666); err != nil {
		t.Fatal(err)
	}
	code, _, errs := cli("verify", stack)
	if code != exitNegative || !strings.Contains(errs, "--budget") || !strings.Contains(errs, "level 2") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	refused(t, []string{"damaged", "--budget"}, "run", stack, "-p", "the")
	if err := os.WriteFile(stack, data[:400], 0o666); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := cli("verify", stack); code != exitNegative || !strings.Contains(errs, "copy") {
		t.Errorf("cut in its index: exit code %d: %s", code, errs)
	}
}

func TestMistakesWithStacksAreExplained(t *testing.T) {
	stack, text, model := tinyStack(t)
	out := filepath.Join(t.TempDir(), "x.pithstack")
	refused(t, []string{"-o"}, "stack", model)
	refused(t, []string{"stack already", "--cut"}, "stack", stack, "-o", out)
	refused(t, []string{"pith stack"}, "run", model, "--budget", "1MiB", "-p", "the")
	refused(t, []string{"too few", "smallest"}, "run", stack, "--budget", "100", "-p", "the")
	refused(t, []string{"--budget"}, "run", stack, "--budget", "much", "-p", "the")
	refused(t, []string{"--budget"}, "eval", stack, "--budget", "-3bpw", "--text", text)
	refused(t, []string{"order", "level"}, "stack", model, "-o", out, "--order", "size")
	refused(t, []string{"--text or --stats"}, "stack", model, "-o", out, "--text", text, "--stats", text)
	refused(t, []string{"--method", "--codec"}, "stack", model, "-o", out, "--method", "ldlq")
	refused(t, []string{"one codec"}, "stack", model, "-o", out, "--codec", "int2-g64+int2-g64")
	refused(t, []string{"levels"}, "stack", model, "-o", out, "--levels", "100")
	refused(t, []string{"--budgets", "commas"}, "bench", stack, "--budgets", "1MiB,,2MiB")
	refused(t, []string{"too few", "smallest"}, "bench", stack, "--prompt", "4", "--budgets", "1MiB,100")
	refused(t, []string{"pith stack"}, "bench", model, "--prompt", "4", "--budgets", "1MiB")
	refused(t, []string{"smallest size"}, "stack", stack, "--cut", "10", "-o", out)
}
