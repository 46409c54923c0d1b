package model

import (
	"slices"
	"testing"
)

func TestTheFirstRowsOfAHeadGiveItsFirstLogits(t *testing.T) {
	for _, dir := range []string{"llama", "llama_bias_tied", "phi3", "gpt2"} {
		g, _, _ := openGolden(t, dir)
		m := openModel(t, g.dir, 2)
		hidden := m.Forward([][]int32{g.Input})
		want := m.Logits(hidden)
		for _, n := range []int{1, 5, 33, 70, m.config.Vocab} {
			short := m.FirstRows(n)
			got := short.Logits(hidden)
			for r := range got.Rows {
				if !slices.Equal(got.Row(r), want.Row(r)[:n]) {
					t.Fatalf("%s: %d rows, position %d: other logits", dir, n, r)
				}
			}
			s := short.NewSession(4)
			if logits, err := s.Feed(g.Input[:3]); err != nil || len(logits) != n || len(short.DraftIDs()) != n {
				t.Fatalf("%d logits, %v", len(logits), err)
			}
		}
	}
}

func TestAStepReadsAllOfAModelButItsEmbedding(t *testing.T) {
	target, _ := pair(t, 96, "f32")
	body, head := target.StepBytes()
	// int8-g32: a byte and 1/32 of two a weight. Layers: q, o (32, 32), k, v (16, 32), gate, up (48, 32), down (32, 48: groups of 32 and 16);
	// norms are float32.
	weights := int64(2*32*32+2*16*32+3*48*32)*34/32 + 32*(2*2-48*2/32)
	if want := weights + 3*32*4 + 34; body != want || head != 96*34 {
		t.Errorf("%d and %d bytes, want %d and %d", body, head, want, 96*34)
	}
}
