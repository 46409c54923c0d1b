package model

import (
	"slices"

	"pith/codec"
)

// Parts gives the parts of a loaded model one by one, so that a caller can run some of them, or look between them.
type Parts struct{ m *Model }

// Parts returns the model's parts, which share its weights.
func (m *Model) Parts() Parts { return Parts{m} }

// Embedding is the first part, Layer(i) layer i, Norm the final norm, Head the last part.
func (p Parts) Embedding() *Embedding { return &Embedding{p.m} }
func (p Parts) Layer(i int) *Layer    { return &Layer{p.m, i} }
func (p Parts) Norm() *Norm           { return &Norm{p.m} }
func (p Parts) Head() *Head           { return &Head{p.m} }

// EndsWith returns the parts of the model with w in place of the embedding, the learned positions or the head, whichever has its name; a tied head is the
// embedding, and both are replaced. ok is false if none has it, or another shape. The model itself stays as it is.
func (p Parts) EndsWith(w *codec.Weight) (replaced Parts, ok bool) {
	m := *p.m
	m.head.parts = slices.Clone(m.head.parts)
	places := []**codec.Weight{&m.embed, &m.positions}
	for i := range m.head.parts {
		places = append(places, &m.head.parts[i].w)
	}
	for _, at := range places {
		if was := *at; was != nil && was.Name == w.Name && was.Rows == w.Rows && was.Cols == w.Cols {
			*at, ok = w, true
		}
	}
	return Parts{&m}, ok
}

// LayerWith returns layer i with the matrices of another layer, and its own norms, or those given in place of the one before attention and the
// one before the MLP.
func (p Parts) LayerWith(i, matrices int, norms ...[]float32) *Layer {
	m := *p.m
	m.layers = slices.Clone(m.layers)
	from := &p.m.layers[matrices]
	to := &m.layers[i]
	to.qkv, to.out, to.up, to.down = from.qkv, from.out, from.up, from.down
	for k, weights := range norms {
		if weights != nil {
			*[]*[]float32{&to.attnNorm.weight, &to.mlpNorm.weight}[k] = weights
		}
	}
	return &Layer{&m, i}
}
