package plan

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/codec/codectest"
	"pith/internal/synth/llama"
	"pith/tensor"
)

// Every codec has a method that solves it as a menu's entry, with data and without, and what is predicted of it is sane.
func TestEveryCodecCanBeInAMenu(t *testing.T) {
	w := codectest.Matrix(1, 16, 256)
	stats := calib.NewGram(256)
	stats.Observe(codectest.Matrix(2, 700, 256))
	for _, name := range codec.Names() {
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, atoms := c.(codec.Atoms); atoms || trellisCode(c) && !strings.HasPrefix(name, "tcq-lut8") {
			continue // of sets; as slow to encode as they are like one another
		}
		for _, data := range []bool{false, true} {
			p := approx.Problem{Name: "w", W: w}
			if data {
				p.Stats = stats
			}
			rules, err := MenuOptions{Codecs: []string{name}}.rules(data)
			if err != nil {
				t.Fatal(err)
			}
			menu, err := menuOf(Line{Weight: "w", Rows: 16, Cols: 256}, Line{}, rules)
			if err != nil {
				t.Fatal(err)
			}
			m, err := menu[0].line.NewMethod()
			if err != nil {
				t.Fatal(err)
			}
			loss, err := approx.Predict(m, p)
			if menu[0].line.Codec != name || menu[0].Bytes != c.Size(16, 256) || err != nil || !(loss >= 0 && loss < 1.2) {
				t.Errorf("%s by %s: %d bytes, loss %g, %v", name, menu[0].line.Method, menu[0].Bytes, loss, err)
			}
		}
	}
}

func TestMenusTakeTheMethodThatIsAskedForWhereItCan(t *testing.T) {
	for _, test := range []struct {
		codec, asked string
		data         bool
		want         string
	}{
		{"int3-g64", "", true, "ldlq"}, {"int3-g64", "", false, "nearest"}, {"int3-g64", "gptq", true, "gptq"}, {"f16", "", true, "nearest"},
		{"lr0.6-f16", "asvd", true, "asvd"}, {"lr0.6-f16", "gptq", true, "svd-llm"}, {"lr0.6-f16", "", false, "svd"}, {"int4-g64-2:4", "wanda", true, "wanda"},
		{"int4-g64-2:4", "", true, "sparsegpt"}, {"sketch3-p1", "", true, "codebook"}, {"sign-k1", "gptq", true, "bitstack"}, {"int4-g128-scaled", "", true, "awq"},
		{"int2-g64+lr4-f16", "", true, "ldlq+svd-llm"}, {"int2-g64+lr4-f16", "gptq", true, "gptq+svd-llm"}, {"int2-g64+lr4-f16", "nearest+svd", true, "nearest+svd"},
	} {
		c, err := codec.Parse(test.codec)
		if err != nil {
			t.Fatal(err)
		}
		if got := suiting(c, test.asked, test.data); got != test.want {
			t.Errorf("%s, %q asked, data %v: %s, want %s", test.codec, test.asked, test.data, got, test.want)
		}
	}
}

func TestMenusKeepToTheBudgetAndNameWhatTheyList(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	list := []string{"int2-g32", "lr0.5-int8-g32", "int4-g32", "keep"}
	for _, data := range []bool{false, true} {
		budgets := []float64{3.2, 4, 5, 7.9}
		o := MenuOptions{Codecs: list, Workers: 2}
		if data {
			o.Stats, budgets = seen(t, resolve(t, c, `rules: [{match: "*", codec: f16}]`)), []float64{4}
		}
		used := map[string]bool{}
		for _, bits := range budgets {
			o.BitsPerWeight = bits
			r, _, err := FromMenu(t.Context(), c, o)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Resolve(c, r)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Totals.BitsPerWeight; got > bits || got < bits-0.6 {
				t.Errorf("%g bits: the plan takes %g", bits, got)
			}
			for _, l := range p.Lines() {
				used[l.Codec] = true
				if len(l.Shape) == 2 && !l.Keeps() && (!slices.Contains(list, l.Codec) || l.Note != "") {
					t.Errorf("%s: %s, %s", l.Weight, l.Codec, l.Note)
				}
			}
		}
		if !used["int2-g32"] || !used["int4-g32"] {
			t.Errorf("data %v: used %v", data, used)
		}
	}
}

