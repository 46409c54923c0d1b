package llama

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/formats"
	"pith/tensor"
	"pith/tokenizer"
)

func write(t *testing.T, o Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "m")
	if err := Write(dir, Shapes()["odd"], o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func digest(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

func TestBytesDependOnSeedOnlyNotOnWorkers(t *testing.T) {
	file := func(o Options) [32]byte { return digest(t, filepath.Join(write(t, o), "model.safetensors")) }
	one := file(Options{Seed: 7, Workers: 1})
	if file(Options{Seed: 7, Workers: 5}) != one {
		t.Error("5 workers write other bytes than 1")
	}
	if file(Options{Seed: 8, Workers: 1}) == one {
		t.Error("another seed writes the same bytes")
	}
}

func TestWeightsAreGaussianOfTheStatedSize(t *testing.T) {
	dir := write(t, Options{DType: tensor.F32, Seed: 1})
	src, err := formats.OpenSafetensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	w, err := formats.Read(src, "model.embed_tokens.weight")
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, tensor.Elements(w.Shape))
	tensor.Decode(v, tensor.F32, w.Data, 0)
	var sum, squares float64
	for _, x := range v {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	mean, variance := sum/float64(len(v)), squares/float64(len(v))
	if mean > 1e-3 || mean < -1e-3 || variance < 0.95*std*std || variance > 1.05*std*std {
		t.Errorf("mean %g, variance %g; want 0 and %g", mean, variance, std*std)
	}
}

func TestShardsHoldTheSameTensorsAsOneFile(t *testing.T) {
	a, err := formats.OpenSafetensors(write(t, Options{Seed: 3}))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := formats.OpenSafetensors(write(t, Options{Seed: 3, ShardBytes: 100_000}))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(b.Names()) != len(a.Names()) || len(a.Names()) != 12 {
		t.Fatalf("%d and %d tensors, want 12", len(a.Names()), len(b.Names()))
	}
	for _, name := range a.Names() {
		x, err := formats.Read(a, name)
		if err != nil {
			t.Fatal(err)
		}
		y, err := formats.Read(b, name)
		if err != nil {
			t.Fatal(err)
		}
		if string(x.Data) != string(y.Data) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestVocabularyHasDistinctPiecesAndMergesOfPiecesAtEverySize(t *testing.T) {
	for _, size := range []int{353, 354, 355, 512, 1030, 1031, 32000, 36858, 36859, 128256, 493835} {
		v, err := newVocabulary(size)
		if size < 354 || size > 493834 {
			if err == nil {
				t.Errorf("size %d is accepted", size)
			}
			continue
		}
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		ids := map[string]bool{}
		for _, p := range v.pieces {
			if ids[p] {
				t.Fatalf("size %d: %q twice", size, p)
			}
			ids[p] = true
		}
		for _, m := range v.merges {
			if !ids[m[0]] || !ids[m[1]] || !ids[m[0]+m[1]] {
				t.Fatalf("size %d: merge %q is not of pieces", size, m)
			}
		}
		if len(v.pieces) != size {
			t.Errorf("%d pieces, want %d", len(v.pieces), size)
		}
		if _, err := json.Marshal(v.tokenizerJSON()); err != nil {
			t.Error(err)
		}
	}
}

func TestGeneratedTokensHaveTheFrequenciesOfAText(t *testing.T) {
	text := strings.Repeat("the cat and the hat sat on the mat. ", 30)
	dir := write(t, Options{DType: tensor.F32, Seed: 1, Text: text})
	m := means(t, dir, "lm_head.weight")
	tok, err := tokenizer.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int32]int{}
	for _, id := range tok.Encode(text, tokenizer.EncodeOptions{}) {
		counts[id]++
	}
	for a := range m {
		for b := range m {
			if x, y := counts[int32(a)], counts[int32(b)]; x > 10*y && m[a] < m[b] {
				t.Fatalf("token %d occurs %d times and %d occurs %d times; means of the head's rows are %g and %g", a, x, b, y, m[a], m[b])
			}
		}
	}
	for i, v := range means(t, dir, "model.embed_tokens.weight") {
		if v < 2.9 || v > 3.1 {
			t.Fatalf("embedding %d has mean %g", i, v)
		}
	}
	if err := Write(t.TempDir(), Shape{Layers: 1, Hidden: 64, FFN: 64, Heads: 2, KVHeads: 1, Vocab: 400, Context: 16, Tied: true}, Options{Text: text}); err == nil {
		t.Error("a tied head took frequencies")
	}
}

// means returns the mean of each row of a matrix of float32.
func means(t *testing.T, dir, name string) []float64 {
	t.Helper()
	src, err := formats.OpenSafetensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	w, err := formats.Read(src, name)
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, tensor.Elements(w.Shape))
	tensor.Decode(v, tensor.F32, w.Data, 0)
	list := make([]float64, w.Shape[0])
	for i, x := range v {
		list[i/w.Shape[1]] += float64(x) / float64(w.Shape[1])
	}
	return list
}
