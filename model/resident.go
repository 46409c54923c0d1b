package model

import "pith/codec"

// Resident says what a model holds in memory besides activations and caches of keys and values.
type Resident struct {
	Weights int64 `json:"weights"` // bytes of the stored parts, what several weights refer to once
	Made    int64 `json:"made"`    // bytes of matrices made of atoms in float32; with Materialise for each pass under way at a time
}

// Resident adds up what is in memory. Norms and biases, which are in float32 whatever they are stored as, are not counted.
func (m *Model) Resident() Resident {
	m.swap.RLock()
	defer m.swap.RUnlock()
	var r Resident
	seen := map[*byte]bool{}
	var count func(t codec.Term)
	count = func(t codec.Term) {
		switch t := t.(type) {
		case combination:
			r.Weights += 4 * int64(len(t.Atoms()))
			for _, a := range t.Atoms() {
				count(a)
			}
			return
		case interface{ Factors() (u, v codec.Term) }:
			u, v := t.Factors()
			count(u)
			count(v)
			return
		}
		for _, p := range t.Parts() {
			if len(p.Data) == 0 || seen[&p.Data[0]] {
				continue
			}
			seen[&p.Data[0]] = true
			r.Weights += int64(len(p.Data))
		}
	}
	add := func(w *codec.Weight) {
		if w == nil {
			return
		}
		for _, t := range w.Terms {
			count(t)
		}
	}
	add(m.embed)
	add(m.positions)
	for i := range m.layers {
		m.layers[i].weights(add)
	}
	for _, p := range m.head.parts {
		add(p.w)
	}
	r.Made = m.madeBytes()
	return r
}

// madeBytes is Resident.Made.
func (m *Model) madeBytes() int64 {
	switch m.policy {
	case Fold:
		return m.reads(Fold).Held
	case Materialise:
		return int64(min(ringSlots, len(m.layers))) * layerBytes(m.layers)
	}
	return 0
}
