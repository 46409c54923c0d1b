package calib

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pith/tensor"
)

// randomMat returns Gaussian activations.
func randomMat(seed uint64, rows, cols int) tensor.Mat {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := tensor.NewMat(rows, cols)
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64())
	}
	return x
}

// testSet returns a set of one layer, a tied head and an embedding of 5 rows, which read the given tokens' worth of text.
func testSet(t testing.TB, text string, seed uint64) *Set {
	t.Helper()
	s := NewSet(Model{Type: "llama", SHA256: "abc"}, Corpus{
		Files:   []File{{Name: text, SHA256: "sha of " + text, Bytes: 100, Tokens: 21, Windows: 2}},
		Context: 10, Windows: 2, Tokens: 20,
	})
	s.Tool = "test"
	counts := &Stats{Counts: make([]int64, 5)}
	counts.ObserveRows([]int32{0, 4, 4})
	qkv, down, head := NewGram(33), NewGram(70), NewStats(33)
	x := randomMat(seed, 20, 33)
	x.Row(3)[7] = float32(math.NaN())
	qkv.Observe(x)
	down.Observe(randomMat(seed+1, 20, 70))
	head.Observe(randomMat(seed+2, 20, 33))
	for _, e := range []struct {
		site  Site
		stats *Stats
	}{
		{Site{Name: "embedding", Features: 5, Weights: []string{"embed.weight"}}, counts},
		{Site{Name: "layers.0.qkv", Features: 33, Weights: []string{"q.weight", "k.weight"}}, qkv},
		{Site{Name: "layers.0.down", Features: 70, Weights: []string{"down.weight"}}, down},
		{Site{Name: "head", Features: 33, Weights: []string{"embed.weight"}}, head},
	} {
		if err := s.Add(e.site, e.stats); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// same fails unless two sets say the same.
func same(t *testing.T, got, want *Set) {
	t.Helper()
	if !reflect.DeepEqual(got.Sites(), want.Sites()) || !reflect.DeepEqual(got.Corpora, want.Corpora) || got.Model != want.Model {
		t.Errorf("got %+v %+v %+v, want %+v %+v %+v", got.Model, got.Corpora, got.Sites(), want.Model, want.Corpora, want.Sites())
	}
	for _, site := range want.Sites() {
		a, err := got.Stats(site.Name, Gram|Counts)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := want.Stats(site.Name, Gram|Counts)
		if !slices.Equal(a.SqSum, b.SqSum) || !slices.Equal(a.AbsSum, b.AbsSum) || !slices.Equal(a.Gram, b.Gram) || !slices.Equal(a.Counts, b.Counts) || a.Tokens != b.Tokens || a.NonFinite != b.NonFinite {
			t.Errorf("%s: other sums", site.Name)
		}
	}
}

func TestSavedSetIsReadBackExactly(t *testing.T) {
	dir := t.TempDir()
	want := testSet(t, "a.txt", 1)
	path := filepath.Join(dir, "stats.safetensors")
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	same(t, got, want)
	if n, site := got.NonFinite(); n != 1 || site != "layers.0.qkv" {
		t.Errorf("%d tokens left out at %s", n, site)
	}
	again := filepath.Join(dir, "again")
	if err := got.Save(again); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(path)
	b, _ := os.ReadFile(again)
	if !bytes.Equal(a, b) {
		t.Error("a set that was read is written differently")
	}
}

func TestWeightsOfASiteShareItsStatistics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats")
	if err := testSet(t, "a.txt", 1).Save(path); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q, err := s.For("q.weight", 33, Gram)
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range []Need{Moments, Gram} {
		if k, _ := s.For("k.weight", 33, need); k != q {
			t.Error("k has other statistics than q")
		}
	}
	if e, _ := s.For("embed.weight", 33, Gram); e == nil || e.SqSum == nil {
		t.Error("a tied embedding must get the head's statistics")
	}
	if none, err := s.For("norm.weight", 33, Gram); none != nil || err != nil {
		t.Errorf("statistics of a weight without any: %v, %v", none, err)
	}
	if _, err := s.For("q.weight", 34, Gram); err == nil || !strings.Contains(err.Error(), "q.weight") {
		t.Errorf("another width: %v", err)
	}
	d, err := s.For("down.weight", 70, Moments)
	if err != nil || d.Gram != nil {
		t.Errorf("moments alone were asked for, and %v was read (%v)", d.Holds(), err)
	}
	if d, err = s.For("down.weight", 70, Gram); err != nil || d.Gram == nil {
		t.Errorf("the Gram matrix was not read after the moments were (%v)", err)
	}
	calls := 0
	for range 2 {
		if v := q.Derive("key", func() any { calls++; return 7 }); v != 7 {
			t.Errorf("derived %v", v)
		}
	}
	if calls != 1 {
		t.Errorf("made %d times", calls)
	}
	if v, err := q.TryDerive("other", func() (any, error) { return 8, io.EOF }); err != io.EOF {
		t.Errorf("derived %v, %v", v, err)
	}
	if v, err := q.TryDerive("other", func() (any, error) { return 9, nil }); v != 9 || err != nil {
		t.Errorf("after a failure: derived %v, %v", v, err)
	}
}

func TestMergedFilesAreThoseOfAllTokens(t *testing.T) {
	dir := t.TempDir()
	a, b := testSet(t, "a.txt", 1), testSet(t, "b.txt", 10)
	pa, pb, pc := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	if err := a.Save(pa); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(pb); err != nil {
		t.Fatal(err)
	}
	fa, _ := Open(pa)
	fb, _ := Open(pb)
	defer fa.Close()
	defer fb.Close()
	sum, err := Merge(fa, fb)
	if err != nil {
		t.Fatal(err)
	}
	if err := sum.Save(pc); err != nil {
		t.Fatal(err)
	}
	c, err := Open(pc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Corpora) != 2 || c.Tokens() != 40 {
		t.Errorf("corpora %+v", c.Corpora)
	}
	for _, site := range a.Sites() {
		x, _ := a.Stats(site.Name, Gram)
		y, _ := b.Stats(site.Name, Gram)
		if err := x.Merge(y); err != nil {
			t.Fatal(err)
		}
		z, err := c.Stats(site.Name, Gram)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x.SqSum, z.SqSum) || !slices.Equal(x.AbsSum, z.AbsSum) || !slices.Equal(x.Gram, z.Gram) || !slices.Equal(x.Counts, z.Counts) || x.Tokens != z.Tokens || x.NonFinite != z.NonFinite {
			t.Errorf("%s: other sums", site.Name)
		}
	}
}

