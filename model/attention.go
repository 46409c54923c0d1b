package model

import (
	"pith/kernels"
	"pith/tensor"
)

// queryBlock is how many queries of a head are multiplied by its keys at once.
const queryBlock = 64

// heads says where query, key and value heads begin within a row of qkv.
type heads struct{ q, qStep, k, kStep, v, vStep int }

func (c *Config) heads() heads {
	d := c.HeadDim
	if c.arch.qkvPerHead {
		return heads{0, 3 * d, d, 3 * d, 2 * d, 3 * d}
	}
	return heads{0, d, c.Heads * d, d, (c.Heads + c.KVHeads) * d, d}
}

// prepareHeads norms (if the architecture does), rotates and scales queries and keys, and stores keys and values in the cache.
func (p pass) prepareHeads(qkv tensor.Mat, index int) {
	l, c := &p.Model.layers[index], &p.config
	at, d := c.heads(), c.HeadDim
	scale := float32(c.QueryScale)
	if c.ScaleByLayer {
		scale /= float32(index + 1)
	}
	for _, s := range p.spans {
		turn := s.global
		if c.Sliding[index] {
			turn = s.local
		}
		p.eachRow(s.n, func(i int) {
			row := qkv.Row(s.row + i)
			var cos, sin []float32
			if turn != nil {
				cos, sin = turn.at(s.pos + i)
			}
			for h := range c.Heads {
				q := row[at.q+h*at.qStep:][:d]
				if c.QKNorm {
					l.qNorm.apply(q, q)
				}
				rotate(q, cos, sin)
				for j := range q {
					q[j] *= scale
				}
			}
			for h := range c.KVHeads {
				k := row[at.k+h*at.kStep:][:d]
				if c.QKNorm {
					l.kNorm.apply(k, k)
				}
				rotate(k, cos, sin)
				if s.cache != nil {
					keys := s.cache.k[index]
					for j, v := range k {
						keys.Data[(h*d+j)*keys.Stride+s.pos+i] = v
					}
					copy(s.cache.v[index].Row(s.pos + i)[h*d:(h+1)*d], row[at.v+h*at.vStep:])
				}
			}
		})
	}
}

// task is the attention of some queries of one key/value head: row i of q has position pos + i·step.
type task struct {
	q, k, v, out                         []float32
	qStride, kStride, vStride, outStride int
	kTransposed                          bool // k is (features, positions), as in the cache
	n, pos, step                         int
}

// attend computes softmax(q·kᵀ)·v of every head, causally and within the layer's window.
func (p pass) attend(att, qkv tensor.Mat, index int) {
	c := &p.config
	window := 0
	if c.Sliding[index] {
		window = c.SlidingWindow
	}
	tasks := p.tasks[:0]
	work := 0
	for _, s := range p.spans {
		tasks = p.split(tasks, att, qkv, s, index)
		work += s.n * (s.pos + s.n) * c.Heads * c.HeadDim
	}
	p.tasks = tasks
	room := 0
	for i := range tasks {
		room = max(room, tasks[i].n*tasks[i].keys(window))
	}
	p.rooms.ready(p.workers, room)
	if work < 1<<16 { // not worth waking anyone
		for i := range tasks {
			p.score(&tasks[i], window)
		}
		return
	}
	p.run(len(tasks), func(i int) { p.score(&tasks[i], window) })
}

// split appends the pieces of one sequence. A single token's query heads that share keys are one piece.
func (m *Model) split(list []task, att, qkv tensor.Mat, s span, index int) []task {
	c := &m.config
	at, d, group := c.heads(), c.HeadDim, c.Heads/c.KVHeads
	for kv := range c.KVHeads {
		var t task
		if s.cache != nil {
			keys, values := s.cache.k[index], s.cache.v[index]
			t = task{k: keys.Data[kv*d*keys.Stride:], v: values.Data[kv*d:], kStride: keys.Stride, vStride: values.Stride, kTransposed: true}
		} else {
			first := qkv.Data[s.row*qkv.Stride:]
			t = task{k: first[at.k+kv*at.kStep:], v: first[at.v+kv*at.vStep:], kStride: qkv.Stride, vStride: qkv.Stride}
		}
		if s.n == 1 {
			for i := 0; i < group; i += queryBlock {
				h := kv*group + i
				t.q, t.out = qkv.Row(s.row)[at.q+h*at.qStep:], att.Row(s.row)[h*d:]
				t.qStride, t.outStride, t.n, t.pos = at.qStep, d, min(queryBlock, group-i), s.pos
				list = append(list, t)
			}
			continue
		}
		for h := kv * group; h < (kv+1)*group; h++ {
			for i := 0; i < s.n; i += t.n {
				r := s.row + i
				t.q, t.out = qkv.Data[r*qkv.Stride+at.q+h*at.qStep:], att.Data[r*att.Stride+h*d:]
				t.qStride, t.outStride, t.pos, t.step = qkv.Stride, att.Stride, s.pos+i, 1
				t.n = min(queryBlock-t.pos%queryBlock, s.n-i)
				list = append(list, t)
			}
		}
	}
	return list
}

// firstKey returns the first position that the task looks at: the first that the first query of its block sees. Blocks begin at multiples
// of queryBlock, and the products of scores and values are summed in pieces that begin here: so a query's result does not depend on how
// many others of its sequence go through the network with it.
func (t *task) firstKey(window int) int {
	if window == 0 {
		return 0
	}
	return max(0, t.pos/queryBlock*queryBlock-window+1)
}

// keys returns how many positions the task looks at.
func (t *task) keys(window int) int { return t.pos + (t.n-1)*t.step + 1 - t.firstKey(window) }

// score runs a task in a room of its own.
func (p pass) score(t *task, window int) {
	room := p.rooms.take()
	t.run(&p.config, window, p.rooms.of(room))
	p.rooms.give(room)
}

// run needs a room for n·keys scores; what is in it never matters.
func (t *task) run(c *Config, window int, room []float32) {
	d := c.HeadDim
	first, keys := t.firstKey(window), t.keys(window)
	p := tensor.Of(t.n, keys, room[:t.n*keys])
	clear(p.Data)
	if t.kTransposed {
		kernels.GemmNN(p.Data, keys, t.q, t.qStride, t.k[first:], t.kStride, t.n, keys, d)
	} else {
		kernels.GemmNT(p.Data, keys, t.q, t.qStride, t.k[first*t.kStride:], t.kStride, t.n, keys, d)
	}
	var inverse [queryBlock]float32 // one over each row's sum of exponentials
	for i := range t.n {
		row := p.Row(i)
		hi := t.pos + i*t.step + 1 - first // sees keys [lo, hi)
		lo := 0
		if window > 0 {
			lo = max(0, hi-window)
		}
		if c.AttentionSoftcap != 0 {
			softcapped(row[lo:hi], float32(c.AttentionSoftcap))
		}
		inverse[i] = 1 / kernels.ExpSum(row[lo:hi], kernels.Max(row[lo:hi]))
		clear(row[:lo])
		clear(row[hi:])
		clear(t.out[i*t.outStride : i*t.outStride+d])
	}
	kernels.GemmNN(t.out, t.outStride, p.Data, keys, t.v[first*t.vStride:], t.vStride, t.n, d, keys)
	for i := range t.n {
		for j := range t.out[i*t.outStride : i*t.outStride+d] {
			t.out[i*t.outStride+j] *= inverse[i]
		}
	}
}
