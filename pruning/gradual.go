package pruning

import (
	"math"

	"pith/calib"
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// Gradual prunes in steps of rising sparsity (Cubic) and refits what stays after each: the next elements to go are those that have become
// unimportant. What was pruned stays pruned. With the scorer obs-all it is the optimal brain surgeon with (H_KK)⁻¹ of what stays in each row
// (Frantar, Singh and Alistarh 2022, Optimal Brain Compression, arXiv 2208.11580), many elements at a time.
type Gradual struct{ Steps int } // 0 means 8

// gradualSteps is the default number of steps.
const gradualSteps = 8

// Name returns "gradual".
func (Gradual) Name() string { return "gradual" }

// Needs returns calib.Gram.
func (Gradual) Needs() calib.Need { return calib.Gram }

// narrowing is a Scorer whose scores depend on what others stay. Narrow returns them for what t's mask keeps.
type narrowing interface {
	narrow(t *Task, f *linalg.Curvature) Score
}

// Solve prunes at once, without updates, if there is no curvature.
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
	work := *t
	for r := range t.W.Rows {
		copy(t.Values.Row(r), t.W.Row(r))
	}
	all := int64(t.W.Rows) * int64(t.W.Cols)
	schedule := Cubic{Final: 1, Steps: steps}
	for step := 1; step <= steps && !t.Inputs.stopped(); step++ {
		if step < steps {
			work.Kept = all - int64(schedule.At(step)*float64(all-t.Kept))
			if rows := int64(t.W.Rows); t.Selector.RowWise() && rows > 0 { // equally many of each row, so that tiles of rows give the whole
				work.Kept = (work.Kept + rows - 1) / rows * rows
			}
			if g, ok := t.Selector.(Group); ok {
				work.Selector = towards{g}
			}
		} else {
			work.Kept, work.Selector = t.Kept, t.Selector
		}
		work.chooseAll(t.Values)
		work.keepDense()
		Refit{Mask: Zero{}}.fit(&work, f)
		if step == steps {
			break
		}
		score := t.Score
		if n, ok := t.Scorer.(narrowing); ok {
			score = n.narrow(&work, f)
		}
		work.Score = without(score, t.Mask.Clone())
	}
	return ""
}

// without returns scores below all others for what a mask prunes.
func without(score Score, m *codec.Mask) Score {
	return func(dst, w []float32, row, col int) {
		score(dst, w, row, col)
		for i := range dst {
			if !m.Kept(row, col+i) {
				dst[i] = float32(math.Inf(-1))
			}
		}
	}
}

// towards selects row by row on the way to a pattern: no group loses more than the pattern takes.
type towards struct{ g Group }

func (towards) Name() string         { return "towards a pattern" }
func (towards) Stretch(cols int) int { return cols }
func (towards) RowWise() bool        { return true }

func (s towards) Select(m *codec.Mask, r0, c0 int, scores tensor.Mat, kept int64) {
	raised := tensor.NewMat(1, scores.Cols)
	var keys []uint64
	for r := range scores.Rows {
		row := raised.Row(0)
		copy(row, scores.Row(r))
		for at := 0; at < len(row); at += s.g.M {
			members := row[at:min(len(row), at+s.g.M)]
			keepers(members, s.g.of(len(members)))
		}
		keys = keepOfRow(m, r0+r, c0, row, share(kept, r0+r, r0+r+1, m.Rows), keys)
	}
}

// keepers sets the highest of scores to +∞, of equal ones the last.
func keepers(scores []float32, count int) {
	for range count {
		best := -1
		for i, v := range scores {
			if !math.IsInf(float64(v), 1) && (best < 0 || v >= scores[best]) {
				best = i
			}
		}
		scores[best] = float32(math.Inf(1))
	}
}
