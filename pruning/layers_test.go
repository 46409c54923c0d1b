package pruning

import (
	"math"
	"math/rand/v2"
	"testing"

	"pith/calib"
	"pith/tensor"
)

// layer is a synthetic weight with the statistics of the inputs that it was fitted to, and of others of the same kind.
type layer struct {
	w          tensor.Mat
	seen, held *calib.Stats
}

// newLayer draws a Gaussian weight, and inputs that are mixtures of sources whose strengths fall like 1/i; features have scales whose logarithms
// spread by sigma.
func newLayer(seed uint64, rows, cols, tokens int, sigma float64) layer {
	rng := rand.New(rand.NewPCG(seed, 4))
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64() * 0.02)
	}
	mix := make([]float64, cols*cols)
	scales := make([]float64, cols)
	for c := range cols {
		scales[c] = math.Exp(sigma * rng.NormFloat64())
		for s := range cols {
			mix[c*cols+s] = rng.NormFloat64() / float64(s+1)
		}
	}
	draw := func() *calib.Stats {
		x := tensor.NewMat(tokens, cols)
		sources := make([]float64, cols)
		for t := range tokens {
			for s := range sources {
				sources[s] = rng.NormFloat64()
			}
			for c := range cols {
				v := 0.3 * rng.NormFloat64()
				for s, a := range mix[c*cols : (c+1)*cols] {
					v += a * sources[s]
				}
				x.Row(t)[c] = float32(v * scales[c])
			}
		}
		stats := calib.NewGram(cols)
		stats.Observe(x)
		return stats
	}
	return layer{w, draw(), draw()}
}

// losses returns x·H·xᵀ of each row of W - Ŵ in float64, added on the diagonal.
func losses(w, got tensor.Mat, s *calib.Stats, added []float64) []float64 {
	out := make([]float64, w.Rows)
	e := make([]float64, w.Cols)
	for r := range out {
		for c := range e {
			e[c] = float64(w.Row(r)[c]) - float64(got.Row(r)[c])
		}
		for i, v := range e {
			if v == 0 {
				continue
			}
			var sum float64
			for j, h := range s.GramRow(i)[:i] {
				sum += e[j] * h
			}
			out[r] += v * (2*sum + v*s.GramRow(i)[i]) / float64(s.Tokens)
			if added != nil {
				out[r] += v * v * added[i]
			}
		}
	}
	return out
}

func total(list []float64) (sum float64) {
	for _, v := range list {
		sum += v
	}
	return sum
}

// relative returns √(tr(E·H·Eᵀ)/tr(W·H·Wᵀ)), the relative error of outputs.
func relative(w, got tensor.Mat, s *calib.Stats) float64 {
	return math.Sqrt(total(losses(w, got, s, nil)) / total(losses(w, tensor.NewMat(w.Rows, w.Cols), s, nil)))
}

// half is the number of elements that stay of a matrix at a sparsity of one half.
func half(rows, cols int) int64 { return int64(rows) * int64(cols-cols/2) }

// keptOf is the number for a selector at one half.
func keptOf(s Selector, rows, cols int) int64 {
	if g, ok := s.(Group); ok {
		return g.Kept(rows, cols)
	}
	return half(rows, cols)
}

// prune solves a layer.
func prune(t testing.TB, l layer, scorer Scorer, selector Selector, solver Solver, workers int) *Task {
	t.Helper()
	in := &Inputs{Stats: l.seen, Cols: l.w.Cols, Workers: workers}
	score, why := scorer.Scores(in, l.w.Rows)
	if why != "" {
		t.Fatal(why)
	}
	task := NewTask(l.w, in, score, selector, keptOf(selector, l.w.Rows, l.w.Cols))
	task.Scorer = scorer
	if note := solver.Solve(task); note != "" {
		t.Fatal(note)
	}
	return task
}

func scorers() []Scorer {
	return []Scorer{Magnitude{}, Wanda{}, OBS{}, OBS{All: true}, PST{}, Random{Seed: 3}}
}

func selectors() []Selector {
	return []Selector{Matrix{}, Row{}, Block{}, Cumulative{}, Group{2, 4}, Group{4, 8}, Group{1, 3}, Group{7, 64}, Group{5, 7}}
}

func solvers() []Solver {
	return []Solver{Zero{}, Sequential{}, Refit{Mask: Zero{}}, Refit{Mask: Sequential{}}, Refit{Mask: Zero{}, Most: 1}, Gradual{}}
}

// checkMask wants the exact counts of the selector, and zeros just where the mask prunes (weights are never zero).
func checkMask(t *testing.T, what string, s Selector, task *Task) {
	t.Helper()
	rows, cols := task.W.Rows, task.W.Cols
	if got := task.Mask.Count(); got != task.Kept {
		t.Fatalf("%s: %d elements stay, want %d", what, got, task.Kept)
	}
	for r := range rows {
		if _, ok := s.(Row); ok && task.Mask.RowCount(r) != cols-cols/2 {
			t.Fatalf("%s: row %d keeps %d of %d", what, r, task.Mask.RowCount(r), cols)
		}
		for c, v := range task.Values.Row(r) {
			if !task.Mask.Kept(r, c) && math.Float32bits(v) != 0 {
				t.Fatalf("%s: pruned element (%d, %d) is %g", what, r, c, v)
			}
		}
	}
	count := func(r0, r1, c0, c1 int) (n int) {
		for r := r0; r < r1; r++ {
			for c := c0; c < c1; c++ {
				if task.Mask.Kept(r, c) {
					n++
				}
			}
		}
		return n
	}
	switch s := s.(type) {
	case Block:
		for c := 0; c < cols; c += 128 {
			end := min(cols, c+128)
			want := float64(task.Kept) * float64(end-c) / float64(cols)
			if got := float64(count(0, rows, c, end)); math.Abs(got-want) >= 1 {
				t.Fatalf("%s: the block at %d keeps %g, want %g", what, c, got, want)
			}
		}
	case Group:
		for r := range rows {
			for c := 0; c < cols; c += s.M {
				k := min(s.M, cols-c)
				if got, want := count(r, r+1, c, c+k), (s.N*k+s.M-1)/s.M; got != want {
					t.Fatalf("%s: row %d keeps %d of columns %d…%d, want %d", what, r, got, c, c+k, want)
				}
			}
		}
	}
}
