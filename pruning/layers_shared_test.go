package pruning_test

import (
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

// eachLayer calls f with every matrix of the layers of a shared model, and statistics of the first bytes of a text.
func eachLayer(t testing.TB, model, textName string, size int, f func(p approx.Problem)) {
	t.Helper()
	ckpt, err := checkpoint.Open(sharedtest.Path(t, "models", model))
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	text, err := os.ReadFile(sharedtest.Path(t, "text", textName))
	if err != nil {
		t.Fatal(err)
	}
	o, err := observe.New(t.Context(), ckpt, []observe.Text{{Name: "seen", Data: text[:size]}}, observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	set, err := o.Gather(t.Context(), calib.Model{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ckpt.Names() {
		if !strings.Contains(name, ".layers.") || !strings.Contains(name, "_proj") {
			continue
		}
		rows, err := ckpt.Rows(name)
		if err != nil {
			t.Fatal(err)
		}
		p := approx.Problem{Name: name, W: tensor.NewMat(rows.Dims()), Workers: 2}
		if err := rows.Read(p.W, 0); err != nil {
			t.Fatal(err)
		}
		if p.Stats, err = set.For(name, p.W.Cols, calib.Gram); err != nil {
			t.Fatal(err)
		}
		f(p)
	}
}

// layerLoss returns the share of a layer's outputs that a combination loses; in parts, "-" is the selector of SparseGPT for the pattern.
func layerLoss(t testing.TB, p approx.Problem, parts, codecName string, joint bool) float64 {
	t.Helper()
	if strings.HasSuffix(codecName, "s50") {
		parts = strings.Replace(parts, " - ", " block ", 1)
	}
	m := method(t, parts, codecName)
	if joint {
		m.Round = quantizers.LDLQ{Codec: m.Codec, Search: true, Ordered: true, Refit: true, Sweeps: 2}
	}
	term, _ := mustSolve(t, m, p)
	return gramLoss(p, term)
}

// gramLoss returns tr(E·H·Eᵀ)/tr(W·H·Wᵀ) in float64.
func gramLoss(p approx.Problem, term codec.Term) float64 {
	got := values(term)
	loss, norm := 0.0, 0.0
	e := make([]float64, p.W.Cols)
	for r := range p.W.Rows {
		for c, v := range p.W.Row(r) {
			e[c] = float64(v) - float64(got.Row(r)[c])
		}
		loss += gramForm(p, e)
		for c, v := range p.W.Row(r) {
			e[c] = float64(v)
		}
		norm += gramForm(p, e)
	}
	return loss / norm
}

func gramForm(p approx.Problem, e []float64) (sum float64) {
	for i, v := range e {
		if v == 0 {
			continue
		}
		var s float64
		for j, h := range p.Stats.GramRow(i)[:i] {
			s += e[j] * h
		}
		sum += v * (2*s + v*p.Stats.GramRow(i)[i])
	}
	return sum
}

// On every layer of real models the exact refit loses no more of the outputs than SparseGPT with its mask, and error feedback within the mask less than
// rounding afterwards.
func TestLayersOfModelsLoseInTheKnownOrder(t *testing.T) {
	n := 0
	eachLayer(t, "stories260K", "tinystories_200k.txt", 8000, func(p approx.Problem) {
		n++
		for _, pattern := range []string{"s50", "4:8", "2:4"} {
			refit, obs := layerLoss(t, p, "obs - obs_refit", "f32-"+pattern, false), layerLoss(t, p, "obs - obs", "f32-"+pattern, false)
			if refit > obs {
				t.Errorf("%s %s: the refit loses %g, SparseGPT %g", p.Name, pattern, refit, obs)
			}
		}
		joint, apart := layerLoss(t, p, "obs - obs_refit", "int4-g128-2:4", true), layerLoss(t, p, "obs - obs_refit", "int4-g128-2:4", false)
		if joint > apart {
			t.Errorf("%s: joint loses %g, rounding afterwards %g", p.Name, joint, apart)
		}
	})
	if n != 35 {
		t.Errorf("%d layers", n)
	}
}

// BenchmarkLayerErrors prints the tables of docs/methods/pruning.md: the geometric mean over all layers of a model of what is lost of the outputs, and
// on how many layers the refit loses more than SparseGPT, SparseGPT more than Wanda, joint more than rounding afterwards.
func BenchmarkLayerErrors(b *testing.B) {
	for model, text := range map[string]string{"stories260K": "tinystories_200k.txt", "babyllama-tok105": "tinystories_200k.txt", "pith-ref": "wikitext-2.valid.txt"} {
		for _, pattern := range []string{"s50", "4:8", "2:4"} {
			b.Run(model+"/"+pattern, func(b *testing.B) {
				sums, worse, layers := map[string]float64{}, map[string]int{}, 0
				eachLayer(b, model, text, 150_000, func(p approx.Problem) {
					layers++
					loss := map[string]float64{}
					for _, m := range []struct {
						name, parts, codec string
						joint              bool
					}{
						{"magnitude", "magnitude - zero", "f32", false}, {"wanda", "wanda row zero", "f32", false}, {"wanda-refit", "wanda row refit", "f32", false},
						{"sparsegpt", "obs - obs", "f32", false}, {"obs-refit", "obs - obs_refit", "f32", false},
						{"int4-apart", "obs - obs", "int4-g128", false}, {"int4-refit-apart", "obs - obs_refit", "int4-g128", false}, {"int4-joint", "obs - obs_refit", "int4-g128", true},
					} {
						if pattern != "s50" {
							m.parts = strings.Replace(m.parts, " row ", " - ", 1)
						}
						loss[m.name] = layerLoss(b, p, m.parts, m.codec+"-"+pattern, m.joint)
						sums[m.name] += math.Log(loss[m.name])
					}
					for _, pair := range [][2]string{{"obs-refit", "sparsegpt"}, {"sparsegpt", "wanda"}, {"wanda", "magnitude"}, {"int4-joint", "int4-refit-apart"}} {
						if loss[pair[0]] > loss[pair[1]] {
							worse[pair[0]+">"+pair[1]]++
						}
					}
				})
				for name, v := range sums {
					b.ReportMetric(1000*math.Exp(v/float64(layers)), "‰-"+name)
				}
				b.Logf("%s %s: %d layers, of which %v", model, pattern, layers, worse)
			})
		}
	}
}
