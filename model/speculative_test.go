package model

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pith/tensor"
)

// pair returns a target and a draft: the same random weights, the draft's stored by another codec.
func pair(t *testing.T, vocab int, codecName string) (target, draft *Model) {
	t.Helper()
	c, err := ParseConfig(fmt.Appendf(nil, `{"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
		"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": %d, "max_position_embeddings": 128, "eos_token_id": []}`, vocab))
	if err != nil {
		t.Fatal(err)
	}
	if target, err = New(c, quantized{synthetic{c, tensor.F32}, "int8-g32"}, 1); err != nil {
		t.Fatal(err)
	}
	if draft, err = New(c, quantized{synthetic{c, tensor.F32}, codecName}, 1); err != nil {
		t.Fatal(err)
	}
	return target, draft
}

func generated(t *testing.T, m *Model, max int, prompt []int32, o GenerateOptions) (tokens []int32, left int) {
	t.Helper()
	s := m.NewSession(max)
	_, err := Generate(context.Background(), s, prompt, o, func(id int32) bool {
		tokens = append(tokens, id)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens, s.Len()
}

func speculated(t *testing.T, m *Model, max int, d Draft, prompt []int32, o SpeculateOptions) (tokens []int32, left int, r Speculation) {
	t.Helper()
	s := m.NewSession(max)
	r, err := Speculate(context.Background(), s, d, prompt, o, func(id int32) bool {
		tokens = append(tokens, id)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tokens != len(tokens) || r.Accepted > r.Drafted || r.Passes > len(tokens) {
		t.Errorf("%d tokens: %+v", len(tokens), r)
	}
	return tokens, s.Len(), r
}

// everyRow returns every step-th row of a head.
func everyRow(vocab, step int) (rows []int32) {
	for i := 0; i < vocab; i += step {
		rows = append(rows, int32(i))
	}
	return rows
}

func TestGreedySpeculationGivesTheTokensOfGreedyDecodingForEverySizeOfTheHead(t *testing.T) {
	const vocab = 96
	for _, codecName := range []string{"int8-g32", "int4-g32", "int2-g32", "2*sign-k2"} {
		target, draft := pair(t, vocab, codecName)
		for _, prompt := range [][]int32{{1}, {5, 9, 2, 77, 30, 4, 4, 8, 61, 12}} {
			want, left := generated(t, target, 40, prompt, GenerateOptions{})
			accepted := 0
			for _, step := range []int{0, 2, 3, 5, 8, 13, 40, 95} {
				for _, length := range []int{1, 2, 4, MaxDraft} {
					d := Draft{Session: draft.NewSession(40)}
					if step > 0 {
						d.Rows = everyRow(vocab, step)
					}
					got, gotLeft, r := speculated(t, target, 40, d, prompt, SpeculateOptions{Length: length, Adaptive: step%2 > 0})
					if !slices.Equal(got, want) || gotLeft != left {
						t.Fatalf("%s, every %d rows, draft length %d: %v (%d left), want %v (%d)", codecName, step, length, got, gotLeft, want, left)
					}
					accepted += r.Accepted
				}
			}
			if accepted == 0 {
				t.Errorf("%s: no proposal was ever accepted", codecName)
			}
		}
	}
}

func TestGreedySpeculationIsGreedyDecodingInEveryArchitecture(t *testing.T) {
	for _, g := range goldens(t) {
		m := openModel(t, g.dir, 2)
		max := len(g.Input) + 8
		want, left := generated(t, m, max, g.Input[:7], GenerateOptions{Stop: []int32{}})
		for length := 1; length <= MaxDraft; length++ {
			got, gotLeft, r := speculated(t, m, max, Draft{Session: m.NewSession(max)}, g.Input[:7], SpeculateOptions{Length: length, GenerateOptions: GenerateOptions{Stop: []int32{}}})
			if !slices.Equal(got, want) || left != gotLeft {
				t.Fatalf("%s: draft length %d: %v, want %v", g.dir, length, got, want)
			}
			if rope := m.config.Rope.Type; r.Accepted < r.Drafted && rope != "longrope" && rope != "dynamic" { // whose drafts go through other lengths
				t.Errorf("%s: a model refused %d of %d of its own proposals", g.dir, r.Drafted-r.Accepted, r.Drafted)
			}
		}
	}
}

func TestSpeculationStopsWhereGenerationDoes(t *testing.T) {
	target, draft := pair(t, 96, "int4-g32")
	prompt := []int32{7, 11}
	all, _ := generated(t, target, 64, prompt, GenerateOptions{MaxTokens: 30})
	for n := 1; n < 30; n++ {
		for _, o := range []GenerateOptions{{MaxTokens: n}, {Stop: all[n : n+1]}} {
			want, left := generated(t, target, 40, prompt, o)
			got, gotLeft, _ := speculated(t, target, 40, Draft{Session: draft.NewSession(40)}, prompt, SpeculateOptions{GenerateOptions: o})
			if !slices.Equal(got, want) || gotLeft != left {
				t.Errorf("%+v: %d tokens and %d left, want %d and %d", o, len(got), gotLeft, len(want), left)
			}
		}
		max := n + len(prompt) - 1
		want, left := generated(t, target, max, prompt, GenerateOptions{})
		got, gotLeft, _ := speculated(t, target, max, Draft{Session: draft.NewSession(20)}, prompt, SpeculateOptions{})
		if !slices.Equal(got, want) || gotLeft != left {
			t.Errorf("a session of %d: %v, want %v", max, got, want)
		}
		count := 0
		_, err := Speculate(context.Background(), target.NewSession(40), Draft{Session: draft.NewSession(40)}, prompt, SpeculateOptions{}, func(int32) bool {
			count++
			return count < n
		})
		if err != nil || count != n {
			t.Errorf("told to stop after %d tokens, it gave %d, %v", n, count, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := Speculate(ctx, target.NewSession(40), Draft{Session: draft.NewSession(40)}, prompt, SpeculateOptions{}, func(int32) bool { cancel(); return true }); err != context.Canceled {
		t.Errorf("after its context ended: %v", err)
	}
}

func TestDraftsMayHaveAVocabularyOfTheirOwn(t *testing.T) {
	const vocab = 96
	target, draft := pair(t, vocab, "int8-g32")
	prompt := []int32{7, 11, 50, 51}
	want, _ := generated(t, target, 64, prompt, GenerateOptions{})
	// The draft's token i is the target's ids[i]; what it lacks it reads as two tokens.
	ids, own := make([]int32, vocab), make([][]int32, vocab)
	for i := range ids {
		ids[i] = int32(i)
	}
	for i := range own {
		own[i] = []int32{int32(i)}
		if i%5 == 0 {
			own[i] = []int32{int32(i/5) + 1, 3}
		}
	}
	for _, d := range []Draft{{IDs: ids}, {IDs: ids, Read: func(id int32) []int32 { return own[id] }}, {Read: func(int32) []int32 { return nil }}} {
		d.Session = draft.NewSession(64)
		if got, _, _ := speculated(t, target, 64, d, prompt, SpeculateOptions{}); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestSpeculationRefusesWhatMakesNoSense(t *testing.T) {
	target, draft := pair(t, 96, "int4-g32")
	small, _ := pair(t, 40, "int4-g32")
	fed := draft.NewSession(9)
	if _, err := fed.Feed([]int32{1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		m    *Model
		d    Draft
		o    SpeculateOptions
	}{
		{"draft length 8", target, Draft{Session: draft.NewSession(9)}, SpeculateOptions{Length: 8}},
		{"temperature", target, Draft{Session: draft.NewSession(9)}, SpeculateOptions{GenerateOptions: GenerateOptions{Sample: Sampling{Temperature: -1}}}},
		{"max tokens -1", target, Draft{Session: draft.NewSession(9)}, SpeculateOptions{GenerateOptions: GenerateOptions{MaxTokens: -1}}},
		{"reset them", target, Draft{Session: fed}, SpeculateOptions{}},
		{"the map of its ids is missing", small, Draft{Session: draft.NewSession(9)}, SpeculateOptions{}},
		{"a map of 3 ids", target, Draft{Session: draft.NewSession(9), IDs: []int32{1, 2, 3}}, SpeculateOptions{}},
		{"row 1 of the head stands for token 5", target, Draft{Session: draft.NewSession(9), IDs: slices.Repeat([]int32{5}, 96)}, SpeculateOptions{}},
		{"row 96 of a head of 96", target, Draft{Session: draft.NewSession(9), Rows: []int32{96}}, SpeculateOptions{}},
		{"no rows", target, Draft{Session: draft.NewSession(9), Rows: []int32{}}, SpeculateOptions{}},
		{"no tokens to feed", target, Draft{Session: draft.NewSession(9)}, SpeculateOptions{}},
	} {
		if _, err := Speculate(context.Background(), c.m.NewSession(9), c.d, nil, c.o, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
}

// sequences returns the probability of every sequence of n tokens after prompt, by their numbers in base vocab.
func sequences(t *testing.T, m *Model, prompt []int32, o Sampling, n, vocab int) []float64 {
	t.Helper()
	p := []float64{1}
	for depth := range n {
		next := make([]float64, len(p)*vocab)
		for i, before := range p {
			if before == 0 {
				continue
			}
			tokens := slices.Clone(prompt)
			for d, rest := depth, i; d > 0; d-- {
				tokens = slices.Insert(tokens, len(prompt), int32(rest%vocab))
				rest /= vocab
			}
			s := m.NewSession(len(tokens))
			logits, err := s.Feed(tokens[:len(prompt)])
			for _, id := range tokens[len(prompt):] {
				if err == nil {
					logits, err = s.Feed([]int32{id})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range NewSampler(o).distribution(nil, logits, nil) {
				next[i*vocab+int(c.id)] = before * c.weight
			}
		}
		p = next
	}
	return p
}

func TestSampledSpeculationHasTheDistributionOfPlainSampling(t *testing.T) {
	const vocab, n, runs = 8, 3, 34_000 // 102,000 tokens each
	target, draft := pair(t, vocab, "int2-g32")
	prompt := []int32{3, 1}
	for _, c := range []struct {
		o    Sampling
		rows []int32
	}{{Sampling{Temperature: 1}, nil}, {Sampling{Temperature: 0.7, TopK: 5, TopP: 0.9}, []int32{0, 2, 3, 5}}} {
		p := sequences(t, target, prompt, c.o, n, vocab)
		counts := make([]int, len(p))
		var total Speculation
		s, d := target.NewSession(16), Draft{Session: draft.NewSession(16), Rows: c.rows}
		for run := range runs {
			c.o.Seed = uint64(run)
			cell := 0
			s.Reset()
			d.Session.Reset()
			r, err := Speculate(context.Background(), s, d, prompt, SpeculateOptions{Length: 2, GenerateOptions: GenerateOptions{MaxTokens: n, Sample: c.o}}, func(id int32) bool {
				cell = cell*vocab + int(id)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			counts[cell]++
			total.Add(r)
		}
		statistic, limit := chiSquare(counts, p, runs)
		if statistic > limit {
			t.Errorf("%+v: chi-square %.1f, limit %.1f", c, statistic, limit)
		}
		if a := total.Acceptance(); a < 0.1 || a > 0.95 || math.IsNaN(a) {
			t.Errorf("acceptance %.2f: the test is of no use", a)
		}
		t.Logf("chi-square %.1f, limit %.1f; acceptance %.2f", statistic, limit, total.Acceptance())
	}
}

func TestSampledSpeculationDependsOnItsSeedOnly(t *testing.T) {
	target, draft := pair(t, 96, "int4-g32")
	seen := map[string]bool{}
	for seed := range 5 {
		o := SpeculateOptions{GenerateOptions: GenerateOptions{Sample: Sampling{Temperature: 0.9, Seed: uint64(seed)}}}
		first, _, _ := speculated(t, target, 50, Draft{Session: draft.NewSession(50)}, []int32{1, 2}, o)
		again, _, _ := speculated(t, target, 50, Draft{Session: draft.NewSession(50)}, []int32{1, 2}, o)
		if !slices.Equal(first, again) {
			t.Errorf("seed %d: %v, then %v", seed, first, again)
		}
		seen[fmt.Sprint(first)] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d texts of 5 seeds", len(seen))
	}
}
