package model

// Parts gives the parts of a loaded model one by one, so that a caller can run some of them, or look between them.
type Parts struct{ m *Model }

// Parts returns the model's parts, which share its weights.
func (m *Model) Parts() Parts { return Parts{m} }

// Embedding is the first part, Layer(i) layer i, Norm the final norm, Head the last part.
func (p Parts) Embedding() *Embedding { return &Embedding{p.m} }
func (p Parts) Layer(i int) *Layer    { return &Layer{p.m, i} }
func (p Parts) Norm() *Norm           { return &Norm{p.m} }
func (p Parts) Head() *Head           { return &Head{p.m} }
