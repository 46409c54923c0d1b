package model

import (
	"math"
	"sync"
)

// rotations caches cos and sin of one Rope for positions 0 … n, for each set of frequencies that sequence lengths ask for.
type rotations struct {
	rope Rope
	mu   sync.Mutex
	sets map[int]*angles
}

// angles holds cos and sin interleaved by halves: row p is Dim/2 cosines then Dim/2 sines of position p.
type angles struct {
	dim  int
	data []float32
}

func (a *angles) at(pos int) (cos, sin []float32) {
	row := a.data[pos*a.dim : (pos+1)*a.dim]
	return row[:a.dim/2], row[a.dim/2:]
}

// forLength returns the angles of positions [0, length) in a sequence of that length. A few sets are kept: dynamic scaling makes
// a new one for every length.
func (r *rotations) forLength(length int) *angles {
	if r.rope.Dim == 0 {
		return nil
	}
	key := r.rope.lengthKey(length)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.sets[key]; a != nil && len(a.data) >= length*a.dim {
		return a
	}
	if r.sets == nil || len(r.sets) > 4 {
		r.sets = map[int]*angles{}
	}
	n := length
	if r.rope.Type != "dynamic" { // room to grow, so that decoding seldom computes angles
		n = max(64, length, min(2*length, r.rope.MaxPositions))
	}
	freq, scale := r.rope.Frequencies(length)
	a := &angles{r.rope.Dim, make([]float32, n*r.rope.Dim)}
	for p := range n {
		cos, sin := a.at(p)
		for i, f := range freq {
			s, c := math.Sincos(float64(float32(p) * f))
			cos[i], sin[i] = float32(c*scale), float32(s*scale)
		}
	}
	r.sets[key] = a
	return a
}

// rotate turns the first 2·len(cos) features of one head in place.
func rotate(head, cos, sin []float32) {
	half := len(cos)
	a, b := head[:half], head[half:2*half]
	sin = sin[:half]
	for i, c := range cos {
		s := sin[i]
		x, y := a[i], b[i]
		a[i] = float32(x*c) - float32(y*s)
		b[i] = float32(y*c) + float32(x*s)
	}
}
