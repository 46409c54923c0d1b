package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/internal/synth/llama"
	"pith/lowrank"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// tiny opens a synthetic model of two layers.
func tiny(t testing.TB) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	shape := llama.Shape{Vocab: 384, Hidden: 48, FFN: 72, Layers: 2, Heads: 4, KVHeads: 2, Context: 128}
	if err := llama.Write(dir, shape, llama.Options{DType: tensor.F32, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t testing.TB, path string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// words returns n bytes of words.
func words(n int) []observe.Text {
	rng := rand.New(rand.NewPCG(uint64(n), 9))
	var b strings.Builder
	for b.Len() < n {
		for range 1 + rng.IntN(7) {
			b.WriteByte('a' + byte(rng.IntN(26)))
		}
		b.WriteByte(' ')
	}
	return []observe.Text{{Name: "words.txt", Data: []byte(b.String()[:n])}}
}

func options() Options {
	return Options{Texts: words(4000), Context: 32, Levels: 3, Probes: 128, Workers: 2, Tool: "test"}
}

func build(t testing.TB, c *checkpoint.Checkpoint, path string, o Options) Report {
	t.Helper()
	r, err := Build(context.Background(), c, path, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// logits runs a model on a few tokens, enough that products are of float32.
func logits(t testing.TB, w model.Weights, cfg model.Config) []float32 {
	t.Helper()
	m, err := model.New(cfg, w, 2)
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]int32, 20)
	for i := range tokens {
		tokens[i] = int32(7 * i % cfg.Vocab)
	}
	return slices.Clone(m.Logits(m.Forward([][]int32{tokens})).Data)
}

// over is a checkpoint some of whose weights are others.
type over struct {
	*checkpoint.Checkpoint
	weights map[string]*codec.Weight
}

func (o over) Load(name string) (*codec.Weight, error) {
	if w := o.weights[name]; w != nil {
		return w, nil
	}
	return o.Checkpoint.Load(name)
}

// recomputed solves the blocks of all matrices again, apart from the file.
func recomputed(t testing.TB, c *checkpoint.Checkpoint, o Options) map[string][]codec.Term {
	t.Helper()
	ctx := context.Background()
	b, err := observe.New(ctx, c, o.Texts, observe.Options{Context: o.Context, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	set, err := b.Gather(ctx, calib.Model{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]codec.Term{}
	for _, name := range c.Names() {
		info, err := c.Info(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(name, "layers") || info.Rows == 1 {
			continue
		}
		w := tensor.NewMat(info.Rows, info.Cols)
		if err := c.ReadRows(name, w, 0); err != nil {
			t.Fatal(err)
		}
		stats, err := set.For(name, info.Cols, calib.Gram)
		if err != nil {
			t.Fatal(err)
		}
		for range o.Levels {
			term, _, err := lowrank.BitStack{}.Solve(approx.Problem{Name: name, W: w, Stats: stats})
			if err != nil {
				t.Fatal(err)
			}
			all[name] = append(all[name], term)
			value := tensor.NewMat(info.Rows, info.Cols)
			term.AddTo(value, 0)
			for i, v := range value.Data {
				w.Data[i] -= v
			}
		}
	}
	return all
}

// H11 of the specification: every prefix loads, at the ends of blocks and between them, and is the model that its blocks make.
func TestEveryPrefixIsTheModelOfItsBlocks(t *testing.T) {
	c := tiny(t)
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Keep = keepAll
	path := filepath.Join(t.TempDir(), "model.pithstack")
	r := build(t, c, path, o)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != r.Bytes || r.Blocks != 14*3 || r.Mandatory != 14 {
		t.Fatalf("%d bytes; report %+v", len(data), r)
	}
	terms := recomputed(t, c, o)
	whole := open(t, path).Stack()
	for blocks := r.Mandatory; blocks <= r.Blocks; blocks++ {
		cut := whole.BytesOf(blocks)
		if blocks < r.Blocks {
			cut += (whole.BytesOf(blocks+1) - cut) * int64(blocks%3) / 3 // at the end of a block, or inside of the next
		}
		part := filepath.Join(t.TempDir(), "part.pithstack")
		if err := os.WriteFile(part, data[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		got := open(t, part)
		if n := got.Stack().Blocks(); n != blocks {
			t.Fatalf("%d bytes hold %d blocks, want %d", cut, n, blocks)
		}
		weights, stored := map[string]*codec.Weight{}, int64(0)
		for name, list := range terms {
			info, err := got.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			w := &codec.Weight{Name: name, Rows: info.Rows, Cols: info.Cols}
			for _, term := range list {
				if w.Bytes() < info.Bytes {
					w.Terms = append(w.Terms, term)
				}
			}
			stored += w.Bytes()
			weights[name] = w
		}
		if whole.BytesOf(blocks)-whole.BytesOf(0) != stored {
			t.Fatalf("%d blocks take %d bytes of the file, their terms %d", blocks, whole.BytesOf(blocks)-whole.BytesOf(0), stored)
		}
		if !slices.Equal(logits(t, got, cfg), logits(t, over{c, weights}, cfg)) {
			t.Fatalf("the logits of %d blocks are not those of the recomputed model", blocks)
		}
	}
}

func TestBytesDependNeitherOnWorkersNorOnInterruptions(t *testing.T) {
	c, dir := tiny(t), t.TempDir()
	first, second := filepath.Join(dir, "a.pithstack"), filepath.Join(dir, "b.pithstack")
	build(t, c, first, options())
	o := options()
	o.Workers = 1
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(p Progress) {
		if p.Stage == "solve" && p.Done == 5 {
			cancel()
		}
	}
	if _, err := Build(ctx, c, second, o); !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "5 of 14") {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := os.Stat(second); err == nil {
		t.Fatal("an interrupted run leaves a file")
	}
	o.Progress = nil
	if r := build(t, c, second, o); r.Resumed != 5 {
		t.Errorf("%d matrices resumed, want 5", r.Resumed)
	}
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(second)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the files differ (%v)", err)
	}
	if list, err := filepath.Glob(filepath.Join(dir, "*.work*")); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

func TestOtherOptionsDropWhatAnEarlierRunLeft(t *testing.T) {
	c, path := tiny(t), filepath.Join(t.TempDir(), "a.pithstack")
	o := options()
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(p Progress) {
		if p.Stage == "solve" && p.Done == 3 {
			cancel()
		}
	}
	if _, err := Build(ctx, c, path, o); err == nil {
		t.Fatal("not interrupted")
	}
	o.Progress, o.Levels = nil, 2
	if r := build(t, c, path, o); r.Resumed != 0 || r.Blocks != 28 {
		t.Errorf("%+v", r)
	}
}

func TestGreedyOrderTakesTheBestForItsBytesAndKeepsLevelsInTurn(t *testing.T) {
	b := &builder{stacked: []*matrix{
		{losses: []float64{9, 5, 3, 2}, bytes: []int64{10, 10, 10}, weight: 1},
		{losses: []float64{9, 4, 1, 0.9}, bytes: []int64{10, 30, 30}, weight: 1},
		{losses: []float64{9, 5, 4.9, 4}, bytes: []int64{10, 10, 10}, weight: 4},
	}}
	// Gains for a byte: 0.2 and 0.1 of the first, 0.1 and 0.003 of the second, 0.04 and 0.36 of the third.
	want := []place{{0, 1}, {0, 2}, {1, 1}, {2, 1}, {2, 2}, {1, 2}}
	if got := b.greedy(); !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestAnOrderByLevelsNeverSkipsALevel(t *testing.T) {
	c, path := tiny(t), filepath.Join(t.TempDir(), "a.pithstack")
	o := options()
	o.Order = ByLevels
	r := build(t, c, path, o)
	s := open(t, path).Stack()
	for level := 1; level <= 3; level++ {
		if _, err := s.Resize(level * r.Mandatory); err != nil {
			t.Fatal(err)
		}
		for _, name := range s.Names() {
			info, err := s.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			want := "sign-k1"
			if level > 1 {
				want = fmt.Sprintf("%d*sign-k1", level)
			}
			if strings.Contains(name, "proj") && info.Codec != want {
				t.Errorf("%s is %s with %d blocks a matrix", name, info.Codec, level)
			}
		}
	}
}

func TestBlocksOfOtherCodecsAndWithoutDataAreStackedToo(t *testing.T) {
	c := tiny(t)
	for _, name := range []string{"int2-g64", "lr2-f16", "tcq-lut7-1"} {
		path := filepath.Join(t.TempDir(), "a.pithstack")
		by, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Levels: 2, MethodName: name, Method: always(fitted{by})}
		r := build(t, c, path, o)
		if r.Probed != 0 || r.Blocks != 28 {
			t.Errorf("%s: %+v", name, r)
		}
		cfg, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range logits(t, open(t, path), cfg) {
			if math.IsNaN(float64(v)) {
				t.Fatal("logits are no numbers")
			}
		}
	}
}

// always solves every matrix by m.
func always(m approx.Method) func(int, int) (approx.Method, error) {
	return func(int, int) (approx.Method, error) { return m, nil }
}

// fitted rounds to nearest.
type fitted struct{ c codec.Codec }

func (f fitted) Name() string      { return "fitted" }
func (f fitted) Needs() calib.Need { return calib.Nothing }
func (f fitted) RowWise() bool     { return false }
func (f fitted) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	g, err := f.c.Fit(p.W, nil, codec.FitOptions{})
	if err != nil {
		return nil, approx.Report{}, err
	}
	codec.RoundAll(g, p.W, 1)
	return g.Pack(), approx.Report{}, nil
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	c, path := tiny(t), filepath.Join(t.TempDir(), "a.pithstack")
	for _, o := range []Options{{Levels: 65}, {Levels: -1}, {Rank: 65}, {Keep: "int9"}, {Order: "size"}, {Order: ByLevels}} {
		if _, err := Build(context.Background(), c, path, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
