package codec

import (
	"sync"

	"pith/kernels"
	"pith/tensor"
)

// Input is a batch of activations, one row per token, together with the forms of it that kernels multiply by: int8, and rotated.
// Each is made once, on first use, and shared by all terms and workers that read the same input (q/k/v, gate/up).
type Input struct {
	X    tensor.Mat
	once sync.Once
	q8   []kernels.Q8

	turn    sync.Once
	rotated *Input
}

// NewInput wraps x (tokens, features); x must not change while the input is in use.
func NewInput(x tensor.Mat) *Input { return &Input{X: x} }

// Reset makes in the input of x, with the memory it has. Nobody may be using in.
func (in *Input) Reset(x tensor.Mat) { in.X, in.once, in.turn = x, sync.Once{}, sync.Once{} }

// Rotated returns the input whose rows are those of X after kernels.Rotate: what terms of rotated codecs multiply by.
func (in *Input) Rotated() *Input {
	in.turn.Do(func() {
		if in.rotated == nil {
			in.rotated = &Input{}
		}
		x := in.rotated.X.Data
		if n := in.X.Rows * in.X.Cols; cap(x) < n {
			x = make([]float32, n)
		} else {
			x = x[:n]
		}
		m := tensor.Of(in.X.Rows, in.X.Cols, x)
		for t := range m.Rows {
			copy(m.Row(t), in.X.Row(t))
			kernels.Rotate(m.Row(t))
		}
		in.rotated.Reset(m)
	})
	return in.rotated
}

// Q8 returns each row of X in blocks of 32 int8 codes with one scale each (kernels.QuantizeQ8).
func (in *Input) Q8() []kernels.Q8 {
	in.once.Do(func() {
		if cap(in.q8) < in.X.Rows {
			in.q8 = make([]kernels.Q8, in.X.Rows)
		}
		in.q8 = in.q8[:in.X.Rows]
		for t := range in.q8 {
			kernels.QuantizeQ8Into(&in.q8[t], in.X.Row(t))
		}
	})
	return in.q8
}
