package structure

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/eval"
	"pith/internal/synth/llama"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// tiny opens a synthetic model of some layers.
func tiny(t testing.TB, layers int) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	shape := llama.Shape{Vocab: 512, Hidden: 48, FFN: 80, Layers: layers, Heads: 4, KVHeads: 2, Context: 128}
	if err := llama.Write(dir, shape, llama.Options{DType: tensor.F32, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func words(n int) []observe.Text {
	rng := rand.New(rand.NewPCG(uint64(n), 9))
	var b strings.Builder
	for b.Len() < n {
		for range 1 + rng.IntN(7) {
			b.WriteByte('a' + byte(rng.IntN(26)))
		}
		b.WriteByte(' ')
	}
	return []observe.Text{{Name: "words", Data: []byte(b.String()[:n])}}
}

func measure(t testing.TB, c *checkpoint.Checkpoint, drop int, o Options) *Report {
	t.Helper()
	o.Context = 32
	r, err := Measure(context.Background(), c, words(900), drop, Protection{First: 1}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func load(t testing.TB, c *checkpoint.Checkpoint) *model.Model {
	t.Helper()
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(cfg, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLeavingOneOutIsTheDivergenceOfTheViewWithoutIt(t *testing.T) {
	c := tiny(t, 4)
	r := measure(t, c, 2, Options{Workers: 2})
	windows, _, err := observe.Windows(c, words(900), 32, 0)
	if err != nil {
		t.Fatal(err)
	}
	base := load(t, c)
	for l := range 4 {
		stay, err := Remaining(4, []int{l})
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.View(checkpoint.Edit{Layers: stay})
		if err != nil {
			t.Fatal(err)
		}
		m := load(t, v)
		var kl, nll, n float64
		for _, w := range windows {
			a, b := m.Logits(m.Forward([][]int32{w})), base.Logits(base.Forward([][]int32{w}))
			for p := range len(w) - 1 {
				x, _, d, err := eval.Diverge(a.Row(p), b.Row(p), w[p+1])
				if err != nil {
					t.Fatal(err)
				}
				kl, nll, n = kl+d, nll+x, n+1
			}
		}
		if s := r.Layers[l]; math.Abs(s.KL-kl/n) > 1e-12*(1+kl/n) || math.Abs(s.Perplexity-math.Exp(nll/n)) > 1e-9*s.Perplexity {
			t.Errorf("layer %d: KL %v, perplexity %v; the view has %v, %v", l, s.KL, s.Perplexity, kl/n, math.Exp(nll/n))
		}
	}
}

func TestInfluenceIsOneMinusTheMeanCosineOfWhatALayerReadsAndGives(t *testing.T) {
	c := tiny(t, 3)
	r := measure(t, c, 1, Options{Workers: 2})
	windows, _, err := observe.Windows(c, words(900), 32, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := load(t, c).Parts()
	sum := make([]float64, 3)
	var n float64
	for _, w := range windows {
		x := tensor.NewMat(len(w), 48)
		p.Embedding().Forward(x, w)
		for l := range 3 {
			before := append([]float32(nil), x.Data...)
			p.Layer(l).Forward(x, []int{len(w)}, nil)
			for t := range len(w) {
				a, b := before[t*48:][:48], x.Row(t)
				sum[l] += dot(a, b) / math.Sqrt(dot(a, a)*dot(b, b))
			}
		}
		n += float64(len(w))
	}
	for l, s := range r.Layers {
		if want := 1 - sum[l]/n; math.Abs(s.Influence-want) > 1e-9 || math.Abs(1-r.Similarity[l][0]-want) > 1e-9 {
			t.Errorf("layer %d: influence %v, want %v", l, s.Influence, want)
		}
		if len(r.Similarity[l]) != 3-l {
			t.Errorf("layer %d: %d similarities", l, len(r.Similarity[l]))
		}
	}
}

func TestScoresDoNotDependOnWorkersOrBatches(t *testing.T) {
	c := tiny(t, 3)
	a, err := json.Marshal(measure(t, c, 2, Options{Workers: 1}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(measure(t, c, 2, Options{Workers: 3}))
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("one worker: %s\nthree: %s", a, b)
	}
}

func TestRankersChooseWhatTheyScored(t *testing.T) {
	c := tiny(t, 5)
	o := Options{Workers: 2, Context: 32}
	p := Protection{First: 1, Last: 1}
	r, err := Measure(context.Background(), c, words(900), 2, p, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range Rankers() {
		got, err := Choose(context.Background(), c, words(900), 2, by, p, o)
		if err != nil {
			t.Fatal(err)
		}
		want, ok := r.Choice(by, 2)
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%s chooses %v, its scores say %v", by, got, want)
		}
		if got[0] < 1 || got[1] > 3 {
			t.Errorf("%s chooses %v, some of which are protected", by, got)
		}
	}
	// Greedy's first step is the droppable layer of least KL, and its second what leaving out one more of the rest costs least.
	if first := r.order(LeaveOneOut)[0]; r.Removals[0].Layer != first || r.Removals[0].KL != r.Layers[first].KL {
		t.Errorf("greedy begins with %+v, loo with layer %d", r.Removals[0], first)
	}
	if w, _ := r.Choice(Window, 2); w[1] != w[0]+1 {
		t.Errorf("window %v is not one", w)
	}
	if _, err := Choose(context.Background(), c, words(900), 4, LeaveOneOut, p, o); err == nil || !strings.Contains(err.Error(), "protected") {
		t.Errorf("four of three layers: %v", err)
	}
}

func TestStatesOfZerosCountAsHalfSimilar(t *testing.T) {
	zero, one := tensor.NewMat(1, 4), tensor.Of(1, 4, []float32{1, 0, 0, 0})
	got := rowCosines([]tensor.Mat{one, zero, one}, 0)
	if !slices.Equal(got, []float64{0.5, 1, 0.5}) {
		t.Errorf("cosines %v", got)
	}
}

func TestSpearman(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{10, 20, 30, 100}, 1},
		{[]float64{1, 2, 3, 4}, []float64{4, 3, 2, 1}, -1},
		{[]float64{106, 100, 86, 101, 99, 103, 97, 113, 112, 110}, []float64{7, 27, 2, 50, 28, 29, 20, 12, 6, 17}, -29.0 / 165}, // Wikipedia's example
		{[]float64{1, 1, 2}, []float64{1, 2, 3}, math.Sqrt(3) / 2},
	} {
		if got := spearman(c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("spearman(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
	if got := spearman([]float64{1, 1}, []float64{1, 2}); !math.IsNaN(got) {
		t.Errorf("a single rank: %v", got)
	}
}

func TestRequests(t *testing.T) {
	for s, want := range map[string]Request{
		"0": {}, "2": {Count: 2}, "3,5": {Layers: []int{3, 5}}, "5, 3,3": {Layers: []int{3, 5}}, "8-11": {Layers: []int{8, 9, 10, 11}},
		"3-3": {Layers: []int{3}}, "3,": {Layers: []int{3}}, "1,4-5": {Layers: []int{1, 4, 5}},
	} {
		got, err := ParseRequest(s)
		if err != nil || got.Count != want.Count || !slices.Equal(got.Layers, want.Layers) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "a", "3-", "5-3", "1,,2", "0-999999999", "99999", ","} {
		if got, err := ParseRequest(s); err == nil {
			t.Errorf("%q: %+v", s, got)
		}
	}
}
