package codec

import (
	"sync"

	"pith/kernels"
	"pith/tensor"
)

// Input is a batch of activations, one row per token, together with the int8 form that packed kernels multiply by. The int8
// form is made once, on first use, and shared by all terms and workers that read the same input (q/k/v, gate/up).
type Input struct {
	X    tensor.Mat
	once sync.Once
	q8   []kernels.Q8
}

// NewInput wraps x (tokens, features); x must not change while the input is in use.
func NewInput(x tensor.Mat) *Input { return &Input{X: x} }

// Reset makes in the input of x, with the memory it has. Nobody may be using in.
func (in *Input) Reset(x tensor.Mat) { in.X, in.once = x, sync.Once{} }

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
