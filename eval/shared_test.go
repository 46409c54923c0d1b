package eval

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"pith/internal/sharedtest"
)

func openShared(t *testing.T, name string) *Opened {
	t.Helper()
	m, err := Open(sharedtest.Path(t, "models", name), runtime.NumCPU())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func readShared(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(sharedtest.Path(t, "text", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// everything reports whether tests that take minutes are wanted.
func everything() bool { return os.Getenv("PITH_TEST_ALL") != "" }

// TestPerplexityAgreesWithTransformers holds both protocols to an independent implementation (testdata/README.md).
func TestPerplexityAgreesWithTransformers(t *testing.T) {
	data, err := os.ReadFile("testdata/transformers_perplexity.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Model, Text, Protocol string
		Ctx, Chunks, Tokens   int
		Perplexity            float64
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		t.Fatal("no figures")
	}
	for _, row := range rows {
		if !everything() && (row.Model != "stories260K" || testing.Short() && row.Ctx > 128) {
			continue
		}
		m := openShared(t, row.Model)
		r, err := Compare(context.Background(), m, nil, readShared(t, row.Text), Options{Protocol: Protocol(row.Protocol), Ctx: row.Ctx, Chunks: row.Chunks, Workers: runtime.NumCPU()})
		if err != nil {
			t.Fatal(err)
		}
		relative := math.Abs(r.Perplexity/row.Perplexity - 1)
		t.Logf("%s %s %s %d: %.6f, transformers %.6f, relative difference %.1e", row.Model, row.Text, row.Protocol, row.Ctx, r.Perplexity, row.Perplexity, relative)
		if r.Tokens != row.Tokens || relative > 1e-4 {
			t.Errorf("%s on %s, %s %d: perplexity %.6f of %d tokens, transformers has %.6f of %d", row.Model, row.Text, row.Protocol, row.Ctx, r.Perplexity, r.Tokens, row.Perplexity, row.Tokens)
		}
	}
}

// TestPithRefScoresAsItsCardSays reproduces the table of models/pith-ref/README.md: windows of 511 tokens, BOS in front of each,
// every token scored once.
func TestPithRefScoresAsItsCardSays(t *testing.T) {
	rows := []struct {
		text              string
		tokens            int
		perToken, perByte float64
	}{
		{"heldout_tinystories.txt", 88815, 16.0456, 1.1854},
		{"heldout_gutenberg.txt", 91417, 51.5070, 1.7319},
		{"heldout_peps.txt", 87344, 42.0897, 1.5120},
		{"heldout_eips.txt", 102235, 46.4247, 1.7517},
	}
	if !everything() {
		t.Skip("takes a minute; PITH_TEST_ALL=1 runs it")
	}
	for _, row := range rows {
		m := openShared(t, "pith-ref")
		r, err := Compare(context.Background(), m, nil, readShared(t, "pith-ref/"+row.text), Options{Protocol: BitsPerByte, Workers: runtime.NumCPU()})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.4f, %.4f bits a byte, %.0f tokens/s", row.text, r.Perplexity, r.BitsPerByte, r.TokensPerSecond)
		if r.Tokens != row.tokens || math.Abs(r.Perplexity-row.perToken) > 1e-4*row.perToken || math.Abs(r.BitsPerByte-row.perByte) > 6e-5 {
			t.Errorf("%s: %d tokens, perplexity %.4f, %.4f bits per byte; the card says %d, %.4f, %.4f",
				row.text, r.Tokens, r.Perplexity, r.BitsPerByte, row.tokens, row.perToken, row.perByte)
		}
	}
}