func TestMenusThatCannotBeAreErrors(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	from := func(bits float64, method string, codecs ...string) error {
		_, _, err := FromMenu(t.Context(), c, MenuOptions{BitsPerWeight: bits, Codecs: codecs, Method: method})
		return err
	}
	for want, err := range map[string]error{
		`unknown codec "int9"`:              from(3, "", "int2-g32", "int9"),
		"the menu is empty":                 from(3, ""),
		"solves no codec of the menu":       from(3, "gtpq", "int2-g32"),
		"too small":                         from(1, "", "int2-g32", "int4-g32"),
		"ask for 1 to 32":                   from(-1, "", "int2-g32"),
		"is of what weights have in common": from(3, "", "atoms2-int4-g32"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// The least that the error names is possible, and one bit in a thousand less is not.
	message := from(1, "", "int2-g32", "int4-g32").Error()
	least, err := strconv.ParseFloat(message[strings.LastIndex(message, " ")+1:], 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := from(least, "", "int2-g32", "int4-g32"); err != nil {
		t.Error(err)
	}
	if err := from(least-0.002, "", "int2-g32", "int4-g32"); err == nil {
		t.Error("less than the least is possible")
	}
}

// Weights that nothing on the menu fits have what stands in for it, as with one codec; embedding and head are not pruned.
func TestMenusFallBackAsOneCodecDoes(t *testing.T) {
	c := open(t, llama.Shapes()["odd"])
	r, _, err := FromMenu(t.Context(), c, MenuOptions{BitsPerWeight: 7.5, Codecs: []string{"q4_k", "int4-g64-s50"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	stoodIn := 0
	for _, l := range p.Lines() {
		if l.Keeps() || l.Alias() {
			continue
		}
		parsed, err := codec.Parse(l.Codec)
		if err != nil {
			t.Fatal(err)
		}
		if _, sparse := parsed.(codec.Sparse); sparse && slices.Contains([]string{"embedding", "head"}, l.Role) {
			t.Errorf("%s is pruned", l.Weight)
		}
		if !slices.Contains([]string{"q4_k", "int4-g64-s50"}, l.Codec) {
			stoodIn++
		}
	}
	if stoodIn == 0 {
		t.Error("every shape fits: the test tests nothing")
	}
}

// squares is a Prober to which errors of some weights matter a hundred times as much as others'.
type squares struct {
	ckpt    *checkpoint.Checkpoint
	matters string
}

func (s squares) KL(_ context.Context, weight string, term codec.Term) (float64, error) {
	w, err := s.ckpt.Load(weight)
	if err != nil {
		return 0, err
	}
	values := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(values, 0)
	report := approx.Measure(approx.Problem{W: values}, term)
	if strings.Contains(weight, s.matters) {
		return 100 * report.SquaredError, nil
	}
	return report.SquaredError, nil
}

// A Prober's word counts: what matters to the network has the larger codec.
func TestProbedMenusGiveMoreWhereTheNetworkLosesMore(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	r, _, err := FromMenu(t.Context(), c, MenuOptions{BitsPerWeight: 3.5, Codecs: []string{"int2-g32", "int4-g32"}, Prober: squares{c, "v_proj"}, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	small := 0
	for _, l := range p.Lines() {
		if l.Role == "attn_v" && l.Codec != "int4-g32" {
			t.Errorf("%s: %s", l.Weight, l.Codec)
		}
		if l.Codec == "int2-g32" {
			small++
		}
	}
	if p.Totals.BitsPerWeight > 3.5 || small == 0 {
		t.Errorf("%g bits, %d weights in the smaller codec", p.Totals.BitsPerWeight, small)
	}
}
