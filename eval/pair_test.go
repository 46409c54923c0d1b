package eval

import (
	"context"
	"strings"
	"testing"

	"pith/internal/sharedtest"
	"pith/model"
)

// TestRealPairsOfEverySize measures a model with a quantized self as its draft. Greedy tokens that differ are an error of Measure.
func TestRealPairsOfEverySize(t *testing.T) {
	target, draft := openShared(t, "stories260K"), compressed(t, "stories260K", "int4-g32")
	p, err := target.WithDraft(draft.Path, 2)
	if err != nil {
		t.Fatal(err)
	}
	o := PairOptions{Text: readShared(t, "tinystories_200k.txt"), Prompts: 3, Tokens: 80, Repeats: 1, Sizes: []int{16, 300, 100, 200, 400, 262}}
	r, err := p.Measure(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.SameTokens || r.AcceptanceRate < 0.5 || r.BlockEfficiency < 2 || r.MBSU < 1 || r.Speedup <= 0 || len(r.Sizes) != len(o.Sizes)+1 {
		t.Errorf("%+v", r)
	}
	// A head of fewer rows lacks more of the target's tokens, and then proposes wrong ones. It may also lack a wrong token that the whole head would
	// have proposed, so block efficiency need not fall at every step; 0.1 is what that may be worth here.
	best := 0
	for i, h := range r.Sizes {
		if i > 0 && (h.Rows <= r.Sizes[i-1].Rows || h.Coverage < r.Sizes[i-1].Coverage || h.BlockEfficiency < r.Sizes[i-1].BlockEfficiency-0.1) {
			t.Errorf("after %+v comes %+v", r.Sizes[i-1], h)
		}
		if h.Best {
			best++
		}
	}
	last := r.Sizes[len(r.Sizes)-1]
	if best != 1 || last.Coverage != 1 || last.BlockEfficiency != r.BlockEfficiency || last.AcceptanceRate != r.AcceptanceRate {
		t.Errorf("the whole head, the last of the sizes: %+v, as it is: %+v", last, r.Speculation)
	}
	o.Must = []int32{1, 2, 3, 4}
	o.Sizes = []int{300, 3}
	if _, err := p.Measure(context.Background(), o); err == nil || !strings.Contains(err.Error(), "3 rows: 4 must stay") {
		t.Errorf("a head without tokens that stay: %v", err)
	}
	o.Sampling, o.Sizes = model.Sampling{Temperature: 1, Seed: 5}, nil
	if r, err = p.Measure(context.Background(), o); err != nil || r.SameTokens || r.AcceptanceRate < 0.3 {
		t.Errorf("drawn: %+v, %v", r, err)
	}
}

func TestPairsOfDifferentVocabulariesAreRefused(t *testing.T) {
	_, err := OpenPair(sharedtest.Path(t, "models", "stories260K"), sharedtest.Path(t, "models", "babyllama-tok105"), 1)
	if err == nil || !strings.Contains(err.Error(), "cannot draft") {
		t.Errorf("%v", err)
	}
}
