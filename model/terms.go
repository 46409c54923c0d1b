package model

import (
	"fmt"

	"pith/codec"
)

// SetTerms replaces the terms of some of the layers' matrices, by checkpoint names, between passes: it waits for those under way to end, and those
// that begin meanwhile wait for it. A session goes on with what it has seen, whose keys and values are those of the terms before. Nothing is copied;
// a model that gets fewer terms holds the others no more. It returns the terms there were before. On an error nothing has changed. It must not be called
// by what watches a pass.
func (m *Model) SetTerms(terms map[string][]codec.Term) (before map[string][]codec.Term, err error) {
	parts := map[string]*part{}
	for i := range m.layers {
		l := &m.layers[i]
		for _, lin := range []*linear{&l.qkv, &l.out, &l.up, &l.down} {
			for p := range lin.parts {
				parts[lin.parts[p].w.Name] = &lin.parts[p]
			}
		}
	}
	replaced := map[string]*codec.Weight{}
	m.swap.RLock() // others may be replacing terms
	for name, list := range terms {
		p := parts[name]
		if p == nil {
			m.swap.RUnlock()
			return nil, fmt.Errorf("%s: is no matrix of a layer of this model", name)
		}
		w := *p.w
		for _, t := range list {
			if rows, cols := t.Dims(); rows != w.Rows || cols != w.Cols {
				m.swap.RUnlock()
				return nil, fmt.Errorf("%s: a term of shape (%d, %d) for a matrix of (%d, %d)", name, rows, cols, w.Rows, w.Cols)
			}
		}
		w.Terms = list
		replaced[name] = &w
	}
	m.swap.RUnlock()
	m.swap.Lock()
	defer m.swap.Unlock()
	before = map[string][]codec.Term{}
	for name, w := range replaced {
		before[name] = parts[name].w.Terms
		parts[name].w = w
	}
	m.remake(m.policy)
	return before, nil
}

// TermBytes returns the stored size of the terms of the layers' matrices, as they are now.
func (m *Model) TermBytes() (n int64) {
	m.swap.RLock()
	defer m.swap.RUnlock()
	for i := range m.layers {
		l := &m.layers[i]
		for _, lin := range []*linear{&l.qkv, &l.out, &l.up, &l.down} {
			for _, p := range lin.parts {
				n += p.w.Bytes()
			}
		}
	}
	return n
}
