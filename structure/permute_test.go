package structure

import (
	"context"
	"math"
	"testing"

	"pith/calib"
	"pith/checkpoint"
	"pith/observe"
	"pith/pruning"
	"pith/tensor"
)

// read returns a matrix of a checkpoint.
func read(t *testing.T, c *checkpoint.Checkpoint, name string) tensor.Mat {
	t.Helper()
	rows, err := c.Rows(name)
	if err != nil {
		t.Fatal(err)
	}
	m := tensor.NewMat(rows.Dims())
	if err := rows.Read(m, 0); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestReorderedMLPsComputeTheSameAndKeepMore(t *testing.T) {
	c := tiny(t, 2)
	o, err := observe.New(context.Background(), c, words(2000), observe.Options{Context: 32, Moments: true})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	set, err := o.Gather(t.Context(), calib.Model{})
	if err != nil {
		t.Fatal(err)
	}
	of := func(weight string, cols int) (*calib.Stats, error) { return set.For(weight, cols, calib.Moments) }
	for _, stats := range []func(string, int) (*calib.Stats, error){nil, of} {
		v, err := Permuted(c, pruning.Group{N: 2, M: 4}, stats, 2)
		if err != nil {
			t.Fatal(err)
		}
		tokens := [][]int32{{1, 7, 300, 2, 90, 41, 511}}
		a, b := load(t, c), load(t, v)
		want, got := a.Logits(a.Forward(tokens)), b.Logits(b.Forward(tokens))
		var far, size float64
		for i, x := range want.Data {
			far, size = max(far, math.Abs(float64(x-got.Data[i]))), max(size, math.Abs(float64(x)))
		}
		if far > 1e-5*size {
			t.Errorf("logits differ by %g of %g", far, size)
		}
		const down = "model.layers.1.mlp.down_proj.weight"
		if before, after := kept(t, c, down), kept(t, v, down); stats == nil && after <= before {
			t.Errorf("2:4 keeps %g of the down projection, %g before", after, before)
		}
	}
}

// kept returns the sum of magnitudes that 2:4 keeps of a weight.
func kept(t *testing.T, c *checkpoint.Checkpoint, name string) (sum float64) {
	t.Helper()
	w := read(t, c, name)
	in := &pruning.Inputs{Cols: w.Cols}
	score, _ := pruning.Magnitude{}.Scores(in, w.Rows)
	g := pruning.Group{N: 2, M: 4}
	task := pruning.NewTask(w, in, score, g, g.Kept(w.Rows, w.Cols))
	pruning.Zero{}.Solve(task)
	for _, v := range task.Values.Data {
		sum += math.Abs(float64(v))
	}
	return sum
}
