package approx

import (
	"context"

	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

// Members are the weights of a set, which will have something in common: what a Sharer stores once. Each is then solved with that
// (Problem.Shared), with its own statistics.
type Members struct {
	Names   []string
	W       []tensor.Mat
	Stats   []*calib.Stats // of each one's input, nil where there are none
	Workers int
	Context context.Context // may be nil
}

// Sharer finds what the members of a set have in common.
type Sharer interface {
	Name() string
	Needs() calib.Need
	// Share returns the terms to be stored for all members, and in a few words what statistics it did without; "" if it had all.
	Share(m Members) (shared []codec.Term, note string, err error)
}

// Err returns why Share should stop, nil as long as it should not.
func (m Members) Err() error {
	if m.Context == nil {
		return nil
	}
	return m.Context.Err()
}
