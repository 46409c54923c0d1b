package model

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/internal/sharedtest"
	"pith/tensor"
)

func toFloat64(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestSessionLogitsEqualForwardHoweverTokensAreFed(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(filepath.Base(g.dir), func(t *testing.T) {
			m := openModel(t, g.dir, 2)
			dynamic := m.config.Rope.Type == "dynamic"
			for _, first := range []int{1, 2, 9, 17, len(g.Input) - 1, len(g.Input)} {
				if first > len(g.Input) || dynamic && first < len(g.Input) {
					continue
				}
				s := m.NewSession(len(g.Input))
				for n := first; ; n++ {
					fed := g.Input[n-1 : n]
					if n == first {
						fed = g.Input[:n]
					}
					logits, err := s.Feed(fed)
					if err != nil {
						t.Fatal(err)
					}
					hidden := m.Forward([][]int32{g.Input[:n]})
					want := m.Logits(hidden.Slice(n-1, n)).Row(0)
					if d := difference(logits, toFloat64(want)); !(d < goldenTolerance) {
						t.Fatalf("first %d, then token by token: after %d tokens logits differ by %.3g", first, n, d)
					}
					if n == len(g.Input) {
						break
					}
				}
			}
		})
	}
}

func TestASequencesLogitsDoNotDependOnItsBatchOrOnWorkers(t *testing.T) {
	for _, g := range goldens(t) {
		one := openModel(t, g.dir, 1)
		want := one.Forward([][]int32{g.Input})
		for _, workers := range []int{2, 5} {
			m := openModel(t, g.dir, workers)
			n := len(g.Input)
			rope := m.config.Rope.Type
			if rope == "dynamic" || rope == "longrope" { // Forward scales each sequence by its own length
				n = 0
			}
			batch := [][]int32{g.Input[:n/2], {}, g.Input, g.Input[:1]}
			got := m.Forward(batch)
			for r := range want.Rows {
				if !slices.Equal(want.Row(r), got.Row(n/2+r)) {
					t.Fatalf("%s: %d workers: hidden state of position %d differs", g.dir, workers, r)
				}
			}
		}
	}
}

func TestSessionRefusesWhatDoesNotFitAndStaysAsItWas(t *testing.T) {
	g, config, file := openGolden(t, "gpt2")
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(c, file, 1)
	if err != nil {
		t.Fatal(err)
	}
	if s := m.NewSession(1000); s.Max() != c.MaxPositions {
		t.Errorf("a session of a model with %d learned positions holds %d", c.MaxPositions, s.Max())
	}
	s := m.NewSession(4)
	if _, err := s.Feed(g.Input[:3]); err != nil {
		t.Fatal(err)
	}
	for want, tokens := range map[string][]int32{
		"3 tokens seen and 2 more exceed this session's 4": {1, 2}, "no tokens": {}, "token 96 at position 3": {96}, "token -1 at position 3": {-1},
	} {
		if _, err := s.Feed(tokens); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("feeding %v: %v; want %q", tokens, err, want)
		}
	}
	logits, err := s.Feed(g.Input[3:4])
	if err != nil {
		t.Fatal(err)
	}
	want := m.Logits(m.Forward([][]int32{g.Input[:4]})).Row(3)
	if d := difference(logits, toFloat64(want)); !(d < goldenTolerance) {
		t.Errorf("after refused tokens logits differ by %g", d)
	}
	if _, err := s.Feed(g.Input[:1]); err == nil {
		t.Error("a full session took a token")
	}
	s.Reset()
	if _, err := s.Feed(g.Input[:4]); err != nil || s.Len() != 4 {
		t.Errorf("after Reset: %d tokens, %v", s.Len(), err)
	}
}

