package structure

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/model"
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
	cost, err := r.divergence(t.Context(), "", asShared(cands))
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
		x := r.with(batch{lengths: lengths(r.windows)}, embedded(r), sharedLayers{matrices: matrices}, 0)
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
	all, err := r.divergence(t.Context(), "", asShared([][]int{{0, 0, 2, 3}, {1, 1, 2, 3}, {0, 1, 1, 3}, {0, 2, 2, 3}, {0, 1, 2, 2}, {0, 1, 3, 3}, got}))
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

func asShared(list [][]int) (cands []sharedLayers) {
	for _, matrices := range list {
		cands = append(cands, sharedLayers{matrices: matrices})
	}
	return cands
}

// Fitted norms are taken only where the model's predictions come nearer with them, and the view that has them diverges as was told.
func TestFittedNormsDivergeLess(t *testing.T) {
	c := tiny(t, 4)
	matrices := []int{0, 0, 2, 2}
	o := Options{Context: 32}
	edit, before, after, err := Renorm(t.Context(), c, words(900), matrices, o)
	if err != nil {
		t.Fatal(err)
	}
	if after > before || (len(edit.Made) == 0) != (after == before) {
		t.Errorf("KL %g before, %g after %d norms", before, after, len(edit.Made))
	}
	v, err := c.View(edit)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRunner(c, words(900), o)
	if err != nil {
		t.Fatal(err)
	}
	fitted, err := newRunner(v, words(900), o)
	if err != nil {
		t.Fatal(err)
	}
	tallies := make([]tally, 1)
	err = r.each(t.Context(), "", func(b batch) error {
		base, x := r.states(b, r.all()), fitted.states(b, r.all())
		return r.score(b, base[len(base)-1], x[len(x)-1:], tallies)
	})
	if err != nil || math.Abs(tallies[0].KL()-after) > 1e-6*after {
		t.Errorf("the view diverges by %g, not %g (%v)", tallies[0].KL(), after, err)
	}
}

// A layer that uses matrices that are its own but for the scale of their inputs gets the norm that makes up for it.
func TestFittedNormsMakeUpForScales(t *testing.T) {
	c := tiny(t, 2)
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	var made []checkpoint.Made
	scale := func(j int) float32 { return 0.5 + float32(j%7)/4 }
	for _, name := range c.Names() {
		role := model.Role(cfg, name)
		if model.LayerOf(cfg, name) != 1 || role == "norm" {
			continue
		}
		info, _ := c.Info(name)
		w := tensor.NewMat(info.Rows, info.Cols)
		if err := c.ReadRows(model.InLayer(cfg, name, 0), w, 0); err != nil {
			t.Fatal(err)
		}
		if role != "attn_output" && role != "ffn_down" {
			for i := range w.Data {
				w.Data[i] *= scale(i % w.Cols)
			}
		}
		data := encode(tensor.F32, w.Data)
		made = append(made, checkpoint.Made{Name: name, DType: tensor.F32, Shape: info.Shape, Data: func() ([]byte, error) { return data, nil }})
	}
	v, err := c.View(checkpoint.Edit{Made: made})
	if err != nil {
		t.Fatal(err)
	}
	edit, before, after, err := Renorm(t.Context(), v, words(900), []int{0, 0}, Options{Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	if len(edit.Made) != 2 || after > before/100 {
		t.Errorf("KL %g before, %g after %d norms", before, after, len(edit.Made))
	}
}
