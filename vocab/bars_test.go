package vocab

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/compress"
	"pith/eval"
	"pith/plan"
	"pith/tokenizer"
)

// covered returns lines of a text that have kept tokens only, about n bytes.
func (o opened) covered(t *testing.T, text string, ids []int32, n int) string {
	t.Helper()
	keep := make([]bool, o.Tokenizer.Size())
	for _, id := range ids {
		keep[id] = true
	}
	lacks := func(s string) bool {
		return slices.ContainsFunc(o.Tokenizer.Encode(s, tokenizer.EncodeOptions{}), func(id int32) bool { return !keep[id] })
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if len(line) > 20 && !lacks(line) {
			b.WriteString(line)
		}
		if b.Len() >= n {
			break
		}
	}
	if b.Len() < n/2 || lacks(b.String()) {
		t.Fatalf("only %d bytes of text have no other tokens", b.Len())
	}
	return b.String()
}

// Bars: bits per byte on covered text at most 0.1 % above the original's; no divergence at all over the kept tokens; what is trimmed and
// quantized verifies, and its GGUF file gives the same ids.
func TestTrimmedModelsKeepTheirQualityAndGoThroughEverything(t *testing.T) {
	ctx := context.Background()
	for _, s := range shared {
		o := openShared(t, s.model, s.count)
		r, err := o.Rank(o.counts, []Class{Special, Atoms})
		if err != nil {
			t.Fatal(err)
		}
		sel, err := r.Coverage(0.97)
		if err != nil {
			t.Fatal(err)
		}
		shown, tok := o.trimmed(t, sel.IDs)
		dir := filepath.Join(t.TempDir(), "trimmed")
		if _, _, err := compress.Convert(shown, dir, compress.ConvertOptions{Format: "hf"}); err != nil {
			t.Fatal(err)
		}
		text := []byte(o.covered(t, read(t, s.judge, 1<<30), sel.IDs, 3000))
		options := eval.Options{Protocol: eval.BitsPerByte, Ctx: 128, Workers: 2}
		whole, err := eval.Files(ctx, o.ckpt.Path, "", text, options)
		if err != nil {
			t.Fatal(err)
		}
		base := o.ckpt.Path
		if len(sel.IDs) == o.Tokenizer.Size() { // characters only: nothing to leave out
			base = ""
		}
		left, err := eval.Files(ctx, dir, base, text, options)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d of %d tokens, %.4f bits per byte, were %.4f", s.model, len(sel.IDs), o.Tokenizer.Size(), left.BitsPerByte, whole.BitsPerByte)
		if left.BitsPerByte > 1.001*whole.BitsPerByte {
			t.Errorf("%s: %g bits per byte, were %g", s.model, left.BitsPerByte, whole.BitsPerByte)
		}
		if base != "" && (left.Comparison == nil || left.KLMean != 0 || len(left.Notes) == 0) {
			t.Errorf("%s: comparison %+v, notes %q", s.model, left.Comparison, left.Notes)
		}
		through(t, shown, tok, string(text))
	}
}

// through quantizes a view, verifies it, and converts it to GGUF.
func through(t *testing.T, shown *checkpoint.Checkpoint, tok *tokenizer.Tokenizer, text string) {
	t.Helper()
	recipe, err := plan.FromCodec("q8_0", "", false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(shown, recipe)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "packed")
	if _, err := compress.Run(context.Background(), shown, p, dir, compress.Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := compress.VerifyContext(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	packed, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	m, err := OpenMap(dir)
	if err != nil || len(m) != tok.Size() {
		t.Errorf("the artifact has a map of %d, %v", len(m), err)
	}
	load(t, packed)
	path := filepath.Join(t.TempDir(), "model.gguf")
	if _, _, err := compress.Convert(packed, path, compress.ConvertOptions{Format: "gguf"}); err != nil {
		t.Fatal(err)
	}
	g, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	other, err := g.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	if o := (tokenizer.EncodeOptions{AddSpecial: true}); !slices.Equal(other.Encode(text, o), tok.Encode(text, o)) {
		t.Error("other ids from the GGUF file")
	}
	// A GGUF file is trimmed as well as a directory.
	of, err := Open(g)
	if err != nil {
		t.Fatal(err)
	}
	r, err := of.Rank(NewCounts(other), []Class{Special, Atoms})
	if err != nil {
		t.Fatal(err)
	}
	least, err := r.Size(of.Size())
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := of.View(least.IDs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Tokenizer(); err != nil {
		t.Error(err)
	}
	load(t, again)
}
