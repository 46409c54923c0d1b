package model

import (
	"sync"

	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// Model is a loaded network. It is safe for concurrent use; sessions are not.
type Model struct {
	config        Config
	workers       int
	embed         *codec.Weight
	positions     *codec.Weight // nil without learned positions
	layers        []layer
	finalNorm     norm
	head          linear
	global, local rotations
	spaces        sync.Pool
}

type layer struct {
	attnNorm, mlpNorm, postAttn, postMLP norm
	qNorm, kNorm                         norm
	qkv, out, up, down                   linear // qkv: queries, keys, values; up: gate (if any), then up
}

// linear is y = W·x + b, where W's rows may be spread over several weights that read the same input.
type linear struct {
	parts []part
	bias  []float32 // nil: none
	rows  int
}

type part struct {
	w   *codec.Weight
	row int // first row of the linear that w makes
}

// Config returns the configuration the model was made from.
func (m *Model) Config() Config { return m.config }

// MaxTokens returns the longest sequence that the model has positions for; 0 means that nothing but quality limits it.
func (m *Model) MaxTokens() int {
	if m.config.LearnedPositions {
		return m.config.MaxPositions
	}
	return 0
}

func (m *Model) run(n int, f func(i int)) { par.For(m.workers, n, f) }

// rowGrain is how many rows one piece of row-wise work takes.
const rowGrain = 16

// eachRow calls f for every row, in parallel.
func (m *Model) eachRow(rows int, f func(r int)) {
	if rows <= rowGrain {
		for r := range rows {
			f(r)
		}
		return
	}
	m.run((rows+rowGrain-1)/rowGrain, func(i int) {
		for r := i * rowGrain; r < min(rows, (i+1)*rowGrain); r++ {
			f(r)
		}
	})
}

// project computes y = W·x + b for every row of x, or adds that to y.
func (m *Model) project(y, x tensor.Mat, l *linear, add bool) {
	for r := range y.Rows {
		row := y.Row(r)
		switch {
		case !add && l.bias == nil:
			clear(row)
		case !add:
			copy(row, l.bias)
		case l.bias != nil:
			for i, b := range l.bias {
				row[i] += b
			}
		}
	}
	in := codec.NewInput(x)
	grain := min(max((l.rows/(4*m.workers)+31)&^31, 32), 256)
	var chunks [][2]int // part, first row
	for p := range l.parts {
		for r := 0; r < l.parts[p].w.Rows; r += grain {
			chunks = append(chunks, [2]int{p, r})
		}
	}
	m.run(len(chunks), func(i int) {
		p := l.parts[chunks[i][0]]
		r0 := chunks[i][1]
		window := tensor.Mat{Rows: y.Rows, Cols: p.w.Rows, Stride: y.Stride, Data: y.Data[p.row:]}
		p.w.MulAdd(window, in, r0, min(p.w.Rows, r0+grain))
	})
}