func TestGreedyGenerationContinuesAStory(t *testing.T) {
	m := openModel(t, sharedtest.Path(t, "models", "stories260K"), 2)
	s := m.NewSession(64)
	var got []int32
	n, err := Generate(context.Background(), s, []int32{1}, GenerateOptions{MaxTokens: 20}, func(tok int32) bool {
		got = append(got, tok)
		return true
	})
	if err != nil || n != 20 || len(got) != 20 {
		t.Fatalf("%d tokens %v, %v", n, got, err)
	}
	// Each token is the most likely one after those before it.
	sequence := append([]int32{1}, got...)
	logits := m.Logits(m.Forward([][]int32{sequence[:20]}))
	for i := range 20 {
		if best := argmax(logits.Row(i)); best != sequence[i+1] {
			t.Errorf("token %d is %d, not %d", i, sequence[i+1], best)
		}
	}
}

func TestGenerationStopsAtStopTokensFullSessionsCallersAndContexts(t *testing.T) {
	g, _, _ := openGolden(t, "llama")
	m := openModel(t, g.dir, 1)
	all := func(int32) bool { return true }
	run := func(ctx context.Context, max int, o GenerateOptions, each func(int32) bool) (int, error) {
		return Generate(ctx, m.NewSession(max), g.Input[:4], o, each)
	}
	n, err := run(context.Background(), 10, GenerateOptions{Stop: []int32{}}, all)
	if n != 7 || err != nil { // the last one is chosen but not fed
		t.Errorf("full session: %d, %v", n, err)
	}
	var first int32
	n, err = run(context.Background(), 10, GenerateOptions{}, func(tok int32) bool { first = tok; return false })
	if n != 1 || err != nil {
		t.Errorf("caller's stop: %d, %v", n, err)
	}
	if n, err = run(context.Background(), 10, GenerateOptions{Stop: []int32{first}}, all); n != 0 || err != nil {
		t.Errorf("stop token: %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if n, err = run(ctx, 10, GenerateOptions{Stop: []int32{}}, func(int32) bool { cancel(); return true }); n != 1 || err != context.Canceled {
		t.Errorf("context: %d, %v", n, err)
	}
	if _, err = run(context.Background(), 10, GenerateOptions{Sample: Sampling{Temperature: -1}}, all); err == nil {
		t.Error("a negative temperature was taken")
	}
}

func TestFiltersKeepTheTokensTheyShould(t *testing.T) {
	// probabilities 1/2, 1/4, 1/8, 1/16, 1/16 of tokens 3, 0, 4, 1, 2
	logits := make([]float32, 5)
	for id, p := range map[int]float64{3: 0.5, 0: 0.25, 4: 0.125, 1: 0.0625, 2: 0.0625} {
		logits[id] = float32(math.Log(p))
	}
	for _, c := range []struct {
		o    Sampling
		want []int32
	}{
		{Sampling{Temperature: 1}, []int32{0, 1, 2, 3, 4}},
		{Sampling{Temperature: 1, TopK: 2}, []int32{0, 3}},
		{Sampling{Temperature: 1, TopK: 1}, []int32{3}},
		{Sampling{Temperature: 1, TopP: 0.7}, []int32{0, 3}},
		{Sampling{Temperature: 1, TopP: 0.8}, []int32{0, 3, 4}},
		{Sampling{Temperature: 1, TopP: 1e-9}, []int32{3}},
		{Sampling{Temperature: 1, MinP: 0.3}, []int32{0, 3}},
		{Sampling{Temperature: 2, MinP: 0.3}, []int32{0, 1, 2, 3, 4}},
		{Sampling{Temperature: 1, TopK: 4, TopP: 0.9, MinP: 0.2}, []int32{0, 3, 4}},
		{Sampling{}, []int32{3}},
	} {
		s := NewSampler(c.o)
		count := map[int32]int{}
		for range 2000 {
			count[s.Next(logits)]++
		}
		var got []int32
		for id := range count {
			got = append(got, id)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: tokens %v, want %v", c.o, got, c.want)
		}
		if c.o == (Sampling{Temperature: 1}) && (count[3] < 900 || count[3] > 1100 || count[1] < 80 || count[1] > 180) {
			t.Errorf("counts %v of 2000 for probabilities 1/4 1/16 1/16 1/2 1/8", count)
		}
	}
}

func TestSamplingWithoutFiltersDependsOnTheSeedOnly(t *testing.T) {
	logits := make([]float32, 50)
	draw := func(seed uint64) string {
		s := NewSampler(Sampling{Temperature: 1, Seed: seed})
		var ids []int32
		for range 20 {
			ids = append(ids, s.Next(logits))
		}
		return fmt.Sprint(ids)
	}
	if again := draw(1); again != draw(1) || again == draw(2) {
		t.Error("seeds do not decide")
	}
}

func TestSamplersSurviveHostileLogits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, logits := range [][]float32{{nan, nan}, {nan, 1}, {inf, inf}, {-inf, -inf}, {-inf, 0}, {inf, nan, 1}, {1}} {
		for _, o := range []Sampling{{}, {Temperature: 1}, {Temperature: 1e-300, TopP: 0.5, MinP: 0.5, TopK: 1}, {Temperature: 1e-300, TopP: 0.5}} {
			id := NewSampler(o).Next(logits)
			if id < 0 || int(id) >= len(logits) {
				t.Errorf("%v with %+v: token %d", logits, o, id)
			}
			if (o.Temperature == 1 || o == (Sampling{})) && len(logits) == 2 && logits[1] == logits[1] && logits[0] != logits[0] && id != 1 {
				t.Errorf("%v: a NaN was chosen", logits)
			}
		}
	}
}

