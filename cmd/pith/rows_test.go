package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/internal/sharedtest"
)

// A head that is the embedding: its rows are counted by the text as by stored statistics, the bytes are the same for any workers, and at those of four
// bits half the rows with five and half with three lose less.
func TestATiedEmbeddingHasTwoPrecisions(t *testing.T) {
	model, text := sharedtest.Path(t, "models", "stories260K"), sharedtest.Path(t, "text", "tinystories_val.txt")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ok(t, "calibrate", model, "--text", text, "--ctx", "128", "--chunks", "12", "--moments-only", "-o", at("stats.safetensors"))
	recipe := func(name, method, codec string) string {
		writeFile(t, at(name), []byte("rules:\n  - {match: embedding, method: "+method+", codec: "+codec+"}\n  - {match: \"*\", keep: true}\n"))
		return at(name)
	}
	frequent := recipe("frequent.yaml", "frequent", "rows0.5-int5-g64/int3-g64")
	counted := []string{"--text", text, "--ctx", "128", "--chunks", "12"}
	for name, args := range map[string][]string{"one": append(counted, "--workers", "1"), "two": append(counted, "--workers", "2"), "stats": {"--stats", at("stats.safetensors")}} {
		if got := ok(t, append([]string{"compress", model, "--recipe", frequent, "-o", at(name)}, args...)...); strings.Contains(got, "norm") {
			t.Errorf("%s: no counts reached the method: %s", name, got)
		}
	}
	ok(t, "compress", model, "--recipe", recipe("int4.yaml", "nearest", "int4-g64"), "-o", at("int4"))
	shard := func(name string) string { // of the embedding, behind the header that names the plan
		files, err := filepath.Glob(filepath.Join(at(name), "*.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n := 8 + binary.LittleEndian.Uint64(data)
			if strings.Contains(string(data[:n]), "b.codes") {
				return string(data[n:])
			}
		}
		t.Fatalf("%s has no embedding in two precisions", name)
		return ""
	}
	if one := shard("one"); one != shard("two") {
		t.Error("other bytes with two workers")
	}
	kl := func(name string) float64 {
		return jsonOf(t, "eval", at(name), "--base", model, "--text", text, "--ctx", "128", "--chunks", "6")["kl_mean"].(float64)
	}
	one := kl("one")
	if stats, int4 := kl("stats"), kl("int4"); stats != one || one > 0.6*int4 {
		t.Errorf("KL %g, %g by statistics, %g of int4", one, stats, int4)
	}
	ok(t, "trim", at("one"), "--vocab-size", "400", "--text", text, "-o", at("trimmed"))
	ok(t, "compress", model, "--codec", "rows0.2-int8-g64/int4-g64", "-o", at("all"))
	if all := kl("all"); all <= 0 || all > 1 {
		t.Errorf("KL %g with two precisions everywhere", all)
	}
}
