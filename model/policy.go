package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pith/codec"
	"pith/tensor"
)

// Policy says how matrices that are combinations of atoms (codec.Atoms) are multiplied. Logits of different policies differ in their last bits:
// single tokens may be multiplied with activations rounded to int8 by atoms, and are not by what is made of them.
type Policy string

// The policies.
const (
	// Direct multiplies single tokens by each atom, and the rows of prompts by the combination, made a tile at a time once for all of them.
	Direct Policy = "direct"
	// Materialise makes the combinations of a layer in float32, in memory for two layers; the next layer's while this one multiplies.
	Materialise Policy = "materialise"
	// AutoPolicy is Direct. The atoms of a group fit into a cache or not: a token reads them once for each layer either way, and writing and
	// reading what is made of them comes on top (docs/methods/sharing.md has figures for both sides of the cache's size).
	AutoPolicy Policy = "auto"
)

// Policies lists them.
func Policies() []Policy { return []Policy{AutoPolicy, Direct, Materialise} }

// SetPolicy chooses how combinations of atoms are multiplied; it must not be called while the model runs.
func (m *Model) SetPolicy(p Policy) error {
	if !slices.Contains(Policies(), p) {
		return fmt.Errorf("policy %q: choose one of %v", p, Policies())
	}
	m.materialise = p == Materialise && m.AtomBytes() > 0
	return nil
}

// Policy returns how combinations of atoms are multiplied.
func (m *Model) Policy() Policy {
	if m.materialise {
		return Materialise
	}
	return Direct
}

// AtomBytes returns the bytes of the atoms of the layer that has most: what the products of one token read for it. Next to CacheBytes it says
// whether they come from memory.
func (m *Model) AtomBytes() (most int64) {
	for i := range m.layers {
		var n int64
		m.layers[i].weights(func(w *codec.Weight) {
			for _, t := range w.Terms {
				if c, ok := t.(combination); ok {
					for _, a := range c.Atoms() {
						n += a.Bytes()
					}
				}
			}
		})
		most = max(most, n)
	}
	return most
}

// combination is a term made of atoms.
type combination interface{ Atoms() []codec.Term }

// combined reports whether a weight has a term made of atoms.
func combined(w *codec.Weight) bool {
	for _, t := range w.Terms {
		if _, ok := t.(combination); ok {
			return true
		}
	}
	return false
}

// weights calls f for each of the layer's matrices.
func (l *layer) weights(f func(w *codec.Weight)) {
	for _, lin := range []*linear{&l.qkv, &l.out, &l.up, &l.down, &l.attnShort, &l.mlpShort} {
		for _, p := range lin.parts {
			f(p.w)
		}
	}
}

// ringSlots is how many layers are in memory as they are multiplied: the one under way and the next.
const ringSlots = 2

// ring holds the combinations of a few layers, made in float32.
type ring struct{ slots [ringSlots]ringSlot }

type ringSlot struct {
	index   int // of the layer, if done is not nil
	layer   layer
	buffers [][]byte
	done    chan struct{} // closed when the layer is made
}

// get returns layer i of m with its combinations made, and has the next layer made meanwhile, of which nobody may be using the slot.
func (r *ring) get(m *Model, i int) *layer {
	s := r.slot(i)
	if s.done == nil || s.index != i {
		s.start(m, i)
	}
	<-s.done
	if next := (i + 1) % len(m.layers); len(m.layers) >= ringSlots {
		if n := r.slot(next); n != s && (n.done == nil || n.index != next) {
			n.start(m, next)
		}
	}
	return &s.layer
}

func (r *ring) slot(i int) *ringSlot { return &r.slots[i%ringSlots] }

// start has layer i made in the slot by another goroutine.
func (s *ringSlot) start(m *Model, i int) {
	if s.done != nil {
		<-s.done
	}
	s.index, s.done = i, make(chan struct{})
	go func(done chan<- struct{}) {
		defer close(done)
		s.fill(&m.layers[i])
	}(s.done)
}

// fill sets the slot's layer to from with combinations made.
func (s *ringSlot) fill(from *layer) {
	s.layer = *from
	used := 0
	for _, lin := range []*linear{&s.layer.qkv, &s.layer.out, &s.layer.up, &s.layer.down} {
		parts := make([]part, len(lin.parts))
		copy(parts, lin.parts)
		for p := range parts {
			if w := parts[p].w; combined(w) {
				if used == len(s.buffers) {
					s.buffers = append(s.buffers, nil)
				}
				parts[p].w = madeOf(w, &s.buffers[used])
				used++
			}
		}
		lin.parts = parts
	}
}

// madeOf returns w in float32, in the buffer, which grows if need be.
func madeOf(w *codec.Weight, buf *[]byte) *codec.Weight {
	n := 4 * w.Rows * w.Cols
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	data := (*buf)[:n]
	const tile = 16
	rows := tensor.NewMat(min(tile, w.Rows), w.Cols)
	for r0 := 0; r0 < w.Rows; r0 += tile {
		part := rows.Slice(0, min(tile, w.Rows-r0))
		w.ReadRows(part, r0)
		tensor.Encode(data[4*r0*w.Cols:4*(r0+part.Rows)*w.Cols], tensor.F32, part.Data[:part.Rows*w.Cols])
	}
	term, err := codec.Dense(w.Name, tensor.F32, w.Rows, w.Cols, data)
	if err != nil {
		panic("model: a matrix in float32 can always be made")
	}
	return &codec.Weight{Name: w.Name, Rows: w.Rows, Cols: w.Cols, Terms: []codec.Term{term}}
}

// at returns layer i as this pass multiplies by it.
func (p pass) at(i int) *layer {
	if !p.materialise || len(p.Model.layers) < ringSlots {
		return &p.Model.layers[i]
	}
	return p.ring.get(p.Model, i)
}

// errNoCache is returned where the system does not say how large its caches are.
var errNoCache = errors.New("the system does not say how large its caches are")

// CacheBytes returns the size of the first core's last level of cache, 0 if the system does not say.
func CacheBytes() int64 {
	n, err := cacheBytes("/sys/devices/system/cpu/cpu0/cache")
	if err != nil {
		return 0
	}
	return n
}

// cacheBytes reads the largest cache of a directory as Linux has it: index*/size, as "32K" or "32768K".
func cacheBytes(dir string) (int64, error) {
	sizes, err := filepath.Glob(filepath.Join(dir, "index*", "size"))
	if err != nil || len(sizes) == 0 {
		return 0, errNoCache
	}
	var most int64
	for _, path := range sizes {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		digits := strings.TrimRight(strings.TrimSpace(string(text)), "KMG")
		n, err := strconv.ParseInt(digits, 10, 40)
		if err != nil || n < 0 {
			continue
		}
		switch unit := strings.TrimSpace(string(text))[len(digits):]; unit {
		case "K":
			n <<= 10
		case "M":
			n <<= 20
		case "G":
			n <<= 30
		}
		most = max(most, n)
	}
	if most == 0 {
		return 0, errNoCache
	}
	return most, nil
}
