package calib

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/formats"
)

// savedBytes returns the file of testSet.
func savedBytes(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stats")
	if err := testSet(t, "a.txt", 1).Save(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openBytes reads all of a file's statistics and returns the first error.
func openBytes(data []byte) error {
	src, err := formats.NewSafetensors("stats", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	s, err := newFileSet("stats", src)
	if err != nil {
		return err
	}
	for _, site := range s.Sites() {
		if _, err := s.Stats(site.Name, Gram|Counts); err != nil {
			return err
		}
	}
	return nil
}

func TestDamagedFilesAreErrors(t *testing.T) {
	good := savedBytes(t)
	if err := openBytes(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{`\"format\":1`, `\"format\":9`, "format 9"},
		{`pith.statistics`, `pith.statistiks`, "holds no statistics"},
		{`\"features\":33`, `\"features\":34`, "calls for a tensor"},
		{`\"features\":33`, `\"features\":-3`, "features"},
		{`\"name\":\"head\"`, `\"name\":\"heap\"`, "calls for a tensor"},
		{`\"need\":\"gram\"`, `\"need\":\"gran\"`, "not known"},
		{`\"tokens\":19`, `\"tokens\":-1`, "negative"},
		{`\"windows\":2,\"tokens\":20`, `\"windows\":3,\"tokens\":20`, "corpus"},
		{`k.weight`, `q.weight`, "twice"},
		{`\"down.weight\"`, `\"q.weight\"   `, "both"},
	} {
		bad := bytes.Replace(good, []byte(c.from), []byte(c.to), 1)
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: not in the file", c.from)
		}
		err := openBytes(bad)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", c.to, err)
		}
	}
	for n := range 40 { // the last bytes are of moments and Gram matrices; exponents become NaN, infinite or far too large
		bad := bytes.Clone(good)
		bad[len(bad)-1-8*n] = 0x7f
		if err := openBytes(bad); err == nil {
			t.Errorf("value %d from the end is 1e307, and that is no error", n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := NewSet(Model{}, Corpus{Context: 1})
	for _, name := range []string{"a", "b"} {
		stats := NewGram(2)
		stats.Observe(randomMat(1, 3, 2))
		if err := s.Add(Site{Name: name, Features: 2, Weights: []string{name}}, stats); err != nil {
			f.Fatal(err)
		}
	}
	path := filepath.Join(f.TempDir(), "stats")
	if err := s.Save(path); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, data []byte) { openBytes(data) })
}
