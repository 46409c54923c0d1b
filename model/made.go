package model

import (
	"slices"
	"sync"

	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// combination is a term made of atoms.
type combination interface {
	codec.Term
	Atoms() []codec.Term
}

// linears lists the layer's matrices and shortcuts.
func (l *layer) linears() []*linear {
	return []*linear{&l.qkv, &l.out, &l.up, &l.down, &l.attnShort, &l.mlpShort}
}

// weights calls f for each of the layer's matrices.
func (l *layer) weights(f func(w *codec.Weight)) {
	for _, lin := range l.linears() {
		for _, p := range lin.parts {
			f(p.w)
		}
	}
}

// madeBytes returns what the combination t takes in float32.
func madeBytes(t codec.Term) int64 {
	rows, cols := t.Dims()
	return 4 * int64(rows) * int64(cols)
}

// layerBytes returns what the combinations of the layer that has most take in float32.
func layerBytes(layers []layer) (most int64) {
	for i := range layers {
		var n int64
		layers[i].weights(func(w *codec.Weight) {
			for _, t := range w.Terms {
				if c, ok := t.(combination); ok {
					n += madeBytes(c)
				}
			}
		})
		most = max(most, n)
	}
	return most
}

// with returns the layer with made(t) in place of each combination t; other terms, those of the same weights included, stay.
func (l *layer) with(made func(t combination) codec.Term) layer {
	to := *l
	for _, lin := range to.linears() {
		lin.parts = slices.Clone(lin.parts)
		for p := range lin.parts {
			w := *lin.parts[p].w
			w.Terms = slices.Clone(w.Terms)
			for i, t := range w.Terms {
				if c, ok := t.(combination); ok {
					w.Terms[i] = made(c)
				}
			}
			lin.parts[p].w = &w
		}
	}
	return to
}

// madeIn returns the combination t in float32, in data.
func madeIn(data []byte, t combination, workers int) codec.Term {
	rows, cols := t.Dims()
	const tile = 16
	par.Ranges(workers, rows, tile, func(r0, r1 int) {
		buf := tensor.NewMat(min(tile, r1-r0), cols)
		for r := r0; r < r1; r += tile {
			part := buf.Slice(0, min(tile, r1-r))
			codec.Read(t, part, r)
			tensor.Encode(data[4*r*cols:4*(r+part.Rows)*cols], tensor.F32, part.Data[:part.Rows*cols])
		}
	})
	term, err := codec.Dense(t.Codec(), tensor.F32, rows, cols, data)
	if err != nil {
		panic("model: a matrix in float32 can always be made")
	}
	return term
}

// fold returns the layers with all combinations made, one that several layers have in common once.
func fold(layers []layer, workers int) []layer {
	made := map[codec.Term]codec.Term{}
	folded := make([]layer, len(layers))
	for i := range layers {
		folded[i] = layers[i].with(func(t combination) codec.Term {
			if made[t] == nil {
				made[t] = madeIn(make([]byte, madeBytes(t)), t, workers)
			}
			return made[t]
		})
	}
	return folded
}

// ringSlots is how many layers a ring has in memory: the one under way and the next.
const ringSlots = 2

// ring holds the combinations of a few layers, made in float32.
type ring struct{ slots []ringSlot }

type ringSlot struct {
	index  int // of the layer, if done is not nil
	layer  layer
	buffer []byte
	done   chan struct{} // closed when the layer is made
}

// newRing returns a ring for layers.
func newRing(layers []layer) *ring {
	r := &ring{make([]ringSlot, min(ringSlots, len(layers)))}
	most := layerBytes(layers)
	for i := range r.slots {
		r.slots[i].buffer = make([]byte, most)
	}
	return r
}

// get returns layer i with its combinations made, and has the next layer made meanwhile, of which nobody may be using the slot.
func (r *ring) get(layers []layer, i int) *layer {
	s := r.start(layers, i)
	<-s.done
	if next := (i + 1) % len(layers); r.slot(next) != s {
		r.start(layers, next)
	}
	return &s.layer
}

func (r *ring) slot(i int) *ringSlot { return &r.slots[i%len(r.slots)] }

// start has layer i made by another goroutine, unless it is there or under way, and returns its slot.
func (r *ring) start(layers []layer, i int) *ringSlot {
	s := r.slot(i)
	if s.done != nil && s.index == i {
		return s
	}
	if s.done != nil {
		<-s.done
	}
	done := make(chan struct{})
	s.index, s.done = i, done
	go func() {
		defer close(done)
		free := s.buffer
		s.layer = layers[i].with(func(t combination) codec.Term {
			n := madeBytes(t)
			data := free[:n:n]
			free = free[n:]
			return madeIn(data, t, 1)
		})
	}()
	return s
}

// rings are those that passes have used, for the next to use.
type rings struct {
	mu   sync.Mutex
	free []*ring
}

func (r *rings) take(layers []layer) *ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.free) - 1; last >= 0 {
		taken := r.free[last]
		r.free = r.free[:last]
		return taken
	}
	return newRing(layers)
}

func (r *rings) give(back *ring) {
	r.mu.Lock()
	r.free = append(r.free, back)
	r.mu.Unlock()
}

// drop forgets all rings, when what is being made in them is.
func (r *rings) drop() {
	for _, used := range r.free {
		for i := range used.slots {
			if done := used.slots[i].done; done != nil {
				<-done
			}
		}
	}
	r.free = nil
}

// at returns layer i as this pass multiplies by it.
func (p pass) at(i int) *layer {
	switch p.policy {
	case Fold:
		return &p.folded[i]
	case Materialise:
		return p.ring.get(p.Model.layers, i)
	}
	return &p.Model.layers[i]
}
