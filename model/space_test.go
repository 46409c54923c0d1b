package model

import (
	"fmt"
	"slices"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// smallConfigs are of one family each of what layers can be made of: gates apart and in one matrix, with biases, none; windows, norms after,
// attention and MLP side by side. MLPs have half as many features again as hidden states, rounded up to a multiple of 256 where these are.
func smallConfigs(t *testing.T, hidden int) map[string]Config {
	t.Helper()
	common := fmt.Sprintf(`"hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 96,
		"max_position_embeddings": 2048`, hidden, hidden*3/2+hidden/256*128)
	configs := map[string]Config{}
	for name, text := range map[string]string{
		"llama": `{"model_type": "llama", ` + common + `, "num_key_value_heads": 2, "mlp_bias": true, "attention_bias": true}`,
		"phi3":  `{"model_type": "phi3", ` + common + `, "num_key_value_heads": 2, "sliding_window": 100}`,
		"gemma2": `{"model_type": "gemma2", ` + common + `, "num_key_value_heads": 2, "head_dim": ` + fmt.Sprint(hidden/2) + `, "sliding_window": 45,
			"query_pre_attn_scalar": 64, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "hidden_activation": "gelu_pytorch_tanh"}`,
		"gpt_neox": `{"model_type": "gpt_neox", ` + common + `, "use_parallel_residual": true, "hidden_act": "gelu"}`,
		"gpt2":     fmt.Sprintf(`{"model_type": "gpt2", "n_embd": %d, "n_layer": 1, "n_head": 4, "vocab_size": 96, "n_positions": 512}`, hidden),
	} {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		configs[name] = c
	}
	return configs
}

// remembered loads each weight once.
type remembered struct {
	Weights
	loaded map[string]*codec.Weight
}

func (r remembered) Load(name string) (*codec.Weight, error) {
	if r.loaded[name] == nil {
		w, err := r.Weights.Load(name)
		if err != nil {
			return nil, err
		}
		r.loaded[name] = w
	}
	return r.loaded[name], nil
}

func synthesizer(c Config, name string) Weights {
	return remembered{quantized{synthetic{c, tensor.F32}, name}, map[string]*codec.Weight{}}
}

func synthesize(t testing.TB, c Config, w Weights, workers int) *Model {
	t.Helper()
	m, err := New(c, w, workers)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func someTokens(n, vocab int) []int32 {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32((i*i*7 + i*31) % vocab)
	}
	return tokens
}

func TestTilesCoverAllRowsInNearlyEqualShares(t *testing.T) {
	for _, limit := range []int{1, 7, 512} {
		for n := range 1100 {
			at, least, most := 0, n, 0
			for r := range tilesOf(n, limit) {
				if r.r0 != at {
					t.Fatalf("%d rows by %d: a tile begins at %d, not %d", n, limit, r.r0, at)
				}
				at, least, most = r.r1, min(least, r.r1-r.r0), max(most, r.r1-r.r0)
			}
			if at != n || most > limit || n > 0 && most-least > 1 {
				t.Fatalf("%d rows by %d: tiles of %d…%d that end at %d", n, limit, least, most, at)
			}
		}
	}
}

// A prompt that goes through the network in tiles, over keys and values of earlier tiles, gives the bytes of one that goes through whole.
func TestPromptsGiveTheSameBytesInTilesOfAnySize(t *testing.T) {
	for name, c := range smallConfigs(t, 64) {
		tokens := someTokens(300, c.Vocab)
		m := synthesize(t, c, synthesizer(c, "f32"), 2)
		feed := func(tile int) *Session {
			s := m.NewSession(len(tokens))
			s.tile = tile
			if _, err := s.Feed(tokens); err != nil {
				t.Fatal(err)
			}
			return s
		}
		want := feed(len(tokens))
		hidden := m.Forward([][]int32{tokens})
		if !slices.Equal(want.hidden.Row(0), hidden.Row(len(tokens)-1)) {
			t.Errorf("%s: a session's hidden state is not Forward's", name)
		}
		for _, tile := range []int{150, 128, 61, 19} {
			got := feed(tile)
			if !slices.Equal(got.logits.Data, want.logits.Data) {
				t.Errorf("%s: tiles of %d give other logits", name, tile)
			}
			for l := range m.layers {
				if !slices.Equal(got.cache.k[l].Data, want.cache.k[l].Data) || !slices.Equal(got.cache.v[l].Data, want.cache.v[l].Data) {
					t.Errorf("%s: tiles of %d give other keys or values in layer %d", name, tile, l)
				}
			}
		}
	}
}

// plainMLP is the definition of mlpBlock: gate and up computed as one matrix.
func (p pass) plainMLP(x tensor.Mat, index int) {
	l, c := &p.Model.layers[index], &p.config
	h, up := tensor.NewMat(x.Rows, c.Hidden), tensor.NewMat(x.Rows, l.up.rows)
	for r := range x.Rows {
		if c.ParallelResidual {
			copy(h.Row(r), p.h[r*c.Hidden:])
		} else {
			l.mlpNorm.apply(h.Row(r), x.Row(r))
		}
	}
	p.project(up, h, &l.up, &p.kept[2], false)
	act := up
	act.Cols = c.Intermediate
	for r := range up.Rows {
		if row := up.Row(r); c.Gated {
			c.Activation.gate(row[:c.Intermediate], row[c.Intermediate:])
		} else {
			c.Activation.apply(row)
		}
	}
	p.addTo(x, act, &l.down, &p.kept[3], &l.postMLP, new([]float32))
}

func TestAnMLPByColumnsGivesTheBytesOfTheWholeOne(t *testing.T) {
	codecs := []string{"f32", "int4-g64", "int3-g128-asym", "q4_k", "int8-g128-had", "tcq-lut8-2", "f16-s50", "qoq4-g128", "int4-g128-mid", "sign-k1", "sign-k2", "lr24-f32", "lr24-int8-g64", "int3-g64+lr8-f16"}
	for family, c := range smallConfigs(t, 256) {
		for i, name := range codecs {
			if i > 0 && family != "llama" && (family != "phi3" || i > 3) {
				continue // of other families it is enough that the loops are right
			}
			m := synthesize(t, c, synthesizer(c, name), 3)
			for _, rows := range []int{1, 5, 20} {
				run := func(block func(p pass, x tensor.Mat)) []float32 {
					p := m.begin(&workspace{}, nil)
					defer p.end()
					x := tensor.NewMat(rows, c.Hidden)
					m.embedTokens(x, someTokens(rows, c.Vocab), 0)
					copy(mat(&p.h, rows, c.Hidden).Data, x.Data) // what parallel residuals read
					block(p, x)
					return x.Data
				}
				want := run(func(p pass, x tensor.Mat) { p.plainMLP(x, 0) })
				if got := run(func(p pass, x tensor.Mat) { p.mlpBlock(x, 0) }); !slices.Equal(got, want) {
					t.Errorf("%s, %s: %d rows: other bytes", family, name, rows)
				}
			}
		}
	}
}

// What a prompt takes is what its results take that live at once, for a tile of tokens: far below half of what all of its intermediate results take.
func TestActivationsOfAPromptTakeAFractionOfItsIntermediateResults(t *testing.T) {
	const length = 2048
	for name, c := range smallConfigs(t, 64) {
		if name != "llama" && name != "gpt_neox" { // whose attention and MLP lie side by side
			continue
		}
		m := synthesize(t, c, synthesizer(c, "f32"), 2)
		s := m.NewSession(length)
		if s.ActivationBytes() > 8*int64(c.Vocab+c.Hidden) {
			t.Errorf("%s: %d bytes before the first token", name, s.ActivationBytes())
		}
		if _, err := s.Feed(someTokens(length, c.Vocab)); err != nil {
			t.Fatal(err)
		}
		attended := c.Heads * c.HeadDim
		floats := promptRows * (c.Hidden + max(c.Hidden, attended) + max(m.layers[0].qkv.rows, c.Intermediate))
		if c.ParallelResidual {
			floats += promptRows * attended
		}
		floats += 2 * max(queryBlock*length, m.layers[0].up.rows+promptRows*64) // of two workers
		if got, limit := s.ActivationBytes(), 4*int64(floats+c.Vocab+c.Hidden)+1<<18; got > limit {
			t.Errorf("%s: %d bytes, limit %d", name, got, limit)
		}
		if got, whole := s.ActivationBytes(), m.UnfusedBytes(length); 2*got > whole {
			t.Errorf("%s: %d bytes, the whole prompt's intermediate results take %d", name, got, whole)
		}
	}
}

func BenchmarkPromptTile(b *testing.B) {
	c, err := ParseConfig([]byte(tinyLlama))
	if err != nil {
		b.Fatal(err)
	}
	c.Layers = 2
	m, err := New(c, synthetic{c, tensor.Q8_0}, 1)
	if err != nil {
		b.Fatal(err)
	}
	tokens := someTokens(1024, c.Vocab)
	for _, tile := range []int{128, 192, 256, 384, 512, 1024} {
		b.Run(fmt.Sprint(tile), func(b *testing.B) {
			s := m.NewSession(len(tokens))
			s.tile = tile
			for b.Loop() {
				s.Reset()
				if _, err := s.Feed(tokens); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(tokens))/b.Elapsed().Seconds(), "tok/s")
			b.ReportMetric(float64(s.ActivationBytes()), "bytes")
		})
	}
}

