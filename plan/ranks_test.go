package plan

import (
	"context"
	"strings"
	"testing"

	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/codec/codectest"
	"pith/internal/synth/llama"
	"pith/tensor"
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
	spread, err := SpreadRanks(t.Context(), c, r, RankOptions{Stats: seen(t, even), Workers: 2})
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
		if _, err := SpreadRanks(t.Context(), c, r, RankOptions{Stats: calib.NewSet(calib.Model{}), Workers: 1}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s by %s: %v, want %q", test.codec, test.method, err, test.want)
		}
	}
}

// byName is a Prober to which some weights matter a hundred times as much as others.
type byName struct {
	matters string
	probes  map[string]int
}

func (b byName) KL(_ context.Context, weight string, term codec.Term) (float64, error) {
	b.probes[weight]++
	rows, cols := term.Dims()
	m := tensor.NewMat(rows, cols)
	term.AddTo(m, 0)
	var size float64
	for _, v := range m.Data {
		size += float64(v) * float64(v)
	}
	loss := 1 / (1 + size) // of larger ranks, that keep more of the weight, smaller
	if strings.Contains(weight, b.matters) {
		loss *= 100
	}
	return loss, nil
}

func TestProbedRanksAreLargerWhereTheNetworkLosesMore(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	r, err := FromCodec("lr0.6-f16", "svd-llm", false)
	if err != nil {
		t.Fatal(err)
	}
	even, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	prober := byName{"v_proj", map[string]int{}}
	spread, err := SpreadRanks(t.Context(), c, r, RankOptions{Stats: seen(t, even), Prober: prober, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(c, spread)
	if err != nil {
		t.Fatal(err)
	}
	if p.Totals.Bytes > even.Totals.Bytes {
		t.Errorf("%d bytes spread, %d even", p.Totals.Bytes, even.Totals.Bytes)
	}
	before := map[string]int64{}
	for _, l := range even.Lines() {
		before[l.Weight] = l.Bytes
	}
	for _, l := range p.Lines() {
		if l.Role == "attn_v" && (l.Bytes <= before[l.Weight] || prober.probes[l.Weight] < 3) {
			t.Errorf("%s: %d bytes, %d even, %d probes", l.Weight, l.Bytes, before[l.Weight], prober.probes[l.Weight])
		}
	}
}

// nearTo is a Prober to which the network is the better the more of the weights' first column there is.
type nearTo struct{ ckpt *checkpoint.Checkpoint }

func (n nearTo) KL(_ context.Context, weight string, term codec.Term) (float64, error) {
	rows, cols := term.Dims()
	m, w := tensor.NewMat(rows, cols), tensor.NewMat(rows, cols)
	term.AddTo(m, 0)
	r, err := n.ckpt.Rows(weight)
	if err != nil {
		return 0, err
	}
	if err := r.Read(w, 0); err != nil {
		return 0, err
	}
	var loss float64
	for i := range rows {
		d := float64(m.Row(i)[0] - w.Row(i)[0])
		loss += d * d
	}
	return loss, nil
}

func TestTheSearchChoosesTheExponentThatLosesLeast(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	r, err := FromCodec("lr0.6-f16", "asvd", false)
	if err != nil {
		t.Fatal(err)
	}
	even, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	set := calib.NewSet(calib.Model{})
	for i, l := range even.Lines() {
		if l.Keeps() || l.Role == "embedding" || l.Role == "head" {
			continue
		}
		x := codectest.Matrix(uint64(i), 3*l.Cols, l.Cols)
		for row := range x.Rows {
			x.Row(row)[0] *= 1000 // the larger the exponent, the more the first column counts
		}
		st := calib.NewGram(l.Cols)
		st.Observe(x)
		if err := set.Add(calib.Site{Name: l.Weight, Features: l.Cols, Weights: []string{l.Weight}}, st); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		prober Prober
		want   string
	}{{nearTo{c}, "asvd1"}, {nil, "asvd"}} {
		spread, err := SpreadRanks(t.Context(), c, r, RankOptions{Stats: set, Prober: test.prober, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Resolve(c, spread)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, l := range p.Lines() {
			if strings.HasPrefix(l.Codec, "lr") {
				if found++; l.Method != test.want {
					t.Errorf("%s: method %s, want %s", l.Weight, l.Method, test.want)
				}
			}
		}
		if found == 0 {
			t.Error("no products")
		}
	}
}
