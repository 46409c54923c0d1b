package structure

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/tensor"
)

func TestShareRequests(t *testing.T) {
	for text, want := range map[string][]int{"1": {0, 1, 2, 3, 4}, "2": {0, 0, 2, 2, 4}, "0,1|2-4": {0, 0, 2, 2, 2}, "3-4": {0, 1, 2, 3, 3}, "1,3": {0, 1, 2, 1, 4}, "9": {0, 0, 0, 0, 0}} {
		q, err := ParseShare(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ShareLayers(t.Context(), tiny(t, 5), nil, q, ByFirst, Options{}); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: matrices %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "fewer:", "fewer:-1", "1|", "2-1", "fewer:9999999"} {
		if _, err := ParseShare(text); err == nil || !strings.Contains(err.Error(), "give the size") {
			t.Errorf("%q: error %v", text, err)
		}
	}
	for text, want := range map[string]string{"0,1|1,2": "layer 1 is in two groups", "3-5": "has 5 layers", "fewer:5": "leave none"} {
		q, err := ParseShare(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ShareLayers(t.Context(), tiny(t, 5), words(400), q, ByKL, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// What sharing is predicted to cost is what the view with shared matrices costs, and what is chosen costs least.
func TestSharingCostsWhatTheViewDiverges(t *testing.T) {
	c := tiny(t, 4)
	r, err := newRunner(c, words(900), Options{Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	cands := [][]int{{0, 0, 2, 3}, {1, 1, 2, 3}, {0, 1, 2, 2}, {0, 1, 3, 3}, {0, 2, 2, 2}, {0, 1, 2, 3}}
	cost, err := r.divergence(t.Context(), "", cands)
	if err != nil {
		t.Fatal(err)
	}
	if cost[5] != 0 {
		t.Errorf("each layer its own: KL %g", cost[5])
	}
	for i, matrices := range cands {
		v, err := c.View(checkpoint.Edit{Matrices: matrices})
		if err != nil {
			t.Fatal(err)
		}
		if same := slices.Equal(load(t, v).Forward(r.windows).Data, load(t, c).Forward(r.windows).Data); same != (cost[i] == 0) {
			t.Errorf("%v: KL %g, and the hidden states are the same: %v", matrices, cost[i], same)
		}
		x := r.with(batch{lengths: lengths(r.windows)}, embedded(r), matrices, 0)
		r.parts.Norm().Forward(x, x)
		if want := load(t, v).Forward(r.windows); !slices.Equal(x.Data, want.Data) {
			t.Errorf("%v: the runner and the view give different states", matrices)
		}
	}
	for _, rule := range []string{ByKL, ByMSE} {
		got, err := ShareLayers(t.Context(), c, words(900), ShareRequest{Groups: [][]int{{0, 1}}}, rule, Options{Context: 32})
		if err != nil {
			t.Fatal(err)
		}
		if rule == ByKL && got[0] != least(cost[:2]) {
			t.Errorf("%s: %v, and the costs are %v", rule, got, cost[:2])
		}
	}
	got, err := ShareLayers(t.Context(), c, words(900), ShareRequest{Fewer: 1}, ByKL, Options{Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.divergence(t.Context(), "", [][]int{{0, 0, 2, 3}, {1, 1, 2, 3}, {0, 1, 1, 3}, {0, 2, 2, 3}, {0, 1, 2, 2}, {0, 1, 3, 3}, got})
	if err != nil || all[6] != slices.Min(all[:6]) || math.IsNaN(all[6]) {
		t.Errorf("%v costs %g, and the least is %g (%v)", got, all[6], slices.Min(all[:6]), err)
	}
}

func lengths(windows [][]int32) (list []int) {
	for _, w := range windows {
		list = append(list, len(w))
	}
	return list
}

func embedded(r *runner) tensor.Mat {
	rows := 0
	for _, w := range r.windows {
		rows += len(w)
	}
	return r.states(batch{windows: r.windows, lengths: lengths(r.windows), rows: rows}, nil)[0]
}
