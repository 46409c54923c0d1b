package formats

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

// seed adds the bytes of a file in testdata.
func seed(f *testing.F, name string) {
	file, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
}

// checkSource fails unless all tensors of a source that was opened can be read, and lie in its file.
func checkSource(t *testing.T, s Source, size int) {
	total := int64(0)
	for _, name := range s.Names() {
		info, err := s.Info(name)
		if err != nil {
			t.Fatal(err)
		}
		if total += info.Bytes; info.Bytes < 0 || total > int64(size) {
			t.Fatalf("tensor %q has %d bytes in a file of %d", name, info.Bytes, size)
		}
		x, err := Read(s, name)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := storedBytes(x.DType, x.Shape); err != nil || n != int64(len(x.Data)) {
			t.Fatalf("tensor %q: %d bytes for %v %v (%v)", name, len(x.Data), x.DType, x.Shape, err)
		}
	}
}

// FuzzSafetensors: no input panics or allocates beyond its size; what is accepted can be read whole, and a second implementation
// (which accepts more) reads the same from it.
func FuzzSafetensors(f *testing.F) {
	seed(f, "python.safetensors")
	for _, c := range hostileSafetensors {
		f.Add(c.file)
	}
	f.Add(safetensorsFile(`{"__metadata__":{"a":"\u00e9"},`+entry("x", "F32", "[2,0]", 0, 0)+","+entry("y", "BF16", "[1,2]", 0, 4)+"}  ", 4))
	f.Fuzz(func(t *testing.T, file []byte) {
		var s *Safetensors
		var err error
		checkBounded(t, len(file), func() { s, err = NewSafetensors("x", bytes.NewReader(file), int64(len(file))) })
		if err != nil {
			return
		}
		checkSource(t, s, len(file))
		for _, info := range s.Tensors() {
			if _, err := safetensors.ParseDType(info.DType.String()); err != nil {
				return
			}
		}
		other, err := safetensors.Deserialize(file)
		if err != nil {
			t.Fatalf("accepted here, but not by the second implementation: %v", err)
		}
		if names := other.Names(); len(names) != len(s.Names()) {
			t.Fatalf("%d tensors, the second implementation has %d", len(s.Names()), len(names))
		}
		for _, name := range s.Names() {
			x, err := Read(s, name)
			if err != nil {
				t.Fatal(err)
			}
			y, ok := other.Tensor(name)
			if !ok || y.DType().String() != x.DType.String() || !bytes.Equal(x.Data, y.Data()) ||
				!slices.EqualFunc(x.Shape, y.Shape(), func(a int, b uint64) bool { return uint64(a) == b }) {
				t.Fatalf("tensor %q is read differently by the second implementation", name)
			}
		}
		_, m, err := safetensors.ReadMetadata(file)
		if err != nil || !maps.Equal(m.Metadata(), s.Metadata()) {
			t.Fatalf("metadata %q, the second implementation has %q (%v)", s.Metadata(), m.Metadata(), err)
		}
	})
}

// FuzzGGUF: no input panics or allocates beyond its size; what is accepted can be read whole, and what is written from it is read the same.
func FuzzGGUF(f *testing.F) {
	seed(f, "split-00003-of-00003.gguf")
	for _, c := range hostileGGUF {
		f.Add([]byte(c.file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var g *GGUF
		var err error
		checkBounded(t, len(file), func() { g, err = openRaw(file) })
		if err != nil {
			return
		}
		checkSource(t, g, len(file))
		for _, entry := range g.KV() {
			g.Int(entry.Key)
			g.Ints(entry.Key)
			g.Floats(entry.Key)
			g.Strings(entry.Key)
		}
		var tensors []LazyTensor
		for _, info := range g.Tensors() {
			lazy, err := Lazy(g, info.Name)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, lazy)
		}
		header, _, err := ggufHeaderBytes(g.KV(), tensors)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		// The header alone ends where the data starts; scanned with the data's size behind it, it says the same.
		end := int64(0)
		for _, info := range g.Tensors() {
			end += info.Bytes + maxGGUFAlignment
		}
		again, err := NewGGUF("again", io.NewSectionReader(bytes.NewReader(append(bytes.Clone(header), make([]byte, end)...)), 0, int64(len(header))+end), int64(len(header))+end)
		if err != nil {
			t.Fatalf("written but not read: %v", err)
		}
		a, b := g.KV(), again.KV()
		for i := range a {
			// As bytes: NaNs differ from themselves.
			x, err1 := appendKV(nil, a[i])
			y, err2 := appendKV(nil, b[i])
			if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
				t.Fatalf("metadata %q changed", a[i].Key)
			}
		}
		if !slices.Equal(g.Names(), again.Names()) {
			t.Fatal("tensors changed")
		}
	})
}

// FuzzIndex: no index panics or names a file outside its directory; what is accepted, encoding/json reads the same way.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(goodIndex))
	for _, c := range hostileIndexes {
		f.Add([]byte(c.index))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var x *index
		var err error
		checkBounded(t, len(text), func() { x, err = scanIndex(string(text)) })
		if err != nil {
			return
		}
		var want struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		dir := t.TempDir()
		for _, shard := range x.weights {
			if filepath.Dir(filepath.Join(dir, shard)) != dir {
				t.Fatalf("shard %q leaves the directory", shard)
			}
		}
		if json.Unmarshal(text, &want) != nil {
			t.Fatal("encoding/json refuses it")
		}
		// encoding/json takes keys in any case and keeps the last; only an index with one such key can be compared.
		if bytes.Count(bytes.ToLower(text), []byte("weight_map")) == 1 && !maps.Equal(want.WeightMap, x.weights) {
			t.Fatalf("read as %q, by encoding/json as %q", x.weights, want.WeightMap)
		}
	})
}
