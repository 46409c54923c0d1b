package compress

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"pith/tensor"
)

const summed = `
rules:
  - {match: embedding, codec: int8-g32}
  - {match: "*.v_proj.weight", codec: int4-g32+3*int2-g32}
  - {match: "*", codec: int3-g32+int2-g64-had}
`

// A weight stored as several terms is of the planned size, verifies, decodes to its terms' sum, survives being kept, and is the same, bit for
// bit, decoded in other formats.
func TestSumsOfTermsAreWeights(t *testing.T) {
	t.Parallel()
	src := open(t, source(t, "tiny"))
	p := resolve(t, src, summed)
	out := filepath.Join(t.TempDir(), "out")
	res, err := Run(t.Context(), src, p, out, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(out); err != nil || v.TensorBytes != p.Totals.Bytes || res.Bytes != p.Totals.Bytes {
		t.Errorf("%+v %v, the plan says %d bytes", v, err, p.Totals.Bytes)
	}
	a := open(t, out)
	for _, l := range p.Lines() {
		info, err := a.Info(l.Weight)
		if err != nil || info.Codec != l.Codec || info.Bytes != l.Bytes {
			t.Errorf("%s: %+v %v, plan %+v", l.Weight, info, err, l)
		}
		w, err := a.Load(l.Weight)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"int4-g32+3*int2-g32": 4, "int3-g32+int2-g64-had": 2}[l.Codec]; want > 0 && len(w.Terms) != want {
			t.Errorf("%s: %d terms of %s", l.Weight, len(w.Terms), l.Codec)
		}
		if e := relativeError(t, src, a, l); e > 0.01 {
			t.Errorf("%s in %s: relative error %g", l.Weight, l.Codec, e)
		}
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if _, err := Run(t.Context(), a, resolve(t, a, `rules: [{match: "*", keep: true}]`), kept, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(kept); err != nil {
		t.Error(err)
	}
	for _, format := range []string{"hf", "gguf"} {
		path, _, err := Convert(open(t, kept), filepath.Join(t.TempDir(), format), ConvertOptions{Format: format, DType: tensor.F32})
		if err != nil {
			t.Fatal(err)
		}
		if format == "hf" {
			path = filepath.Dir(path)
		}
		theirs := open(t, path)
		for _, l := range p.Lines() {
			if e := relativeError(t, a, theirs, l); e != 0 {
				t.Errorf("%s: %s differs by %g", format, l.Weight, e)
			}
		}
	}
}

// The bytes of sums depend neither on workers nor on being interrupted, and the file is as large as the plan says but for its header.
func TestSumsAreResumedByteIdentical(t *testing.T) {
	t.Parallel()
	src := open(t, source(t, "tiny"))
	p := resolve(t, src, summed)
	want, got := filepath.Join(t.TempDir(), "want"), filepath.Join(t.TempDir(), "got")
	res, err := Run(t.Context(), src, p, want, Options{Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	Run(ctx, src, p, got, Options{Workers: 1, Events: func(e Event) {
		if e.Kind == BlockDone {
			cancel()
		}
	}})
	cancel()
	if _, err := Run(t.Context(), src, p, got, Options{Workers: 1}); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, "resumed", got, want)
	var files int64
	shards, err := filepath.Glob(filepath.Join(want, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range shards {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		files += info.Size()
	}
	if files != res.ShardBytes || files < res.Bytes {
		t.Errorf("%d bytes on disk, reported %d with headers and %d without", files, res.ShardBytes, res.Bytes)
	}
}
