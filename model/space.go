package model

import (
	"iter"
	"sync"
	"unsafe"

	"pith/codec"
	"pith/tensor"
)

// workspace holds the intermediate results of a pass, to be used again by the next: the activations, beside what sessions keep of keys
// and values. Results that do not live at the same time share memory.
type workspace struct {
	x    []float32      // the residual stream
	h    []float32      // its norm; then what heads attended to; of an MLP its norm, then the sum to be normed
	wide []float32      // queries, keys and values; the sum to be normed; of an MLP what down multiplies
	att  []float32      // what heads attended to where norms outlive them (ParallelResidual)
	kept [5]codec.Input // other forms of the inputs of qkv, out, up, down, shortcuts; the head takes the first
	rooms
	stages codec.Stages
	tasks  []task
}

// promptRows bounds the tokens of a prompt that go through the network at once, mlpRows the rows that go through an MLP at once.
const (
	promptRows = 512
	mlpRows    = 1024
)

// rows is a range [r0, r1) of rows.
type rows struct{ r0, r1 int }

// tilesOf cuts n rows into as few tiles of at most limit rows as there can be, of nearly equal size: products of few rows are computed otherwise
// than those of many, and less efficiently.
func tilesOf(n, limit int) iter.Seq[rows] {
	return func(yield func(rows) bool) {
		if n == 0 {
			return
		}
		tiles := (n + limit - 1) / limit
		for i := range tiles {
			if !yield(rows{i * n / tiles, (i + 1) * n / tiles}) {
				return
			}
		}
	}
}

// mat returns a rows × cols matrix over buf, which grows if need be.
func mat(buf *[]float32, rows, cols int) tensor.Mat {
	if cap(*buf) < rows*cols {
		*buf = make([]float32, rows*cols)
	}
	return tensor.Of(rows, cols, (*buf)[:rows*cols])
}

// attended is where what heads attended to is kept.
func (p pass) attended() *[]float32 {
	if p.config.ParallelResidual {
		return &p.att
	}
	return &p.h
}

func (m *Model) space() *workspace {
	if s, ok := m.spaces.Get().(*workspace); ok {
		return s
	}
	return &workspace{}
}

// bytes returns the memory that a workspace holds.
func (s *workspace) bytes() int64 {
	floats := cap(s.x) + cap(s.h) + cap(s.wide) + cap(s.att) + cap(s.rooms.data)
	n := 4*int64(floats) + int64(cap(s.tasks))*int64(unsafe.Sizeof(task{}))
	for i := range s.kept {
		n += s.kept[i].Bytes()
	}
	return n
}

// rooms are pieces of memory, one for each worker.
type rooms struct {
	mu   sync.Mutex
	data []float32
	each int
	free []int
}

// ready makes rooms of at least each floats. All of them must be free.
func (r *rooms) ready(workers, each int) {
	r.each = each
	if cap(r.data) < workers*each {
		r.data = make([]float32, workers*each)
	}
	r.data, r.free = r.data[:workers*each], r.free[:0]
	for i := range workers {
		r.free = append(r.free, i)
	}
}

// take returns a room, of which there are as many as workers; give must follow.
func (r *rooms) take() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.free) - 1
	room := r.free[last]
	r.free = r.free[:last]
	return room
}

func (r *rooms) give(room int) {
	r.mu.Lock()
	r.free = append(r.free, room)
	r.mu.Unlock()
}

func (r *rooms) of(room int) []float32 {
	return r.data[room*r.each : (room+1)*r.each : (room+1)*r.each]
}

// UnfusedBytes returns what the intermediate results of one layer take if a whole prompt goes through it matrix by matrix: the residual stream,
// its norm, queries with keys and values, what heads attended to, gate with up. It is what ActivationBytes is compared with.
func (m *Model) UnfusedBytes(tokens int) int64 {
	c, l := &m.config, &m.layers[0]
	return 4 * int64(tokens) * int64(2*c.Hidden+l.qkv.rows+c.Heads*c.HeadDim+l.up.rows)
}