func TestSetsThatDoNotBelongTogetherAreNotMerged(t *testing.T) {
	a := testSet(t, "a.txt", 1)
	other := testSet(t, "b.txt", 1)
	other.Model.SHA256 = "x"
	fewer := NewSet(a.Model, Corpus{Context: 1})
	for name, b := range map[string]*Set{"the same text": testSet(t, "a.txt", 2), "another model": other, "other sites": fewer} {
		if _, err := Merge(a, b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSumsDependNeitherOnWorkersNorOnBatches(t *testing.T) {
	for _, n := range []int{1, 31, 32, 33, 64, 100} {
		x := randomMat(uint64(n), 37, n)
		x.Row(0)[0] = float32(math.Inf(1))
		want := NewGram(n)
		want.Observe(x)
		for _, workers := range []int{1, 2, 5} {
			got := NewGram(n)
			for lo := 0; lo < 37; lo += 5 {
				got.ObserveWith(workers, x.Slice(lo, min(37, lo+5)))
			}
			if got.Tokens != 36 || got.NonFinite != 1 || !slices.Equal(got.Gram, want.Gram) || !slices.Equal(got.SqSum, want.SqSum) {
				t.Errorf("%d features, %d workers: other sums", n, workers)
			}
			moments := NewStats(n)
			moments.ObserveWith(workers, x)
			if !slices.Equal(moments.SqSum, want.SqSum) {
				t.Errorf("%d features: moments are not the Gram matrix's diagonal", n)
			}
		}
	}
}

func TestGramIsTheSumOfOuterProducts(t *testing.T) {
	x := randomMat(3, 9, 40)
	s := NewGram(40)
	s.Observe(x)
	for i := range 40 {
		for j := range i + 1 {
			var want float64
			for r := range 9 {
				want += float64(x.Row(r)[i]) * float64(x.Row(r)[j])
			}
			if s.GramRow(i)[j] != want {
				t.Fatalf("entry (%d, %d) is %v, want %v", i, j, s.GramRow(i)[j], want)
			}
		}
	}
}
