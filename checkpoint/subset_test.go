package checkpoint

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/formats/interop"
	"pith/internal/synth/llama"
	"pith/tensor"
)

// chosenRows are rows of 0 … n−1 with gaps and neighbours.
func chosenRows(n int) (rows []int32) {
	for r := range n {
		if r%7 != 3 && r%5 != 1 {
			rows = append(rows, int32(r))
		}
	}
	return rows
}

func TestAViewOfSomeRowsHoldsThoseRowsHoweverTheyAreStored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := llama.Write(dir, llama.Shapes()["mini"], llama.Options{Seed: 2, DType: tensor.BF16}); err != nil {
		t.Fatal(err)
	}
	plain := open(t, dir)
	cfg, err := plain.Config()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := interop.ExportGGUF(path, cfg, nil, plain, interop.GGUFOptions{}); err != nil {
		t.Fatal(err)
	}
	norm := "model.norm.weight"
	for what, c := range map[string]*Checkpoint{"safetensors": plain, "gguf": open(t, path)} {
		name := "model.embed_tokens.weight"
		info, err := c.Info(name)
		if err != nil {
			t.Fatal(err)
		}
		rows := chosenRows(info.Rows)
		v, err := c.View(Edit{Rows: map[string][]int32{name: rows, norm: chosenRows(256)}, Files: []ConfigContent{{"extra.txt", []byte("x")}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Info(name)
		if err != nil || got.Rows != len(rows) || got.Shape[0] != len(rows) || got.Bytes != info.Bytes/int64(info.Rows)*int64(len(rows)) || got.Codec != info.Codec {
			t.Fatalf("%s: info %+v, %v", what, got, err)
		}
		all, some := tensor.NewMat(info.Rows, info.Cols), tensor.NewMat(len(rows), info.Cols)
		if err := c.ReadRows(name, all, 0); err != nil {
			t.Fatal(err)
		}
		if err := v.ReadRows(name, some, 0); err != nil {
			t.Fatal(err)
		}
		w, err := v.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		loaded := tensor.NewMat(len(rows), info.Cols)
		w.ReadRows(loaded, 0)
		for i, r := range rows {
			if !slices.Equal(some.Row(i), all.Row(int(r))) || !slices.Equal(loaded.Row(i), all.Row(int(r))) {
				t.Fatalf("%s: row %d is not row %d", what, i, r)
			}
		}
		raw, whole := make([]byte, 3000), make([]byte, got.Bytes)
		if err := v.ReadRaw(name, whole, 0); err != nil {
			t.Fatal(err)
		}
		if err := v.ReadRaw(name, raw, 777); err != nil || !bytes.Equal(raw, whole[777:3777]) {
			t.Errorf("%s: bytes read in pieces differ, %v", what, err)
		}
		if n, err := v.Info(norm); err != nil || n.Rows != 1 || n.Cols != len(chosenRows(256)) {
			t.Errorf("%s: vector %+v, %v", what, n, err)
		}
		files, err := v.ConfigContents()
		if err != nil || len(files) != 2 || files[0].Name != "config.json" || files[1].Name != "extra.txt" {
			t.Errorf("%s: files %v, %v", what, files, err)
		}
		again, err := v.View(Edit{Rows: map[string][]int32{name: {0, 2}}})
		if err != nil {
			t.Fatal(err)
		}
		two := tensor.NewMat(2, info.Cols)
		if err := again.ReadRows(name, two, 0); err != nil || !slices.Equal(two.Row(1), all.Row(int(rows[2]))) {
			t.Errorf("%s: a view of the view has other rows, %v", what, err)
		}
		for why, list := range map[string][]int32{"outside": {0, 1 << 20}, "falling": {2, 1}, "negative": {-1}} {
			if _, err := c.View(Edit{Rows: map[string][]int32{name: list}}); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %s: %v", what, why, err)
			}
		}
	}
}
