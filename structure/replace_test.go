package structure

import (
	"context"
	"math"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// endErrors returns Σ‖h − target‖² over the states that the first `shown` layers of a model give, target being those of the whole
// model after its first `whole` layers; the first position of each window is left out.
func endErrors(t *testing.T, c *checkpoint.Checkpoint, whole int, v *checkpoint.Checkpoint, shown int) float64 {
	t.Helper()
	windows, _, err := observe.Windows(c, words(900), 32, 0)
	if err != nil {
		t.Fatal(err)
	}
	states := func(c *checkpoint.Checkpoint, layers int, w []int32) tensor.Mat {
		p := load(t, c).Parts()
		x := tensor.NewMat(len(w), 48)
		p.Embedding().Forward(x, w)
		for l := range layers {
			p.Layer(l).Forward(x, []int{len(w)}, nil)
		}
		return x
	}
	var sum float64
	for _, w := range windows {
		a, b := states(c, whole, w), states(v, shown, w)
		for i := 48; i < len(a.Data); i++ {
			d := float64(a.Data[i]) - float64(b.Data[i])
			sum += d * d
		}
	}
	return sum
}

func TestReplacementsLowerTheErrorOfTheStatesTheyAreFittedOn(t *testing.T) {
	c := tiny(t, 5)
	for _, dropped := range [][]int{{2}, {2, 3}, {1, 3}} {
		last := dropped[len(dropped)-1] + 1
		errs := map[string]float64{}
		for _, kind := range Replacements() {
			edit, err := Replace(context.Background(), c, words(900), dropped, kind, Options{Context: 32, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			v, err := c.View(edit)
			if err != nil {
				t.Fatal(err)
			}
			errs[kind] = endErrors(t, c, last, v, last-len(dropped))
		}
		t.Logf("without layers %v: %v", dropped, errs)
		if !(errs[LinearMap] < errs[MeanUpdate] && errs[MeanUpdate] < errs[NoReplacement]) {
			t.Errorf("without layers %v: squared errors %v", dropped, errs)
		}
	}
}

func TestAMeanUpdateIsTheMeanOfWhatTheLayersAdd(t *testing.T) {
	c := tiny(t, 4)
	edit, err := Replace(context.Background(), c, words(900), []int{2}, MeanUpdate, Options{Context: 32, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.View(edit)
	if err != nil {
		t.Fatal(err)
	}
	windows, _, err := observe.Windows(c, words(900), 32, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := load(t, c).Parts()
	mean := make([]float64, 48)
	n := 0.0
	for _, w := range windows {
		x := tensor.NewMat(len(w), 48)
		p.Embedding().Forward(x, w)
		p.Layer(0).Forward(x, []int{len(w)}, nil)
		p.Layer(1).Forward(x, []int{len(w)}, nil)
		before := append([]float32(nil), x.Data...)
		p.Layer(2).Forward(x, []int{len(w)}, nil)
		for i := 48; i < len(before); i++ {
			mean[i%48] += float64(x.Data[i]) - float64(before[i])
		}
		n += float64(len(w) - 1)
	}
	bias := tensor.NewMat(1, 48)
	if err := v.ReadRows("model.layers.1.mlp.down_proj.bias", bias, 0); err != nil {
		t.Fatal(err)
	}
	for i, b := range bias.Data {
		if math.Abs(float64(b)-mean[i]/n) > 1e-5 {
			t.Fatalf("bias %d is %v, the mean is %v", i, b, mean[i]/n)
		}
	}
	for _, name := range []string{"model.layers.1.mlp.up_proj.bias", "model.layers.0.mlp.gate_proj.bias", "model.layers.2.mlp.down_proj.bias"} {
		w, err := v.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		row := tensor.NewMat(1, w.Cols)
		w.ReadRows(row, 0)
		for _, b := range row.Data {
			if b != 0 {
				t.Errorf("%s is not zero", name)
			}
		}
	}
	cfg, err := v.Config()
	if err != nil || !cfg.MLPBias || cfg.ModelType != "llama" || cfg.HasShortcuts() {
		t.Errorf("config %+v, %v", cfg, err)
	}
}

func TestWhatCannotBeReplacedIsAnError(t *testing.T) {
	c := tiny(t, 3)
	for want, f := range map[string]func() error{
		"layer 0": func() error {
			_, err := Replace(context.Background(), c, words(900), []int{0}, MeanUpdate, Options{Context: 32})
			return err
		},
		"unknown replacement": func() error {
			_, err := Replace(context.Background(), c, words(900), []int{1}, "magic", Options{Context: 32})
			return err
		},
		"no biases": func() error { return canReplace(model.Config{ModelType: "qwen2"}, []int{1}, MeanUpdate) },
		"gpt2":      func() error { return canReplace(model.Config{ModelType: "gpt2", MLPBias: true}, []int{1}, LinearMap) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
