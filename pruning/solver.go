package pruning

import (
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// Solver decides what values the kept elements take, and with it when the selector is asked.
type Solver interface {
	Name() string
	Needs() calib.Need
	// Solve sets t.Mask and t.Values. note says, in a few words, what was done instead and why; empty if the solver ran.
	Solve(t *Task) (note string)
}

// Task is a weight to prune: what is given, and what a solver makes of it.
type Task struct {
	W        tensor.Mat // dense, (rows, cols); stays as it is
	Inputs   *Inputs
	Scorer   Scorer // of Score; nil if nothing but Score is known
	Score    Score
	Selector Selector
	Kept     int64 // how many elements are to stay
	Workers  int

	Mask   *codec.Mask
	Values tensor.Mat // (rows, cols), zero where the mask keeps nothing
}

// NewTask returns a task whose mask keeps nothing yet.
func NewTask(w tensor.Mat, in *Inputs, score Score, s Selector, kept int64) *Task {
	return &Task{W: w, Inputs: in, Score: score, Selector: s, Kept: kept, Workers: in.Workers, Mask: codec.NewMask(w.Rows, w.Cols), Values: tensor.NewMat(w.Rows, w.Cols)}
}

// selectGrain is how many rows are scored at once.
const selectGrain = 64

// choose has the selector decide the stretch of columns c0 … c1 in rows r0 … r1 by the scores of w, whose first row is row r0.
func (t *Task) choose(w tensor.Mat, r0, c0, c1, workers int) {
	scores := tensor.NewMat(w.Rows, c1-c0)
	par.Ranges(workers, w.Rows, selectGrain, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			t.Score(scores.Row(r), w.Row(r)[c0:c1], r0+r, c0)
		}
		if t.Selector.RowWise() {
			t.Selector.Select(t.Mask, r0+lo, c0, scores.Slice(lo, hi), t.Kept)
		}
	})
	if !t.Selector.RowWise() {
		t.Selector.Select(t.Mask, r0, c0, scores, t.Kept)
	}
}

// chooseAll decides all stretches by the scores of w.
func (t *Task) chooseAll(w tensor.Mat) {
	if !t.Selector.RowWise() {
		step := max(1, t.Selector.Stretch(w.Cols))
		for c := 0; c < w.Cols; c += step {
			t.choose(w, 0, c, min(w.Cols, c+step), t.Workers)
		}
		return
	}
	par.Ranges(t.Workers, w.Rows, selectGrain, func(lo, hi int) {
		step := max(1, t.Selector.Stretch(w.Cols))
		for c := 0; c < w.Cols; c += step {
			t.choose(w.Slice(lo, hi), lo, c, min(w.Cols, c+step), 1)
		}
	})
}

// keepDense sets the values to the dense weight's where the mask keeps them.
func (t *Task) keepDense() {
	par.Ranges(t.Workers, t.W.Rows, selectGrain, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			copy(t.Values.Row(r), t.W.Row(r))
		}
		t.Mask.Slice(lo, hi).Apply(t.Values.Slice(lo, hi))
	})
}
