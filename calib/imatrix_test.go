package calib

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func testImatrix() *Imatrix {
	return &Imatrix{Datasets: []string{"a.txt", "b.txt"}, Chunks: 3, ChunkSize: 8, Entries: []ImatrixEntry{
		{"blk.0.attn_q.weight", []float32{1, 2, 3, 0}, []float32{24}},
		{"blk.0.ffn_down_exps.weight", []float32{4, 5, 6, 0, 0, 0}, []float32{16, 0}},
	}}
}

func TestImatrixOfBothFormsIsReadBack(t *testing.T) {
	dir := t.TempDir()
	want := testImatrix()
	path := filepath.Join(dir, "i.gguf")
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadImatrix(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	path = filepath.Join(dir, "i.DAT")
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadImatrix(path); err != nil {
		t.Fatal(err)
	}
	if got.Chunks != 3 || got.Datasets[0] != "a.txt, b.txt" || len(got.Entries) != 2 {
		t.Errorf("got %+v", got)
	}
	for i, e := range want.Entries {
		for j := range e.Sums {
			if a, b := got.Entries[i].Mean(j), e.Mean(j); math.Abs(a-b) > 1e-6 {
				t.Errorf("%s: mean %d is %v, want %v", e.Name, j, a, b)
			}
		}
	}
}

func TestImpossibleImatricesAreErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i.gguf")
	for _, e := range []ImatrixEntry{
		{"x", []float32{1}, nil},
		{"x", []float32{1, 2, 3}, []float32{1, 2}},
		{"x", []float32{float32(math.NaN())}, []float32{1}},
		{"x", []float32{-1}, []float32{1}},
		{"x", []float32{1}, []float32{float32(math.Inf(1))}},
		{"blk.0.attn_q.weight", []float32{1}, []float32{1}},
	} {
		m := testImatrix()
		m.Entries = append(m.Entries, e)
		if err := m.Write(path); err == nil {
			t.Errorf("%+v: no error", e)
		}
	}
	for name, data := range map[string]string{"empty": "", "short": "abc", "text": "There was once a text that is no importance matrix.",
		"endless": "\xff\xff\xff\x7fabcdefghijklmnop", "long name": "\x01\x00\x00\x00\xff\xff\xff\x7fabcdefghijklm"} {
		if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadImatrix(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzImatrixDat(f *testing.F) {
	path := filepath.Join(f.TempDir(), "i.dat")
	if err := testImatrix().Write(path); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseImatrixDat(data); err == nil {
			m.check()
		}
	})
}
