package compress

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/formats/interop"
	"pith/tensor"
	"pith/tokenizer"
)

// A GGUF file with matrices in f16 and in blocks becomes an artifact that has its weights, its config and its tokenizer.
func TestGGUFFilesAreCompressedWithTheirTokenizer(t *testing.T) {
	t.Parallel()
	original := open(t, source(t, "tiny"))
	packed := filepath.Join(t.TempDir(), "packed")
	p := resolve(t, original, `rules: [{match: "*.layers.0.*", codec: q8_0}, {match: "*", keep: true}]`)
	if _, err := Run(t.Context(), original, p, packed, Options{}); err != nil {
		t.Fatal(err)
	}
	from := open(t, packed)
	cfg, err := from.Config()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := from.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model.gguf")
	if err := interop.ExportGGUF(file, cfg, tok, from, interop.GGUFOptions{}); err != nil {
		t.Fatal(err)
	}
	c := open(t, file)
	if c.Kind != checkpoint.GGUF || c.NumWeights() != original.NumWeights() {
		t.Errorf("kind %s, %d weights", c.Kind, c.NumWeights())
	}
	p = resolve(t, c, `rules: [{match: ffn, codec: int4-g64}, {match: "*", keep: true}]`)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Run(t.Context(), c, p, out, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(out); err != nil {
		t.Error(err)
	}
	a := open(t, out)
	for _, l := range p.Lines() {
		x, y := tensor.NewMat(l.Rows, l.Cols), tensor.NewMat(l.Rows, l.Cols)
		if err := from.ReadRows(l.Weight, x, 0); err != nil {
			t.Fatal(err)
		}
		if err := a.ReadRows(l.Weight, y, 0); err != nil {
			t.Fatal(err)
		}
		if same := slices.Equal(x.Data, y.Data); same != l.Keeps() {
			t.Errorf("%s (%s): same %v, kept %v", l.Weight, l.Codec, same, l.Keeps())
		}
	}
	again, err := a.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	const text = "once upon a time, there were 3 Tokens"
	o := tokenizer.EncodeOptions{AddSpecial: true}
	if got, want := again.Encode(text, o), tok.Encode(text, o); !slices.Equal(got, want) || len(want) < 5 {
		t.Errorf("%v, want %v", got, want)
	}
}

// The bytes that InGGUF promises are the bytes of the tensors in the file, vectors in F32 included.
func TestAPlanInGGUFSaysTheExactBytes(t *testing.T) {
	t.Parallel()
	for _, recipe := range []string{`rules: [{match: "*", codec: q8_0}]`, `rules: [{match: [head, embedding], codec: q4_0}, {match: "*", keep: true}]`} {
		c := open(t, source(t, "tiny"))
		p := resolve(t, c, recipe)
		said, err := InGGUF(c, p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := RunGGUF(t.Context(), c, p, filepath.Join(t.TempDir(), "model.gguf"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Bytes != said.Totals.Bytes || r.Bytes == p.Totals.Bytes {
			t.Errorf("%s: %d bytes in the file, %d promised, %d in an artifact", recipe, r.Bytes, said.Totals.Bytes, p.Totals.Bytes)
		}
	}
}

// What GGUF has no layout for is refused before the work, and leaves nothing behind.
func TestCodecsThatGGUFLacksAreRefusedBeforeTheWork(t *testing.T) {
	t.Parallel()
	c := open(t, source(t, "tiny"))
	for _, name := range []string{"int4-g32", "f16-2:4", "bf16-s50e", "f16-csr90", "f16-had", "q8_0-scaled", "nuq4-g64", "e8p-g64", "tcq-lut8-2.5", "qoq4-g64"} {
		p := resolve(t, c, `rules: [{match: linear, codec: "`+name+`"}, {match: "*", keep: true}]`)
		dir := t.TempDir()
		_, err := RunGGUF(t.Context(), c, p, filepath.Join(dir, "model.gguf"), Options{})
		if _, said := InGGUF(c, p); said == nil || err == nil || err.Error() != said.Error() || !strings.Contains(err.Error(), "choose a codec of GGML") {
			t.Errorf("%s: %v; the plan says %v", name, err, said)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: %s is left", name, left[0].Name())
		}
	}
}

// A run that was killed after it made the file, while it removed its directory, ends well when it is run again.
func TestAFinishedGGUFWithItsDirectoryLeftIsFinishedAgain(t *testing.T) {
	t.Parallel()
	c := open(t, source(t, "tiny"))
	p := resolve(t, c, `rules: [{match: "*", codec: q8_0}]`)
	file := filepath.Join(t.TempDir(), "model.gguf")
	if _, err := RunGGUF(t.Context(), c, p, file, Options{}); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RunGGUF(t.Context(), c, p, file, Options{}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a finished file is made again: %v", err)
	}
	if _, err := Run(t.Context(), c, p, workDir(file), Options{}); err != nil {
		t.Fatal(err)
	}
	other := resolve(t, c, `rules: [{match: "*", codec: q4_0}]`)
	if _, err := RunGGUF(t.Context(), c, other, file, Options{}); err == nil {
		t.Error("another plan takes over the directory")
	}
	if _, err := RunGGUF(t.Context(), c, p, file, Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes than before (%v)", err)
	}
	if _, err := os.Stat(workDir(file)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}