func TestPackedWeightsDecodeNearlyAsForwardDoes(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
		"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 64}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"q8_0", "q4_0", "q4_k", "q6_k", "int4-g128", "int8-g32-asym"} {
		m, err := New(c, quantized{synthetic{c, tensor.F32}, name}, 2)
		if err != nil {
			t.Fatal(err)
		}
		tokens := []int32{7, 250, 31, 4, 99, 180, 2, 63, 12, 11}
		hidden := m.Forward([][]int32{tokens})
		want := m.Logits(hidden)
		s := m.NewSession(len(tokens))
		for i, token := range tokens {
			logits, err := s.Feed([]int32{token})
			if err != nil {
				t.Fatal(err)
			}
			// Single tokens multiply by int8 activations, batches by float32: the rounding of activations is all there is between them.
			if d := difference(logits, toFloat64(want.Row(i))); !(d < 0.05) {
				t.Errorf("%s: after %d tokens logits differ by %.3g", name, i+1, d)
			}
		}
	}
}

// quantized is a synthetic checkpoint of normal values rounded to a codec; vectors are ones.
type quantized struct {
	synthetic
	codec string
}

func (q quantized) Load(name string) (*codec.Weight, error) {
	shape, err := q.Shape(name)
	if err != nil || len(shape) == 1 {
		return &codec.Weight{Name: name, Rows: 1, Cols: shape[0], Terms: []codec.Term{ones(shape[0])}}, err
	}
	c, err := codec.Parse(q.codec)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(uint64(len(name)), uint64(shape[0])))
	w := tensor.NewMat(shape[0], shape[1])
	for i := range w.Data {
		w.Data[i] = float32(r.NormFloat64() / math.Sqrt(float64(w.Cols)))
	}
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		return nil, err
	}
	for at := 0; at < w.Cols; at += grid.Step() {
		grid.Round(w, at)
	}
	return &codec.Weight{Name: name, Rows: w.Rows, Cols: w.Cols, Shape: shape, Terms: []codec.Term{grid.Pack()}}, nil
}

func ones(n int) codec.Term {
	data := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(1))
	}
	t, err := codec.Dense("ones", tensor.F32, 1, n, data)
	if err != nil {
		panic(err)
	}
	return t
}

func TestATokenTakesFewAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("counts differ under the race detector")
	}
	m := openModel(t, sharedtest.Path(t, "models", "pith-ref"), 2)
	s := m.NewSession(256)
	token := []int32{1}
	n := testing.AllocsPerRun(100, func() {
		if _, err := s.Feed(token); err != nil {
			t.Fatal(err)
		}
	})
	if limit := float64(15 * m.config.Layers); n > limit {
		t.Errorf("%g allocations a token, limit %g", n, limit)
	}
}
