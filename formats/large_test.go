package formats

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// sparse makes a file of size bytes that are zeros but for the head and, at the end, the tail; it takes no room on disk.
func sparse(t *testing.T, path string, size int64, head, tail []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(tail, size-int64(len(tail))); err != nil {
		t.Fatal(err)
	}
}

func TestTensorsBeyond4GiBAreReadWithoutLoadingThem(t *testing.T) {
	const big = 5 << 30
	dir := t.TempDir()
	st, gg := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "a.gguf")
	header := safetensorsFile("{"+entry("big", "U8", "[5368709120]", 0, big)+","+entry("last", "U8", "[5]", big, big+5)+"}", 0)
	sparse(t, st, int64(len(header))+big+5, header, []byte("hello"))
	g := head(2, 0).tensor("big", 24, 0, big).tensor("last", 24, big, 5).aligned(0)
	sparse(t, gg, int64(len(g))+big+5, g, []byte("hello"))

	for _, open := range []func() (Source, error){
		func() (Source, error) { return OpenSafetensors(st) },
		func() (Source, error) { return OpenGGUF(gg) },
	} {
		checkBounded(t, 0, func() {
			s, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			last, err := Read(s, "last")
			if err != nil || !bytes.Equal(last.Data, []byte("hello")) {
				t.Errorf("%q, %v", last.Data, err)
			}
			two := make([]byte, 2)
			if err := s.ReadAt("big", two, big-2); err != nil || !bytes.Equal(two, []byte{0, 0}) {
				t.Errorf("%v, %v", two, err)
			}
		})
	}
}

// A header as long as the file allows must not be loaded when it is over the format's limit.
func TestHostileSafetensorsHeaderOverTheLimitIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	sparse(t, path, 1<<32, []byte{1, 0xe1, 0xf5, 5, 0, 0, 0, 0, '{'}, nil) // 100,000,001
	var err error
	checkBounded(t, 0, func() { _, err = OpenSafetensors(path) })
	checkRefused(t, err, path, "100000001", "limit of 100000000")
}

// The tokens of a hostile GGUF file may be as many as the file has room for, but not beyond the limit of a header.
func TestHostileGGUFHeaderOverOurLimitIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	sparse(t, path, 1<<33, head(0, 1).str("a").u32(9).u32(10).u64(1<<28), nil)
	var err error
	checkBounded(t, 0, func() { _, err = OpenGGUF(path) })
	checkRefused(t, err, path, "limit")
}
