package pruning

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

func TestAnyScorerGoesWithAnySelectorAndSolver(t *testing.T) {
	for _, cols := range []int{1, 37, 131} {
		l := newLayer(uint64(cols), 9, cols, 3*cols+2, 0.5)
		for _, scorer := range scorers() {
			for _, selector := range selectors() {
				for _, solver := range solvers() {
					what := fmt.Sprintf("%d columns, %s %s %s", cols, scorer.Name(), selector.Name(), solver.Name())
					task := prune(t, l, scorer, selector, solver, 1)
					checkMask(t, what, selector, task)
					other := prune(t, l, scorer, selector, solver, 3)
					if !slices.Equal(task.Mask.Bits, other.Mask.Bits) || !sameBits(task.Values.Data, other.Values.Data) {
						t.Fatalf("%s: the result depends on workers", what)
					}
				}
			}
		}
	}
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestMagnitudeAndWandaLeaveWhatTheyKeepAsItIs(t *testing.T) {
	l := newLayer(1, 33, 200, 700, 1)
	l.w.Row(2)[5] = float32(math.Copysign(0, -1))
	for _, scorer := range []Scorer{Magnitude{}, Wanda{}} {
		for _, selector := range selectors() {
			task := prune(t, l, scorer, selector, Zero{}, 2)
			for r := range l.w.Rows {
				for c, v := range l.w.Row(r) {
					got := task.Values.Row(r)[c]
					if task.Mask.Kept(r, c) && math.Float32bits(got) != math.Float32bits(v) {
						t.Fatalf("%s %s: element (%d, %d) is %g, was %g", scorer.Name(), selector.Name(), r, c, got, v)
					}
				}
			}
		}
	}
}

func TestWhatStaysScoresHighest(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	scores := tensor.NewMat(40, 150)
	for i := range scores.Data { // many ties
		scores.Data[i] = float32(rng.IntN(30)) - 5
	}
	type element struct {
		score float32
		at    int
	}
	for _, kept := range []int64{0, 1, 2999, 3000, 5999, 6000} {
		m := codec.NewMask(40, 150)
		Matrix{}.Select(m, 0, 0, scores, kept)
		var list []element
		for i, v := range scores.Data {
			list = append(list, element{v, i})
		}
		slices.SortStableFunc(list, func(a, b element) int { return int(a.score - b.score) })
		for i, e := range list {
			if want := i >= len(list)-int(kept); m.Kept(e.at/150, e.at%150) != want {
				t.Fatalf("%d kept: element %d, number %d from below, stays: %t", kept, e.at, i, !want)
			}
		}
	}
}

func TestEqualScoresArePrunedInTheirOrder(t *testing.T) {
	scores := tensor.NewMat(3, 8)
	for _, s := range []Selector{Matrix{}, Row{}, Block{}, Cumulative{}, Group{1, 2}} {
		m := codec.NewMask(3, 8)
		step := min(8, s.Stretch(8))
		for c := 0; c < 8; c += step {
			s.Select(m, 0, c, tensor.Of(3, step, scores.Data[:3*step]), 12)
		}
		for r := range 3 {
			for c := range 8 {
				want := r*8+c >= 12 // the whole matrix
				switch s.(type) {
				case Row:
					want = c >= 4
				case Group:
					want = c%2 == 1
				}
				if m.Kept(r, c) != want {
					t.Errorf("%s: element (%d, %d) stays: %t", s.Name(), r, c, !want)
				}
			}
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	for _, c := range []struct {
		total int64
		count int
	}{{0, 3}, {7, 3}, {1 << 50, 7}, {math.MaxInt64 / 2, 1000}, {1001, 1000}} {
		var sum int64
		for i := range c.count {
			n := int64(share(c.total, i, i+1, c.count))
			if low := c.total / int64(c.count); n < low || n > low+1 {
				t.Fatalf("part %d of %d/%d is %d", i, c.total, c.count, n)
			}
			sum += n
		}
		if sum != c.total {
			t.Errorf("parts of %d/%d add up to %d", c.total, c.count, sum)
		}
	}
}

func TestCumulativeTakesTheSameShareOfEveryRow(t *testing.T) {
	l := newLayer(2, 30, 128, 400, 1)
	for c := range l.w.Row(0) {
		l.w.Row(3)[c] *= 20 // a row's scale is of no account
	}
	task := prune(t, l, Wanda{}, Cumulative{}, Zero{}, 1)
	score, _ := Wanda{}.Scores(task.Inputs, 30)
	var low, high float64 = 1, 0 // of what went: the largest share, and of what would have gone next: the least
	buf := make([]float32, 128)
	for r := range 30 {
		score(buf, l.w.Row(r), r, 0)
		var gone, all float64
		next := math.Inf(1)
		for c, v := range buf {
			all += float64(v)
			if !task.Mask.Kept(r, c) {
				gone += float64(v)
			} else {
				next = min(next, float64(v))
			}
		}
		high, low = max(high, gone/all), min(low, (gone+next)/all)
	}
	if high > low+1e-6 {
		t.Errorf("a row lost %g of its scores, and another could have lost %g", high, low)
	}
}

func TestImportanceIsMagnitudeWhereTrainingStarts(t *testing.T) { // H9
	l := newLayer(3, 20, 96, 300, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	start := PST{A: tensor.NewMat(20, 8), B: tensor.NewMat(8, 96), R: make([]float32, 20), C: make([]float32, 96), Alpha1: 1, Alpha2: 1}
	for i := range start.A.Data {
		start.A.Data[i] = float32(rng.NormFloat64())
	}
	for _, selector := range selectors() {
		want := prune(t, l, Magnitude{}, selector, Zero{}, 1)
		for _, s := range []PST{{}, start} {
			if got := prune(t, l, s, selector, Zero{}, 1); !slices.Equal(got.Mask.Bits, want.Mask.Bits) {
				t.Errorf("%s: not magnitude's mask", selector.Name())
			}
		}
	}
	start.C[7], start.R[3] = 5, 9
	for k := range 8 {
		start.B.Row(k)[11] = 4
	}
	score, _ := start.Scores(&Inputs{Cols: 96}, 20)
	got := make([]float32, 1)
	score(got, []float32{-2}, 3, 7)
	if got[0] != 16 {
		t.Errorf("the score is %g, want |w| + R + C = 16", got[0])
	}
	score(got, []float32{0}, 0, 11)
	var want float32
	for _, a := range start.A.Row(0) {
		want += a * 4
	}
	if math.Abs(float64(got[0]-want)) > 1e-5 {
		t.Errorf("the score is %g, want A·B = %g", got[0], want)
	}
}

func TestRefitIsTheBestForItsMask(t *testing.T) { // H3
	for seed := range uint64(6) {
		l := newLayer(10+seed, 48, 160, 700, 0.5*float64(seed%3))
		for _, scorer := range []Scorer{Wanda{}, OBS{}} {
			for _, selector := range []Selector{Row{}, Block{}, Group{2, 4}} {
				solved := prune(t, l, scorer, selector, Sequential{}, 2)
				f, _ := solved.Inputs.Curvature()
				bare, refit, gradient := NewTask(l.w, solved.Inputs, nil, selector, solved.Kept), NewTask(l.w, solved.Inputs, nil, selector, solved.Kept), NewTask(l.w, solved.Inputs, nil, selector, solved.Kept)
				for _, task := range []*Task{bare, refit, gradient} {
					task.Mask = solved.Mask
					task.keepDense()
				}
				Refit{}.fit(refit, f)
				Refit{Most: 1}.fit(gradient, f)
				a, b := losses(l.w, bare.Values, l.seen, f.Added), losses(l.w, solved.Values, l.seen, f.Added)
				best, near := losses(l.w, refit.Values, l.seen, f.Added), losses(l.w, gradient.Values, l.seen, f.Added)
				what := fmt.Sprintf("seed %d %s %s", seed, scorer.Name(), selector.Name())
				for r, v := range best {
					if v > a[r]*(1+1e-6) || v > b[r]*(1+1e-6) {
						t.Fatalf("%s: row %d loses %g refitted, %g bare, %g after updates", what, r, v, a[r], b[r])
					}
					if near[r] > v*(1+1e-4) || near[r] < v*(1-1e-4) {
						t.Fatalf("%s: row %d loses %g by gradients, %g by the factor", what, r, near[r], v)
					}
				}
				if total(b) > total(a) {
					t.Errorf("%s: updates lose %g, pruning alone %g", what, total(b), total(a))
				}
			}
		}
	}
}

// The refitted values are a minimum: the slope of the loss is zero in every kept element.
func TestRefitLeavesNoSlope(t *testing.T) {
	l := newLayer(20, 12, 90, 300, 1)
	task := prune(t, l, Wanda{}, Group{2, 4}, Refit{Mask: Zero{}}, 1)
	f, _ := task.Inputs.Curvature()
	h := damped(task.Inputs, f)
	for r := range 12 {
		for c := range 90 {
			if !task.Mask.Kept(r, c) {
				continue
			}
			var slope, size float64
			for j, v := range h.Row(c) {
				e := float64(l.w.Row(r)[j]) - float64(task.Values.Row(r)[j])
				slope += v * e
				size += math.Abs(v) * (math.Abs(e) + math.Abs(float64(l.w.Row(r)[j])))
			}
			if math.Abs(slope) > 1e-6*size {
				t.Fatalf("element (%d, %d): the slope is %g of %g", r, c, slope, size)
			}
		}
	}
}

func TestUpdatesWithoutCorrelationChangeNothing(t *testing.T) {
	l := newLayer(21, 16, 140, 10, 0)
	l.seen = calib.NewGram(140)
	l.seen.Tokens = 10
	for j := range 140 {
		l.seen.GramRow(j)[j], l.seen.SqSum[j] = 10, 10
	}
	for _, solver := range solvers() {
		for _, selector := range selectors() {
			if solver == (Gradual{}) && selector == (Cumulative{}) {
				continue // shares of what is left are others
			}
			want := prune(t, l, Magnitude{}, selector, Zero{}, 1)
			for _, scorer := range []Scorer{Magnitude{}, Wanda{}, OBS{}, OBS{All: true}} {
				got := prune(t, l, scorer, selector, solver, 1)
				if !slices.Equal(got.Mask.Bits, want.Mask.Bits) || !sameBits(got.Values.Data, want.Values.Data) {
					t.Errorf("%s %s %s: not magnitude's result", scorer.Name(), selector.Name(), solver.Name())
				}
			}
		}
	}
}

// SparseGPT as its paper and code have it, on the columns in reverse and in float64: U = chol(H⁻¹)ᵀ, scores w²/U_jj² of a block at its start,
// errors w/U_jj fed to all columns behind.
func TestSequentialIsThePapersAlgorithm(t *testing.T) {
	l := newLayer(22, 24, 300, 1500, 0.7)
	for _, selector := range []Selector{Block{}, Group{2, 4}, Group{4, 8}} {
		task := prune(t, l, OBS{}, selector, Sequential{}, 2)
		f, _ := task.Inputs.Curvature()
		mask, values := reference(l, damped(task.Inputs, f), selector, task.Kept)
		differ := 0
		for r := range 24 {
			for c := range 300 {
				if mask.Kept(r, c) != task.Mask.Kept(r, c) {
					differ++
				}
			}
		}
		if differ > 8 { // a few scores are equal but for rounding
			t.Errorf("%s: %d elements of the mask differ from the paper's", selector.Name(), differ)
		}
		if got, want := total(losses(l.w, task.Values, l.seen, f.Added)), total(losses(l.w, values, l.seen, f.Added)); math.Abs(got/want-1) > 1e-3 {
			t.Errorf("%s: the loss is %g, the paper's %g", selector.Name(), got, want)
		}
	}
}

func TestDeadInputsArePrunedFirst(t *testing.T) {
	l := newLayer(23, 10, 64, 300, 1)
	for j := range 64 {
		if j%3 != 0 {
			continue
		}
		l.seen.SqSum[j] = 0
		for i := range 64 {
			l.seen.GramRow(max(i, j))[min(i, j)] = 0
		}
	}
	for _, scorer := range []Scorer{Wanda{}, OBS{}, OBS{All: true}} {
		for _, selector := range []Selector{Row{}, Matrix{}, Block{}, Cumulative{}} {
			for _, solver := range solvers() {
				task := prune(t, l, scorer, selector, solver, 1)
				for r := range 10 {
					for j := 0; j < 64; j += 3 {
						if task.Mask.Kept(r, j) {
							t.Fatalf("%s %s %s: element (%d, %d) of a dead input stays", scorer.Name(), selector.Name(), solver.Name(), r, j)
						}
					}
				}
			}
		}
	}
}

func TestUnusableStatisticsAreSaid(t *testing.T) {
	l := newLayer(24, 10, 64, 300, 1)
	bad := calib.NewGram(64)
	bad.Tokens = 5
	for _, stats := range []*calib.Stats{nil, calib.NewStats(64), bad} {
		in := &Inputs{Stats: stats, Cols: 64}
		if _, why := (OBS{}).Scores(in, 10); why == "" {
			t.Errorf("scores of %v", stats.Holds())
		}
		score, _ := Magnitude{}.Scores(in, 10)
		for _, solver := range solvers()[1:] {
			task := NewTask(l.w, in, score, Row{}, half(10, 64))
			if solver.Solve(task) == "" {
				t.Errorf("%s solved with %v", solver.Name(), stats.Holds())
			}
			checkMask(t, solver.Name(), Row{}, task)
		}
	}
}

// Scores of what stays are those of the optimal brain surgeon in the row's kept elements: the least loss without one of them, others refitted.
func TestNarrowedScoresAreLossesWithoutTheElement(t *testing.T) {
	l := newLayer(25, 3, 40, 200, 0.5)
	task := prune(t, l, Wanda{}, Row{}, Refit{Mask: Zero{}}, 1)
	f, _ := task.Inputs.Curvature()
	score := OBS{All: true}.narrow(task, f)
	base := losses(l.w, task.Values, l.seen, f.Added)
	got := make([]float32, 40)
	for r := range 3 {
		score(got, task.Values.Row(r), r, 0)
		for c := range 40 {
			if !task.Mask.Kept(r, c) {
				continue
			}
			less := NewTask(l.w, task.Inputs, nil, Row{}, 0)
			less.Mask = task.Mask.Clone()
			less.Mask.Set(r, c, false)
			less.keepDense()
			Refit{}.fit(less, f)
			want := losses(l.w, less.Values, l.seen, f.Added)[r] - base[r]
			if v := float64(got[c]) * float64(got[c]); math.Abs(v-want) > 1e-4*(want+base[r]) {
				t.Fatalf("element (%d, %d) scores %g², the loss grows by %g", r, c, got[c], want)
			}
		}
	}
}

func TestCubicScheduleGoesFromItsFirstToItsLastSparsity(t *testing.T) {
	s := Cubic{Initial: 0.2, Final: 0.8, Steps: 100, Hold: 10, Settle: 20}
	last := 0.0
	for step := range 101 {
		v := s.At(step)
		if v < last {
			t.Fatalf("step %d falls to %g", step, v)
		}
		last = v
	}
	for step, want := range map[int]float64{0: 0.2, 10: 0.2, 45: 0.8 - 0.6/8, 80: 0.8, 100: 0.8} {
		if got := s.At(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %g, want %g", step, got, want)
		}
	}
}
