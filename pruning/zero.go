package pruning

import "pith/calib"

// Zero leaves kept elements as they are: magnitude pruning and Wanda.
type Zero struct{}

// Name returns "zero".
func (Zero) Name() string { return "zero" }

// Needs returns calib.Nothing.
func (Zero) Needs() calib.Need { return calib.Nothing }

// Solve always runs.
func (Zero) Solve(t *Task) string {
	t.chooseAll(t.W)
	t.keepDense()
	return ""
}
