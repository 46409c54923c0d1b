package quantizers_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/internal/sharedtest"
	"pith/observe"
	"pith/quantizers"
	"pith/tensor"
)

// observed returns the statistics of model's sites over the first bytes of texts.
func observed(b *testing.B, model *checkpoint.Checkpoint, bytes int, texts ...string) *calib.Set {
	b.Helper()
	var list []observe.Text
	for _, name := range texts {
		data, err := os.ReadFile(sharedtest.Path(b, "text", name))
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, observe.Text{Name: name, Data: data[:min(bytes, len(data))]})
	}
	o, err := observe.New(b.Context(), model, list, observe.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	set, err := o.Gather(b.Context(), calib.Model{})
	if err != nil {
		b.Fatal(err)
	}
	return set
}

// energy returns tr((A-B)·G·(A-B)ᵀ) of the Gram matrix G.
func energy(a, b tensor.Mat, s *calib.Stats) (sum float64) {
	e := make([]float64, a.Cols)
	for r := range a.Rows {
		for c := range e {
			e[c] = float64(a.Row(r)[c]) - float64(b.Row(r)[c])
		}
		for i := range e {
			row := s.GramRow(i)
			var t float64
			for j, v := range row[:i] {
				t += e[j] * v
			}
			sum += e[i] * (2*t + e[i]*row[i])
		}
	}
	return sum
}

// BenchmarkOutputError prints the table of docs/methods/ldlq.md: what is lost of the outputs of fifteen weights of pith-ref, the
// geometric mean of tr(E·H·Eᵀ)/tr(W·H·Wᵀ) in per mille, on the text of calibration and on other text.
func BenchmarkOutputError(b *testing.B) {
	model, err := checkpoint.Open(sharedtest.Path(b, "models", "pith-ref"))
	if err != nil {
		b.Fatal(err)
	}
	seen := observed(b, model, 200_000, "wikitext-2.valid.txt", "tinystories_200k.txt")
	unseen := observed(b, model, 60_000, "tinyshakespeare.txt", "wiki.test.raw", "tinystories_val.txt")
	var weights []sharedWeight
	for _, layer := range []int{0, 2, 5} {
		for _, name := range []string{"self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"} {
			weights = append(weights, loadShared(b, model, fmt.Sprintf("model.layers.%d.%s.weight", layer, name), seen, unseen))
		}
	}
	for _, c := range []string{"int2-g64", "int3-g64", "int4-g64", "q3_k", "q4_k", "tcq-lut8-2-had", "tcq-lut8-3-had", "tcq-lut8-4-had"} {
		for _, m := range outputMethods(strings.HasPrefix(c, "tcq")) {
			b.Run(c+"/"+m.name, func(b *testing.B) {
				var here, there float64
				for _, w := range weights {
					h, t := w.errors(b, c, m)
					here, there = here+math.Log(h), there+math.Log(t)
				}
				n := float64(len(weights))
				b.ReportMetric(1000*math.Exp(here/n), "‰-seen")
				b.ReportMetric(1000*math.Exp(there/n), "‰-unseen")
			})
		}
	}
}

type outputMethod struct {
	name string
	make func(c codec.Codec) approx.Method
}

func outputMethods(trellis bool) []outputMethod {
	var gains []float32
	if trellis {
		gains = []float32{1, 1.1, 1.2, 1.3}
	}
	ldlq := func(q quantizers.LDLQ) func(codec.Codec) approx.Method {
		return func(c codec.Codec) approx.Method {
			q.Codec, q.Search = c, true
			return q
		}
	}
	list := []outputMethod{
		{"nearest", func(c codec.Codec) approx.Method { return quantizers.Nearest{Codec: c} }},
		{"nearest-search", func(c codec.Codec) approx.Method { return quantizers.Nearest{Codec: c, Search: true} }},
		{"ldlq", ldlq(quantizers.LDLQ{})},
	}
	if trellis {
		list = append(list, outputMethod{"gains", ldlq(quantizers.LDLQ{Gains: gains})})
	}
	for _, damping := range []float64{0.003, 0.03, 0.1} {
		list = append(list, outputMethod{fmt.Sprintf("damping=%g", damping), ldlq(quantizers.LDLQ{Gains: gains, Damping: damping})})
	}
	if !trellis {
		list = append(list, outputMethod{"ordered", ldlq(quantizers.LDLQ{Ordered: true})})
	}
	return append(list,
		outputMethod{"refit", ldlq(quantizers.LDLQ{Gains: gains, Ordered: true, Refit: true})},
		outputMethod{"sweeps=1", ldlq(quantizers.LDLQ{Gains: gains, Ordered: true, Sweeps: 1})},
		outputMethod{"sweeps=4", ldlq(quantizers.LDLQ{Gains: gains, Ordered: true, Sweeps: 4})},
		outputMethod{"sweeps=4,refit", ldlq(quantizers.LDLQ{Gains: gains, Ordered: true, Sweeps: 4, Refit: true})})
}

// sharedWeight is a weight with the statistics of its input and tr(W·G·Wᵀ) of both.
type sharedWeight struct {
	name                 string
	w                    tensor.Mat
	seen, unseen         *calib.Stats
	seenNorm, unseenNorm float64
}

func loadShared(b *testing.B, model *checkpoint.Checkpoint, name string, seen, unseen *calib.Set) sharedWeight {
	b.Helper()
	rows, err := model.Rows(name)
	if err != nil {
		b.Fatal(err)
	}
	s := sharedWeight{name: name, w: tensor.NewMat(rows.Dims())}
	if err := rows.Read(s.w, 0); err != nil {
		b.Fatal(err)
	}
	if s.seen, err = seen.For(name, s.w.Cols, calib.Gram); err != nil {
		b.Fatal(err)
	}
	if s.unseen, err = unseen.For(name, s.w.Cols, calib.Gram); err != nil {
		b.Fatal(err)
	}
	zero := tensor.NewMat(rows.Dims())
	s.seenNorm, s.unseenNorm = energy(s.w, zero, s.seen), energy(s.w, zero, s.unseen)
	return s
}

// errors returns what method m loses of the outputs on both texts.
func (s sharedWeight) errors(b *testing.B, codecName string, m outputMethod) (here, there float64) {
	b.Helper()
	c, err := codec.Parse(codecName)
	if err != nil {
		b.Fatal(err)
	}
	term, report, err := quantizers.ForCodec(c, m.make).Solve(approx.Problem{Name: s.name, W: s.w, Stats: s.seen, Workers: 2})
	if err != nil || report.Fallback != "" {
		b.Fatal(err, report.Fallback)
	}
	got := tensor.NewMat(s.w.Rows, s.w.Cols)
	codec.Read(term, got, 0)
	return energy(s.w, got, s.seen) / s.seenNorm, energy(s.w, got, s.unseen) / s.unseenNorm
}
