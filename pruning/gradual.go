package pruning

import (
	"math"

	"pith/calib"
	"pith/codec"
)

// Gradual prunes in steps of rising sparsity (Cubic) and refits what stays after each: the next elements to go are those that have become
// unimportant. What was pruned stays pruned.
type Gradual struct{ Steps int } // 0 means 8

// gradualSteps is the default number of steps.
const gradualSteps = 8

// Name returns "gradual".
func (Gradual) Name() string { return "gradual" }

// Needs returns calib.Gram.
func (Gradual) Needs() calib.Need { return calib.Gram }

// Solve prunes at once, without updates, if there is no curvature. Patterns N:M go from M of M to N of M by the schedule, rounded up.
func (s Gradual) Solve(t *Task) string {
	f, why := t.Inputs.Curvature()
	if why != "" {
		Zero{}.Solve(t)
		return "pruned without updates: " + why
	}
	steps := s.Steps
	if steps == 0 {
		steps = gradualSteps
	}
	all := int64(t.W.Rows) * int64(t.W.Cols)
	schedule := Cubic{Final: 1, Steps: steps}
	selector, score, final := t.Selector, t.Score, t.Kept
	for r := range t.W.Rows {
		copy(t.Values.Row(r), t.W.Row(r))
	}
	var before *codec.Mask // nil: everything stays
	for step := 1; step <= steps && !t.Inputs.stopped(); step++ {
		done := schedule.At(step)
		t.Kept = all - int64(done*float64(all-final))
		if g, ok := selector.(Group); ok {
			n := g.N + int(math.Ceil((1-done)*float64(g.M-g.N)))
			if n == g.M || t.Selector == (Group{n, g.M}) && before != nil {
				continue
			}
			t.Selector = Group{n, g.M}
			t.Kept = Group{n, g.M}.Kept(t.W.Rows, t.W.Cols)
		}
		if before != nil {
			earlier := before
			t.Score = func(dst, w []float32, row, col int) {
				score(dst, w, row, col)
				for i := range dst {
					if !earlier.Kept(row, col+i) {
						dst[i] = float32(math.Inf(-1))
					}
				}
			}
		}
		t.chooseAll(t.Values)
		t.keepDense()
		Refit{Mask: Zero{}}.fit(t, f)
		before = t.Mask.Clone()
	}
	t.Selector, t.Score, t.Kept = selector, score, final
	return ""
}
