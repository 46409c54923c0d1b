package plan

import (
	"strings"
	"testing"

	"pith/calib"
	"pith/codec"
	"pith/codec/codectest"
	"pith/internal/synth/llama"
)

// seen returns statistics of every linear weight's input of a synthetic model.
func seen(t *testing.T, p *Plan) *calib.Set {
	t.Helper()
	set := calib.NewSet(calib.Model{})
	for i, l := range p.Lines() {
		if l.Keeps() || l.Role == "embedding" || l.Role == "head" {
			continue
		}
		st := calib.NewGram(l.Cols)
		st.Observe(codectest.Matrix(uint64(i), 3*l.Cols, l.Cols))
		if err := set.Add(calib.Site{Name: l.Weight, Features: l.Cols, Weights: []string{l.Weight}}, st); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

func TestRanksAreSpreadWithinTheSameBytes(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	r, err := FromCodec("lr0.6-f16", "svd-llm", false)
	if err != nil {
		t.Fatal(err)
	}
	even, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	spread, err := SpreadRanks(t.Context(), c, r, seen(t, even), 2)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(c, spread)
	if err != nil {
		t.Fatal(err)
	}
	if p.Totals.Bytes > even.Totals.Bytes || p.Totals.Bytes < even.Totals.Bytes*95/100 || p.Fallbacks() > 0 {
		t.Errorf("%d bytes spread, %d even, %d fallbacks", p.Totals.Bytes, even.Totals.Bytes, p.Fallbacks())
	}
	ranks := map[string]bool{}
	for _, l := range p.Lines() {
		if term, err := codec.Parse(l.Codec); err == nil && !l.Keeps() {
			if product, ok := term.(codec.LowRank); ok {
				ranks[product.Name()] = true
				if product.Ratio() > 0 || l.Method != "svd-llm" {
					t.Errorf("%s: %s by %s", l.Weight, l.Codec, l.Method)
				}
			}
		}
	}
	if len(ranks) < 3 {
		t.Errorf("ranks %v", ranks)
	}
}

func TestRanksThatCannotBeChosenAreErrors(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for _, test := range []struct{ codec, method, want string }{
		{"int4-g64", "", "no weight has a low-rank codec"}, {"lr0.6-f16", "svd-llm", "no Gram matrix"}, {"lr0.6-f16", "fwsvd", "squared gradients"},
	} {
		r, err := FromCodec(test.codec, test.method, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := SpreadRanks(t.Context(), c, r, calib.NewSet(calib.Model{}), 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s by %s: %v, want %q", test.codec, test.method, err, test.want)
		}
	}
}
