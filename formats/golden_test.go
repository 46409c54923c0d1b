package formats

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// checkGolden compares what s says with the listing that the reference library made of the same file.
func checkGolden(t *testing.T, s Source, listing string) {
	t.Helper()
	text, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(s.Names()) {
		t.Errorf("%d tensors, the listing has %d", len(s.Names()), len(lines))
	}
	for _, line := range lines {
		dec := json.NewDecoder(strings.NewReader(line))
		var name string
		if err := dec.Decode(&name); err != nil {
			t.Fatal(err)
		}
		want := line[dec.InputOffset()+1:]
		x, err := Read(s, name)
		if err != nil {
			t.Error(err)
			continue
		}
		shape := strings.ReplaceAll(fmt.Sprint(x.Shape), " ", ", ")
		got := fmt.Sprintf("%v %s %.16x", x.DType, shape, sha256.Sum256(x.Data))
		if got[:len(want)] != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func lazyAll(t *testing.T, s Source, names []string) []LazyTensor {
	t.Helper()
	var tensors []LazyTensor
	for _, name := range names {
		lazy, err := Lazy(s, name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, lazy)
	}
	return tensors
}

func checkSameBytes(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s and %s differ", got, want)
	}
}

func TestSafetensorsOfTheReferenceAreReadAndRewrittenByteForByte(t *testing.T) {
	s, err := OpenSafetensors("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	checkGolden(t, s, "testdata/python.safetensors.txt")
	copied := filepath.Join(t.TempDir(), "copy.safetensors")
	if err := WriteSafetensors(copied, lazyAll(t, s, s.Names()), s.Metadata()); err != nil {
		t.Fatal(err)
	}
	checkSameBytes(t, copied, "testdata/python.safetensors")
}

func TestGGUFOfTheReferencesIsReadAndRewrittenByteForByte(t *testing.T) {
	g, err := OpenGGUF("testdata/python.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	checkGolden(t, g, "testdata/python.gguf.txt")
	checkRewritten(t, g, "testdata/python.gguf")

	// The same by ggml's own writer: one shard, read as if it were a file of its own.
	const shard = "testdata/split-00002-of-00003.gguf"
	text, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = NewGGUF(shard, bytes.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	checkRewritten(t, g, shard)
}

func checkRewritten(t *testing.T, g *GGUF, path string) {
	t.Helper()
	var names []string
	for _, info := range g.Tensors() {
		names = append(names, info.Name)
	}
	copied := filepath.Join(t.TempDir(), "copy.gguf")
	if err := WriteGGUF(copied, g.KV(), lazyAll(t, g, names)); err != nil {
		t.Fatal(err)
	}
	checkSameBytes(t, copied, path)
}

func TestGGUFShardsAreReadAsTheWholeFile(t *testing.T) {
	g, err := OpenGGUF("testdata/split-00001-of-00003.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	checkGolden(t, g, "testdata/python.gguf.txt")
	if name, err := g.String("string"); err != nil || name != "h\u00e9" {
		t.Errorf("metadata of the first shard: %q, %v", name, err)
	}
	if len(g.Files()) != 3 {
		t.Errorf("files %q", g.Files())
	}
}

// Run with -race: readers share nothing but the file.
func TestConcurrentReadsGiveTheSameBytes(t *testing.T) {
	for _, open := range []func() (Source, error){
		func() (Source, error) { return OpenSafetensors("testdata/python.safetensors") },
		func() (Source, error) { return OpenGGUF("testdata/split-00001-of-00003.gguf") },
	} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		want := map[string][]byte{}
		for _, name := range s.Names() {
			x, err := Read(s, name)
			if err != nil {
				t.Fatal(err)
			}
			want[name] = x.Data
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for name, data := range want {
					half := len(data) / 2
					got := make([]byte, len(data)-half)
					if err := s.ReadAt(name, got, int64(half)); err != nil || !bytes.Equal(got, data[half:]) {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		group.Wait()
	}
}

func TestReadsAfterCloseFail(t *testing.T) {
	s, err := OpenSafetensors("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, info := range s.Tensors() {
		if _, err := Read(s, info.Name); err == nil && info.Bytes > 0 {
			t.Fatalf("%s is read from a closed file", info.Name)
		}
	}
}
