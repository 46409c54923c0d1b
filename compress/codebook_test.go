package compress

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"pith/formats/interop"
	"pith/tensor"
)

// An artifact of tables has the bytes of its plan; made dense, here and in GGUF, it has the values of its tables, exactly.
func TestWeightsOfTablesAreExportedAsTheyAre(t *testing.T) {
	t.Parallel()
	ckpt := open(t, source(t, "tiny"))
	out := filepath.Join(t.TempDir(), "tables")
	p := resolve(t, ckpt, `
rules:
  - {match: attn_q, codec: sketch3-p1}
  - {match: attn_k, codec: jlcm4-k5-s}
  - {match: ffn, codec: jlcm2-k16}
  - {match: attention, codec: sketch4-p2-had}
  - {match: "*", codec: q8_0}`)
	if _, err := Run(t.Context(), ckpt, p, out, Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(out); err != nil {
		t.Error(err)
	}
	a := open(t, out)
	for _, l := range p.Lines() {
		w, err := a.Load(l.Weight)
		if err != nil {
			t.Fatal(err)
		}
		if w.Bytes() != l.Bytes {
			t.Errorf("%s: %d bytes, the plan says %d", l.Weight, w.Bytes(), l.Bytes)
		}
	}
	dense := filepath.Join(t.TempDir(), "dense")
	if _, err := Run(t.Context(), a, resolve(t, a, `rules: [{match: "*", codec: f32}]`), dense, Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	d := open(t, dense)
	cfg, err := d.Config()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := d.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model.gguf")
	if err := interop.ExportGGUF(file, cfg, tok, d, interop.GGUFOptions{}); err != nil {
		t.Fatal(err)
	}
	g := open(t, file)
	for _, l := range p.Lines() {
		want := tensor.NewMat(l.Rows, l.Cols)
		if err := a.ReadRows(l.Weight, want, 0); err != nil {
			t.Fatal(err)
		}
		for name, from := range map[string]interface {
			ReadRows(name string, dst tensor.Mat, r0 int) error
		}{"dense": d, "GGUF": g} {
			got := tensor.NewMat(l.Rows, l.Cols)
			if err := from.ReadRows(l.Weight, got, 0); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Data, want.Data) {
				t.Errorf("%s, %s: values differ", l.Weight, name)
			}
		}
		if l.Role == "ffn_up" {
			seen := map[uint32]bool{}
			for _, v := range want.Data {
				seen[math.Float32bits(v)] = true
			}
			if len(seen) > 16*4 {
				t.Errorf("%s: %d different values in 16 tables of 4", l.Weight, len(seen))
			}
		}
	}
}
