package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADraftChangesTheSpeedOfATextOnly(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	draft := filepath.Join(dir, "draft")
	ok(t, "compress", model, "--codec", "int4-g32", "-o", draft)
	plain := ok(t, "run", model, "-p", "the rain", "-n", "30")
	for _, args := range [][]string{nil, {"--draft-length", "1"}, {"--draft-length", "7", "--draft-adaptive"}} {
		if got := ok(t, append([]string{"run", model, "-p", "the rain", "-n", "30", "--draft", draft}, args...)...); got != plain {
			t.Errorf("%v: %q, without a draft %q", args, got, plain)
		}
	}
	drawn := []string{"run", model, "-p", "the rain", "-n", "20", "--draft", draft, "--temp", "1", "--top-k", "9", "--seed", "4", "--json"}
	var r struct {
		IDs   []int
		Draft struct{ Drafted, Accepted int }
	}
	first := ok(t, drawn...)
	if err := json.Unmarshal([]byte(first), &r); err != nil || len(r.IDs) != 20 || r.Draft.Drafted == 0 {
		t.Errorf("%s: %v", first, err)
	}
	again := r
	if err := json.Unmarshal([]byte(ok(t, drawn...)), &again); err != nil || again.Draft != r.Draft {
		t.Errorf("the same seed gives %+v, then %+v (%v)", r, again, err)
	}
	bench := []string{"bench", model, "--draft", draft, "--text", text, "--prompts", "2", "--prompt", "5", "--decode", "12", "--repeats", "1", "--sizes", "290,310"}
	out := ok(t, bench...)
	for _, want := range []string{"the same tokens", "(MBSU)", "(τ)", "best", "320"} {
		if !strings.Contains(out, want) {
			t.Errorf("bench --draft does not print %q:\n%s", want, out)
		}
	}
	var b map[string]any
	if err := json.Unmarshal([]byte(ok(t, append(bench, "--json")...)), &b); err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields("acceptance block_efficiency memory_bound_speedup speedup predicted_speedup sizes drafted accepted_at target_step_bytes") {
		if _, has := b[field]; !has {
			t.Errorf("bench --draft --json has no %s", field)
		}
	}
	ok(t, append(bench, "--temp", "1", "--draft-length", "2")...)
	counts := filepath.Join(dir, "counts")
	ok(t, "vocab", "count", model, "--text", text, "-o", counts)
	ok(t, append(bench, "--vocab-counts", counts)...)
}

func TestTrimmedDraftsGiveTheTextOfTheirTarget(t *testing.T) {
	model, text, dir := tinyModel(t), tinyText(t), t.TempDir()
	plain := ok(t, "run", model, "-p", "the rain", "-n", "30")
	for name, args := range map[string][]string{"head": {"--head"}, "whole": nil} {
		draft := filepath.Join(dir, name)
		ok(t, append([]string{"trim", model, "--text", text, "--vocab-size", "290", "-o", draft}, args...)...)
		if got := ok(t, "run", model, "-p", "the rain", "-n", "30", "--draft", draft); got != plain {
			t.Errorf("%s: %q, want %q", name, got, plain)
		}
		packed := filepath.Join(dir, name+"-packed")
		ok(t, "compress", draft, "--codec", "int4-g32", "-o", packed)
		if got := ok(t, "run", model, "-p", "the rain", "-n", "30", "--draft", packed, "--draft-length", "6"); got != plain {
			t.Errorf("%s, packed: %q, want %q", name, got, plain)
		}
	}
}

func TestDraftsOfOtherVocabulariesAreRefused(t *testing.T) {
	model, other, text := tinyModel(t), tinyModel(t), tinyText(t)
	tok := tinyTokenizer()
	vocab := tok["model"].(map[string]any)["vocab"].(map[string]int)
	vocab["q"], vocab["z"] = vocab["z"], vocab["q"]
	writeJSON(t, filepath.Join(other, "tokenizer.json"), tok)
	refused(t, []string{"cannot draft", `"q"`, `"z"`}, "run", model, "-p", "the", "--draft", other)
	refused(t, []string{"draft", "nowhere"}, "run", model, "-p", "the", "--draft", "nowhere")
	refused(t, []string{"--draft-length 8", "1 to 7"}, "run", model, "-p", "the", "--draft", model, "--draft-length", "8")
	refused(t, []string{"--draft MODEL"}, "run", model, "-p", "the", "--draft-length", "3")
	refused(t, []string{"--text"}, "bench", model, "--draft", model)
	refused(t, []string{"--draft"}, "bench", model, "--text", text)
	refused(t, []string{"--vocab-counts"}, "bench", model, "--draft", model, "--text", text, "--vocab-counts", text)
	refused(t, []string{"--sizes", "8q"}, "bench", model, "--draft", model, "--text", text, "--sizes", "8q")
	refused(t, []string{"rows", "320"}, "bench", model, "--draft", model, "--text", text, "--sizes", "4k", "--prompts", "1", "--prompt", "4", "--decode", "4")
	refused(t, []string{"16 rows", "must stay"}, "bench", model, "--draft", model, "--text", text, "--sizes", "16,310", "--prompts", "1", "--prompt", "4", "--decode", "4")
	refused(t, []string{"prompts"}, "bench", model, "--draft", model, "--text", text, "--prompts", "100000")

	// With a map the ids of the draft are what the map says: here those of the swapped letters.
	entries := make([]byte, 4*tinyVocab)
	set := func(from func(i int) int) {
		for i := range tinyVocab {
			binary.LittleEndian.PutUint32(entries[4*i:], uint32(from(i)))
		}
		if err := os.WriteFile(filepath.Join(other, "vocab_map.bin"), entries, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(func(i int) int { return i })
	refused(t, []string{"cannot draft"}, "run", model, "-p", "the", "--draft", other)
	set(func(i int) int { return i + 1 })
	refused(t, []string{"cannot draft"}, "run", model, "-p", "the", "--draft", other)
	set(func(i int) int { return i / 2 })
	refused(t, []string{"vocab_map.bin", "rise"}, "run", model, "-p", "the", "--draft", other)
	writeJSON(t, filepath.Join(other, "tokenizer.json"), tinyTokenizer())
	set(func(i int) int { return i })
	if plain, got := ok(t, "run", model, "-p", "the", "-n", "9"), ok(t, "run", model, "-p", "the", "-n", "9", "--draft", other); got != plain {
		t.Errorf("%q, want %q", got, plain)
	}
}
