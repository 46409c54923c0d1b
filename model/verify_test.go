package model

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// oneByOne returns the logits after each of tokens that s gives when they are fed singly.
func oneByOne(t *testing.T, s *Session, tokens []int32) (rows [][]float32) {
	t.Helper()
	for i := range tokens {
		row, err := s.Feed(tokens[i : i+1])
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, slices.Clone(row))
	}
	return rows
}

// sameBytes reports the first difference of two rows of logits.
func sameBytes(got, want []float32) error {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("logit %d is %g, want %g", i, got[i], want[i])
		}
	}
	return nil
}

// verifiesLikeFeeding feeds a prompt, then verifies the rest in batches with wrong tokens after the right ones, which it takes back.
func verifiesLikeFeeding(t *testing.T, m *Model, tokens []int32, prompt int) {
	t.Helper()
	plain, s := m.NewSession(len(tokens)), m.NewSession(len(tokens))
	for _, session := range []*Session{plain, s} {
		if _, err := session.Feed(tokens[:prompt]); err != nil {
			t.Fatal(err)
		}
	}
	want := oneByOne(t, plain, tokens[prompt:])
	vocab := int32(m.config.Vocab)
	for at, round := prompt, 0; at < len(tokens); round++ {
		right := min(1+round%MaxVerify, len(tokens)-at)
		wrong := min(MaxVerify-right, len(tokens)-at-right, max(0, s.spare()+1-right))
		batch := slices.Clone(tokens[at : at+right])
		for i := range wrong {
			batch = append(batch, (tokens[at+right]+1+int32(i))%vocab)
		}
		logits, err := s.Verify(batch)
		if err != nil {
			t.Fatal(err)
		}
		if logits.Rows != len(batch) || s.Len() != at+len(batch) {
			t.Fatalf("%d rows and %d tokens after %d", logits.Rows, s.Len(), len(batch))
		}
		for i := range right {
			if err := sameBytes(logits.Row(i), want[at-prompt+i]); err != nil {
				t.Fatalf("position %d, row %d of %d (%d wrong): %v", at+i, i, len(batch), wrong, err)
			}
		}
		at += right
		s.Truncate(at)
	}
}

func TestVerifiedLogitsAreThoseOfSingleTokensInEveryArchitecture(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(filepath.Base(g.dir), func(t *testing.T) {
			for _, prompt := range []int{1, 10} {
				verifiesLikeFeeding(t, openModel(t, g.dir, 2), g.Input, prompt)
			}
		})
	}
}

func TestVerifiedLogitsAreThoseOfSingleTokensForManyCodecs(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 1,
		"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 64}`))
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]int32, 50)
	for i := range tokens {
		tokens[i] = int32(i * 37 % 300)
	}
	for _, name := range []string{"f32", "bf16", "f16", "q8_0", "q5_1", "q4_0", "int8-g64", "int4-g128", "int4-g32-asym", "int3-g64", "int4-g128-mid", "tcq-lut8-2",
		"tcq-hash16-2.5", "int4-g64-had", "lr0.5-int8-g64", "int3-g32+lr4-f16", "2*sign-k3", "f16-s50", "f16-csr95", "int4-g64-2:4"} { // all codecs: codectest
		if _, err := codec.Parse(name); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Run(name, func(t *testing.T) {
			m, err := New(c, quantized{synthetic{c, tensor.F32}, name}, 2)
			if err != nil {
				t.Fatal(err)
			}
			verifiesLikeFeeding(t, m, tokens, 9)
		})
	}
}

func TestVerifiedLogitsAreThoseOfSingleTokensInLongWindows(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type": "mistral", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "sliding_window": 400,
		"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 1000}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(c, quantized{synthetic{c, tensor.F32}, "f32"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]int32, 900)
	for i := range tokens {
		tokens[i] = int32(i * i % 47)
	}
	verifiesLikeFeeding(t, m, tokens, 600)
}

func TestVerifyRefusesWhatDoesNotFitAndStaysAsItWas(t *testing.T) {
	g, _, _ := openGolden(t, "llama")
	m := openModel(t, g.dir, 1)
	s := m.NewSession(10)
	if _, err := s.Feed(g.Input[:5]); err != nil {
		t.Fatal(err)
	}
	for want, tokens := range map[string][]int32{
		"no tokens": {}, "9 tokens to verify at once; 8 are possible": g.Input[:9], "5 tokens seen and 6 more exceed": g.Input[:6], "token 96 at position 6": {1, 96},
	} {
		if _, err := s.Verify(tokens); err == nil || !strings.Contains(err.Error(), want) || s.Len() != 5 {
			t.Errorf("%v: %v, and %d tokens; want %q", tokens, err, s.Len(), want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Truncate made tokens")
		}
	}()
	s.Truncate(6)
}
