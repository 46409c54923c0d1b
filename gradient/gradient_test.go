package gradient

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/model"
	"pith/tensor"
)

func openTiny(t *testing.T, name string) (*checkpoint.Checkpoint, model.Config) {
	t.Helper()
	ckpt, err := checkpoint.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ckpt.Close() })
	c, err := ckpt.Config()
	if err != nil {
		t.Fatal(err)
	}
	return ckpt, c
}

type golden struct {
	Windows    [][]int32
	Loss       float64
	Rows, Cols map[string][]float64
}

func readGolden(t *testing.T, name string) (g golden) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name, "golden.json"))
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// far returns by how much of the largest the sums differ at most.
func far(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var top, d float64
	for i, v := range want {
		top, d = max(top, v), max(d, math.Abs(v-got[i]))
	}
	return d / top
}

func TestSquaredGradientsAreThoseOfTorch(t *testing.T) {
	for _, name := range []string{"llama", "mistral"} {
		ckpt, c := openTiny(t, name)
		g := readGolden(t, name)
		r, err := Fisher(context.Background(), c, ckpt, g.Windows, Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Loss-g.Loss) > 1e-5*g.Loss {
			t.Errorf("%s: loss %v, torch finds %v", name, r.Loss, g.Loss)
		}
		if len(r.Fisher) != len(g.Rows) {
			t.Errorf("%s: sums of %d weights, torch has %d", name, len(r.Fisher), len(g.Rows))
		}
		for weight, rows := range g.Rows {
			f := r.Fisher[weight]
			if f == nil {
				t.Errorf("%s: no sums of %s", name, weight)
				continue
			}
			// Gradients in float32 of sums of at most a hundred products.
			if d := max(far(f.Rows, rows), far(f.Cols, g.Cols[weight])); d > 2e-5 {
				t.Errorf("%s: %s differs by %g of the largest sum", name, weight, d)
			}
		}
	}
}

// moved is a checkpoint one of whose weights is another.
type moved struct {
	model.Weights
	name string
	to   *codec.Weight
}

func (m moved) Load(name string) (*codec.Weight, error) {
	if name == m.name {
		return m.to, nil
	}
	return m.Weights.Load(name)
}

func lossOf(t *testing.T, c model.Config, w model.Weights, window []int32) float64 {
	t.Helper()
	n, err := open(c, w, [][]int32{window}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	states, err := n.forward(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	r.Fisher = map[string]*calib.Fisher{}
	if _, err := n.head(context.Background(), states[len(states)-1], &r); err != nil {
		t.Fatal(err)
	}
	return r.Loss
}

// The loss of the network itself, by model's forward pass, changes along a gradient as its length says.
func TestGradientsAreSlopesOfTheLoss(t *testing.T) {
	ckpt, c := openTiny(t, "llama")
	window := readGolden(t, "llama").Windows[0]
	n, err := open(c, ckpt, [][]int32{window}, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	gradients := map[string]tensor.Mat{}
	n.seen = func(_ int, weight string, g tensor.Mat) { gradients[weight] = g }
	if _, err := n.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for weight, g := range gradients {
		w, err := ckpt.Load(weight)
		if err != nil {
			t.Fatal(err)
		}
		at := tensor.NewMat(w.Rows, w.Cols)
		w.ReadRows(at, 0)
		direction := make([]float64, len(g.Data)) // along the gradient, and aside
		var length, slope float64
		for i, v := range g.Data {
			length += float64(v) * float64(v)
			direction[i] = float64(v)
		}
		for i := range direction {
			direction[i] = direction[i]/math.Sqrt(length) + 0.3*rng.NormFloat64()/math.Sqrt(float64(len(direction)))
			slope += direction[i] * float64(g.Data[i])
		}
		const h = 1.0 / 256
		var losses [2]float64
		for side := range losses {
			to := tensor.NewMat(w.Rows, w.Cols)
			for i, v := range at.Data {
				to.Data[i] = v + float32(h*float64(2*side-1)*direction[i])
			}
			losses[side] = lossOf(t, c, moved{ckpt, weight, denseWeight(t, weight, to)}, window)
		}
		// Third derivatives times h², and rounding of the loss over h.
		if got := (losses[1] - losses[0]) / (2 * h); math.Abs(got-slope) > 2e-3*math.Sqrt(length)+2e-4 {
			t.Errorf("%s: the loss changes by %v, the gradient says %v", weight, got, slope)
		}
	}
}

func denseWeight(t *testing.T, name string, m tensor.Mat) *codec.Weight {
	t.Helper()
	data := make([]byte, 4*len(m.Data))
	tensor.Encode(data, tensor.F32, m.Data)
	term, err := codec.Dense(name, tensor.F32, m.Rows, m.Cols, data)
	if err != nil {
		t.Fatal(err)
	}
	return &codec.Weight{Name: name, Rows: m.Rows, Cols: m.Cols, Terms: []codec.Term{term}}
}

func TestSumsDependOnNothingElse(t *testing.T) {
	ckpt, c := openTiny(t, "mistral")
	windows := readGolden(t, "mistral").Windows
	one, err := Fisher(context.Background(), c, ckpt, windows, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var last, total int64
	four, err := Fisher(context.Background(), c, ckpt, windows, Options{Workers: 4, Progress: func(done, all int64) {
		mu.Lock()
		defer mu.Unlock()
		if done < last {
			t.Errorf("progress from %d to %d", last, done)
		}
		last, total = done, all
	}})
	if err != nil || !reflect.DeepEqual(one, four) {
		t.Errorf("other sums with four workers (%v)", err)
	}
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
}

func TestWhatCannotBeDifferentiatedIsAnError(t *testing.T) {
	ckpt, c := openTiny(t, "llama")
	if _, err := Fisher(context.Background(), c, ckpt, nil, Options{}); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("no windows: %v", err)
	}
	if _, err := Fisher(context.Background(), c, ckpt, [][]int32{{1}}, Options{}); err == nil || !strings.Contains(err.Error(), "needs two") {
		t.Errorf("one token: %v", err)
	}
	if _, err := Fisher(context.Background(), c, ckpt, [][]int32{{1, 99}}, Options{}); err == nil {
		t.Error("a token that is not there: no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Fisher(ctx, c, ckpt, [][]int32{{1, 2}}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	c.PostNorms = true
	if err := Supports(c); err == nil || !strings.Contains(err.Error(), "llama") {
		t.Errorf("other norms: %v", err)
	}
}
