package eval_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pith/checkpoint"
	"pith/codec"
	"pith/eval"
	"pith/internal/synth/llama"
	"pith/tensor"
)

// writeStack writes a small model whose matrices have three blocks each.
func writeStack(dir string) (string, error) {
	shape := llama.Shape{Vocab: 384, Hidden: 64, FFN: 96, Layers: 2, Heads: 4, KVHeads: 2, Context: 64}
	if err := llama.Write(filepath.Join(dir, "model"), shape, llama.Options{DType: tensor.F32, Seed: 3}); err != nil {
		return "", err
	}
	c, err := checkpoint.Open(filepath.Join(dir, "model"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	sign, err := codec.Parse("sign-k1")
	if err != nil {
		return "", err
	}
	s := checkpoint.StackContents{Tool: "test"}
	if s.Files, err = c.ConfigContents(); err != nil {
		return "", err
	}
	levels := make([][]checkpoint.StackTensor, 3)
	for _, name := range c.Names() {
		w, err := c.Load(name)
		if err != nil {
			return "", err
		}
		if w.Rows == 1 || name == "model.embed_tokens.weight" || name == "lm_head.weight" {
			s.Kept = append(s.Kept, checkpoint.StackTensor{Name: name, Shape: w.Shape, Term: func() (codec.Term, error) { return w.Terms[0], nil }})
			continue
		}
		rest := tensor.NewMat(w.Rows, w.Cols)
		w.ReadRows(rest, 0)
		for l := range levels {
			g, err := sign.Fit(rest, nil, codec.FitOptions{})
			if err != nil {
				return "", err
			}
			rounded := tensor.NewMat(w.Rows, w.Cols)
			codec.RoundAll(g, rest, 1)
			codec.Read(g.Pack(), rounded, 0)
			for i, v := range rounded.Data {
				rest.Data[i] -= v
			}
			levels[l] = append(levels[l], checkpoint.StackTensor{Name: name, Shape: w.Shape, Term: func() (codec.Term, error) { return g.Pack(), nil }})
		}
	}
	for _, l := range levels {
		s.Blocks = append(s.Blocks, l...)
	}
	path := filepath.Join(dir, "model.pithstack")
	return path, checkpoint.WriteStack(path, s)
}

func stackFile(t testing.TB) string {
	t.Helper()
	path, err := writeStack(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAModelGrownToABudgetIsTheOneOpenedWithIt(t *testing.T) {
	path := stackFile(t)
	m, err := eval.Open(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	s := m.Stack()
	tokens := [][]int32{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}}
	for _, blocks := range []int{14, 42, 20, 31, 14, 15} {
		before := s.InUse()
		r, err := m.SetBudget(eval.Budget{Bytes: s.BytesOf(blocks)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Before != before || r.Blocks != blocks || r.Bytes != s.BytesOf(blocks) || r.Read != max(0, s.BytesOf(blocks)-s.BytesOf(before)) {
			t.Errorf("from %d blocks to %d: %+v", before, blocks, r)
		}
		opened, err := eval.OpenWithin(path, 2, eval.Budget{Bytes: s.BytesOf(blocks) + 1})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.Model.Forward(tokens).Data, opened.Model.Forward(tokens).Data) {
			t.Fatalf("%d blocks: the model that became this size computes something else than the one opened with it", blocks)
		}
		if err := errors.Join(m.Identify(context.Background()), opened.Identify(context.Background())); err != nil || m.Subject != opened.Subject {
			t.Errorf("%d blocks: %+v, opened %+v (%v)", blocks, m.Subject, opened.Subject, err)
		}
	}
	if _, err := m.SetBudget(eval.Budget{Bytes: 100}); err == nil {
		t.Error("a budget below the smallest size is met")
	}
	if r, err := m.SetBudget(eval.Budget{BitsPerWeight: 64}); err != nil || r.Blocks != 42 {
		t.Errorf("64 bits per weight are %d blocks, %v", r.Blocks, err)
	}
}

func TestModelsOfOneSizeHaveNoBudget(t *testing.T) {
	dir := filepath.Join(filepath.Dir(stackFile(t)), "model")
	if _, err := eval.OpenWithin(dir, 1, eval.Budget{Bytes: 1 << 30}); !errors.Is(err, checkpoint.ErrNoStack) {
		t.Errorf("opened with a budget: %v", err)
	}
	m, err := eval.Open(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.SetBudget(eval.Budget{Bytes: 1 << 30}); !errors.Is(err, checkpoint.ErrNoStack) {
		t.Errorf("resized: %v", err)
	}
}

// A session goes on while its model changes size.
func ExampleOpened_SetBudget() {
	dir, err := os.MkdirTemp("", "stack")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path, err := writeStack(dir) // pith stack makes one
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := eval.Open(path, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	session := m.Model.NewSession(16)
	whole := m.Stack().BytesOf(m.Stack().Blocks())
	for i, bytes := range []int64{whole, whole - 15_000, whole - 5_000} {
		r, err := m.SetBudget(eval.Budget{Bytes: bytes})
		if err == nil {
			_, err = session.Feed([]int32{int32(i)})
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d blocks, %d before; %d tokens seen\n", r.Blocks, r.Before, session.Len())
	}
	// Output:
	// 42 blocks, 42 before; 1 tokens seen
	// 22 blocks, 42 before; 2 tokens seen
	// 35 blocks, 22 before; 3 tokens seen
}

func BenchmarkSetBudget(b *testing.B) {
	path := stackFile(b)
	m, err := eval.Open(path, 1)
	if err != nil {
		b.Fatal(err)
	}
	s := m.Stack()
	b.ReportAllocs()
	for b.Loop() {
		for _, blocks := range []int{14, 42} {
			if _, err := m.SetBudget(eval.Budget{Bytes: s.BytesOf(blocks)}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