func TestLowRankModelsGiveTheSameBytesForAnyWorkersAndHoweverManySequences(t *testing.T) {
	c := smallConfigs(t, 64)["llama"]
	for _, name := range []string{"lr8-f32", "lr8-int8-g64", "int3-g64+lr8-f16"} {
		prompt := someTokens(60, c.Vocab)
		weights := synthesizer(c, name)
		decoded := func(workers int) (logits [][]float32) {
			m := synthesize(t, c, weights, workers)
			if !m.layers[0].qkv.staged() || !m.head.staged() {
				t.Fatalf("%s: no stages", name)
			}
			s := m.NewSession(70)
			for i := range 5 {
				fed := prompt
				if i > 0 {
					fed = prompt[i : i+1]
				}
				out, err := s.Feed(fed)
				if err != nil {
					t.Fatal(err)
				}
				logits = append(logits, slices.Clone(out))
			}
			return logits
		}
		want := decoded(1)
		for _, workers := range []int{2, 5} {
			for i, got := range decoded(workers) {
				if !slices.Equal(got, want[i]) {
					t.Errorf("%s: %d workers: other logits after %d tokens", name, workers, len(prompt)+i)
				}
			}
		}
		// More rows than products of stages take at once.
		m := synthesize(t, c, weights, 2)
		batch := make([][]int32, 20)
		for i := range batch {
			batch[i] = prompt
		}
		one, many := m.Forward(batch[:1]), m.Forward(batch)
		for i := range batch {
			if !slices.Equal(many.Slice(i*60, i*60+60).Data, one.Data) {
				t.Fatalf("%s: sequence %d of a batch differs", name, i)
			}
		}
	}
}
