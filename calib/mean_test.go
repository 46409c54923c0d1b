package calib

import (
	"math"
	"strings"
	"testing"

	"pith/tensor"
)

func TestMeanGramIsTheMeanOverTokens(t *testing.T) {
	s := NewGram(2)
	s.Observe(tensor.Of(2, 2, []float32{1, 2, 3, -1}))
	h, why := s.MeanGram(2)
	if why != "" || h.Row(0)[0] != 5 || h.Row(1)[0] != -0.5 || h.Row(1)[1] != 2.5 {
		t.Errorf("%v, %q", h, why)
	}
}

func TestMeanGramSaysWhyThereIsNone(t *testing.T) {
	few, infinite, negative := NewGram(2), NewGram(2), NewGram(2)
	few.Tokens, infinite.Tokens, negative.Tokens = 1, 5, 5
	infinite.GramRow(1)[0] = math.Inf(1)
	negative.GramRow(1)[1] = -1
	for want, s := range map[string]*Stats{"no Gram matrix": nil, "1 tokens": few, "element (1, 0)": infinite, "element 1 is negative": negative} {
		if _, why := s.MeanGram(2); !strings.Contains(why, want) {
			t.Errorf("%q, want %q", why, want)
		}
	}
	if _, why := NewStats(2).MeanGram(2); why != "no Gram matrix" {
		t.Errorf("moments alone: %q", why)
	}
}
