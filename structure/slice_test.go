package structure

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/internal/sharedtest"
	"pith/internal/synth/llama"
	"pith/model"
	"pith/observe"
	"pith/tensor"
)

// furthest returns the largest difference of two models' logits over some tokens, relative to the largest logit of the position.
func furthest(t *testing.T, a, b *checkpoint.Checkpoint) float64 {
	t.Helper()
	tokens := make([]int32, 24)
	for i := range tokens {
		tokens[i] = int32(i * 7 % 90)
	}
	m, n := load(t, a), load(t, b)
	x, y := m.Logits(m.Forward([][]int32{tokens})), n.Logits(n.Forward([][]int32{tokens}))
	var worst float64
	for p := range x.Rows {
		var scale, d float64
		for i, v := range x.Row(p) {
			scale = max(scale, math.Abs(float64(v)))
			if e := math.Abs(float64(v) - float64(y.Row(p)[i])); !(e <= d) {
				d = e
			}
		}
		worst = max(worst, d/scale)
	}
	return worst
}

// spreadNorms opens a synthetic model whose norms' weights are far from 1, tied or not.
func spreadNorms(t *testing.T, tied bool) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	shape := llama.Shape{Vocab: 512, Hidden: 48, FFN: 80, Layers: 3, Heads: 4, KVHeads: 2, Context: 128, Tied: tied}
	if err := llama.Write(dir, shape, llama.Options{DType: tensor.F32, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var edit checkpoint.Edit
	for k, name := range c.Names() {
		if !strings.HasSuffix(name, "norm.weight") {
			continue
		}
		values := make([]float32, 48)
		for i := range values {
			values[i] = float32(1 + 0.9*math.Sin(float64(i*7+k)))
		}
		data := encode(tensor.F32, values)
		edit.Made = append(edit.Made, checkpoint.Made{Name: name, DType: tensor.F32, Shape: []int{48}, Data: func() ([]byte, error) { return data, nil }})
	}
	v, err := c.View(edit)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// H7 of the specification.
func TestRotatingWithoutCuttingChangesNoLogits(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := spreadNorms(t, tied)
		for _, shared := range []bool{false, true} {
			v, err := Slice(context.Background(), c, words(900), Slicing{Hidden: 48, Shared: shared}, Options{Context: 32, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			if d := furthest(t, c, v); !(d < 1e-4) {
				t.Errorf("tied %v, shared %v: logits differ by %g relative", tied, shared, d)
			}
			cfg, err := v.Config()
			if err != nil || cfg.HasShortcuts() == shared || cfg.TiedHead {
				t.Errorf("config %+v, %v", cfg, err)
			}
		}
	}
}

func TestMovingNormsIntoMatricesChangesNoLogits(t *testing.T) {
	c := spreadNorms(t, true)
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	identity := basis{48, 48, make([]float64, 48*48)}
	for i := range 48 {
		identity.rows[i*49] = 1
	}
	v, err := sliced(c, cfg, Slicing{Hidden: 48, Shared: true}, []basis{identity}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if d := furthest(t, c, v); !(d < 1e-5) {
		t.Errorf("logits differ by %g relative", d)
	}
	w, err := v.Load("model.layers.1.input_layernorm.weight")
	if err != nil {
		t.Fatal(err)
	}
	row := tensor.NewMat(1, 48)
	w.ReadRows(row, 0)
	for _, x := range row.Data {
		if x != 1 {
			t.Fatalf("a norm's weight is %v", x)
		}
	}
}

func TestSlicingEveryArchitectureWithRMSNorms(t *testing.T) {
	dirs, err := filepath.Glob("../model/testdata/*/config.json")
	if err != nil || len(dirs) < 15 {
		t.Fatalf("%d models (%v)", len(dirs), err)
	}
	cut := 0
	for _, d := range dirs {
		c, err := checkpoint.Open(filepath.Dir(d))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c = widened(t, c)
		cfg, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		if err := canSlice(cfg); err != nil {
			if !strings.Contains(err.Error(), "norm") && !strings.Contains(err.Error(), "Norm") {
				t.Errorf("%s: %v", d, err)
			}
			continue
		}
		// Bases of another orthogonal matrix at every boundary: no text is needed to rotate.
		var bases []basis
		for i := range 2*cfg.Layers + 1 {
			bases = append(bases, rotated(cfg.Hidden, i))
		}
		v, err := sliced(c, cfg, Slicing{Hidden: cfg.Hidden}, bases, 2)
		if err != nil {
			t.Fatal(err)
		}
		m, n := load(t, c), load(t, v)
		tokens := []int32{5, 3, 70, 11, 2, 9, 33, 64, 1, 1, 7, 90, 45, 23, 8, 50, 31}
		x, y := m.Logits(m.Forward([][]int32{tokens})), n.Logits(n.Forward([][]int32{tokens}))
		var scale, worst float64
		for i, v := range x.Data {
			scale = max(scale, math.Abs(float64(v)))
			worst = max(worst, math.Abs(float64(v)-float64(y.Data[i])))
		}
		if !(worst < 1e-4*scale) {
			t.Errorf("%s: logits differ by %g of %g", d, worst, scale)
		}
		cut++
	}
	if cut < 10 {
		t.Errorf("only %d models were rotated", cut)
	}
}

// widened returns a view with every tensor in float32, so that rotating rounds as little as can be.
func widened(t *testing.T, c *checkpoint.Checkpoint) *checkpoint.Checkpoint {
	t.Helper()
	var edit checkpoint.Edit
	for _, name := range c.Names() {
		info, err := c.Info(name)
		if err != nil {
			t.Fatal(err)
		}
		w := tensor.NewMat(info.Rows, info.Cols)
		if err := c.ReadRows(name, w, 0); err != nil {
			t.Fatal(err)
		}
		edit.Made = append(edit.Made, checkpoint.Made{Name: name, DType: tensor.F32, Shape: info.Shape, Data: func() ([]byte, error) { return encode(tensor.F32, w.Data), nil }})
	}
	v, err := c.View(edit)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// rotated returns an orthogonal matrix: a product of reflections.
func rotated(n, seed int) basis {
	b := basis{n, n, make([]float64, n*n)}
	for i := range n {
		b.rows[i*n+i] = 1
	}
	for k := range 3 {
		v := make([]float64, n)
		var norm float64
		for i := range v {
			v[i] = math.Sin(float64(1 + i*(seed+2) + k*k))
			norm += v[i] * v[i]
		}
		for r := range n {
			row := b.rows[r*n:][:n]
			var p float64
			for i, x := range row {
				p += x * v[i]
			}
			for i := range row {
				row[i] -= 2 * p / norm * v[i]
			}
		}
	}
	return b
}

func TestLossGrowsWithWhatIsSlicedOff(t *testing.T) {
	dir := sharedtest.Path(t, "models", "stories260K")
	text, err := os.ReadFile(sharedtest.Path(t, "text", "tinystories_200k.txt"))
	if err != nil {
		t.Skip(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	texts := []observe.Text{{Name: "stories", Data: text[:6000]}}
	before := -1.0
	for _, hidden := range []int{64, 56, 48, 32, 16} {
		v, err := Slice(context.Background(), c, texts, Slicing{Hidden: hidden}, Options{Context: 128, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		loss := nll(t, v, texts)
		t.Logf("%d directions: %.4f nats a token", hidden, loss)
		if loss < before {
			t.Errorf("%d directions lose less than more of them", hidden)
		}
		before = loss
	}
}

// nll is the mean −ln p of a text's tokens.
func nll(t *testing.T, c *checkpoint.Checkpoint, texts []observe.Text) float64 {
	t.Helper()
	r, err := newRunner(c, texts, Options{Context: 128, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	tallies := make([]tally, 1)
	err = r.each(context.Background(), "", func(b batch) error {
		end := r.through(b, r.states(b, nil)[0], r.all())
		return r.score(b, end, []tensor.Mat{end}, tallies)
	})
	if err != nil {
		t.Fatal(err)
	}
	return math.Log(tallies[0].Perplexity())
}

func TestSlicesAreParts(t *testing.T) {
	for s, want := range map[string]int{"25%": 192, "0.25": 192, "0": 256, "0%": 256, "1%": 248, "50 %": 0, "99%": 0, "100%": 0, "1": 0, "-5%": 0, "x": 0, "25": 0} {
		got, err := ParseSlice(s, 256)
		if (err == nil) != (want > 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
}

func TestWhatCannotBeSlicedIsAnError(t *testing.T) {
	for _, c := range []model.Config{{Norm: model.LayerNorm}, {PostNorms: true}, {Norm: model.RMSNorm1}, {Shortcuts: model.Shortcuts{MLP: []int{0}}}} {
		if canSlice(c) == nil {
			t.Errorf("%+v can be sliced", c)
		}
	}
}
