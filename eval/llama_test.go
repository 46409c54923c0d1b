package eval

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/compress"
	"pith/internal/sharedtest"
	"pith/plan"
)

// compressed writes a model with one codec and opens the artifact.
func compressed(t *testing.T, name, codec string) *Opened {
	t.Helper()
	recipe, err := plan.FromCodec(codec, "", false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(sharedtest.Path(t, "models", name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := plan.Resolve(c, recipe)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), codec)
	if _, err := compress.Run(context.Background(), c, p, dir, compress.Options{}); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir, runtime.NumCPU())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPerplexityAgreesWithLlamaCpp holds protocol llamacpp, value and error, to llama-perplexity's on files that Pith wrote (testdata/README.md):
// within 1e-4 relative in float32, and within 1e-3 for quantized weights, where llama.cpp rounds activations to 8 bits.
func TestPerplexityAgreesWithLlamaCpp(t *testing.T) {
	data, err := os.ReadFile("testdata/llama_perplexity.txt")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(data)) {
		var name, codec, text string
		var chunks int
		var ppl, stderr float64
		if _, err := fmt.Sscan(line, &name, &codec, &text, &chunks, &ppl, &stderr); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if name != "stories260K" && !everything() {
			continue
		}
		checked++
		m, tolerance := openShared(t, name), 1e-4
		if codec != "f32" {
			m, tolerance = compressed(t, name, codec), 1e-3
		}
		r, err := Compare(context.Background(), m, nil, readShared(t, text), Options{Protocol: LlamaCpp, Chunks: chunks, Workers: runtime.NumCPU()})
		if err != nil {
			t.Fatal(err)
		}
		// llama-perplexity prints 4 and 5 decimals.
		if math.Abs(r.Perplexity-ppl) > 5e-5+tolerance*ppl || math.Abs(r.PerplexityStderr-stderr) > 1e-5+10*tolerance*stderr || r.Tokens != 255*chunks {
			t.Errorf("%s %s on %s: %.4f ± %.5f of %d tokens; llama.cpp has %.4f ± %.5f", name, codec, text, r.Perplexity, r.PerplexityStderr, r.Tokens, ppl, stderr)
		}
		t.Logf("%s %s %s: relative difference %.1e", name, codec, text, math.Abs(r.Perplexity/ppl-1))
	}
	if checked == 0 {
		t.Error("nothing to check")
	}
}
