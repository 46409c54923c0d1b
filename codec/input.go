package codec

import (
	"slices"
	"sync"

	"pith/kernels"
	"pith/tensor"
)

// Input is a batch of activations, one row per token, together with the forms of it that kernels multiply by: int8, rotated, scaled.
// Each is made once, on first use, and shared by all terms and workers that read the same input (q/k/v, gate/up).
type Input struct {
	X    tensor.Mat
	once sync.Once
	q8   []kernels.Q8

	turn    sync.Once
	rotated *Input

	mu      sync.Mutex
	scaled  []*scaledInput // the first of which are in use, the others kept for their memory
	scaling int            // how many are in use

	products []*productInput // as scaled: the first of which are in use
	multiply int
}

// scaledInput is an input whose features are multiplied by factors.
type scaledInput struct {
	factors []float32
	once    sync.Once
	in      Input
}

// NewInput wraps x (tokens, features); x must not change while the input is in use.
func NewInput(x tensor.Mat) *Input { return &Input{X: x} }

// Reset makes in the input of x, with the memory it has. Nobody may be using in.
func (in *Input) Reset(x tensor.Mat) {
	in.X, in.once, in.turn, in.scaling, in.multiply = x, sync.Once{}, sync.Once{}, 0, 0
}

// Rotated returns the input whose rows are those of X after kernels.Rotate: what terms of rotated codecs multiply by.
func (in *Input) Rotated() *Input {
	in.turn.Do(func() {
		if in.rotated == nil {
			in.rotated = &Input{}
		}
		in.rotated.turned(in.X, kernels.Rotate)
	})
	return in.rotated
}

// turned resets in to a copy of x, in the memory it has, with turn applied to each row.
func (in *Input) turned(x tensor.Mat, turn func([]float32)) {
	buf := in.X.Data
	if n := x.Rows * x.Cols; cap(buf) < n {
		buf = make([]float32, n)
	} else {
		buf = buf[:n]
	}
	m := tensor.Of(x.Rows, x.Cols, buf)
	for t := range m.Rows {
		copy(m.Row(t), x.Row(t))
		turn(m.Row(t))
	}
	in.Reset(m)
}

// Scaled returns the input whose features are those of X times factors, one each, which must not change: the same for equal factors.
func (in *Input) Scaled(factors []float32) *Input {
	s := in.scaledBy(factors)
	s.once.Do(func() {
		s.in.turned(in.X, func(row []float32) {
			for c, f := range factors[:len(row)] {
				row[c] *= f
			}
		})
	})
	return &s.in
}

func (in *Input) scaledBy(factors []float32) *scaledInput {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range in.scaled[:in.scaling] {
		if len(factors) == 0 || &s.factors[0] == &factors[0] || slices.Equal(s.factors, factors) {
			return s
		}
	}
	if in.scaling == len(in.scaled) {
		in.scaled = append(in.scaled, &scaledInput{})
	}
	s := in.scaled[in.scaling]
	in.scaling++
	s.factors, s.once = factors, sync.Once{}
	return s
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

// Bytes returns the memory that the other forms of X take.
func (in *Input) Bytes() int64 {
	var n int64
	for _, q := range in.q8[:cap(in.q8)] {
		n += int64(cap(q.Codes)) + 4*int64(cap(q.Scales)+cap(q.Sums))
	}
	if in.rotated != nil {
		n += in.rotated.ownBytes()
	}
	for _, s := range in.scaled {
		n += s.in.ownBytes()
	}
	for _, p := range in.products {
		n += p.in.ownBytes()
	}
	return n
}

// ownBytes is Bytes of an input that holds X too.
func (in *Input) ownBytes() int64 { return in.Bytes() + 4*int64(cap(in.X.Data)) }
