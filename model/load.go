package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"pith/codec"
	"pith/tensor"
)

// Weights is a checkpoint as the model sees it: tensors under Hugging Face names, in Hugging Face layouts.
type Weights interface {
	Names() []string
	Shape(name string) ([]int, error)
	Load(name string) (*codec.Weight, error)
}

// loader fetches tensors of a config from a checkpoint, checking every shape.
type loader struct {
	c          Config
	w          Weights
	root, head string
	names      map[string]bool
}

func newLoader(c Config, w Weights) *loader {
	l := &loader{c: c, w: w, names: map[string]bool{}}
	for _, name := range w.Names() {
		l.names[name] = true
	}
	l.root, l.head = c.resolve(func(name string) bool { return l.names[name] })
	return l
}

// CheckShapes returns an error if a tensor that c calls for is missing from w or has another shape. No weight is loaded.
func CheckShapes(c Config, w Weights) error { return newLoader(c, w).check() }

// check compares the shapes that the checkpoint states with those that follow from the config, before anything is loaded.
func (l *loader) check() error {
	for _, s := range l.c.specs(l.root, l.head) {
		if !l.names[s.Name] {
			if s.Optional {
				continue
			}
			return fmt.Errorf("%s: is missing from the checkpoint; config.json (model_type %q) calls for a tensor of shape %v", s.Name, l.c.ModelType, s.Shape)
		}
		shape, err := l.w.Shape(s.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if !slices.Equal(shape, s.Shape) {
			return fmt.Errorf("%s: shape is %v; config.json (model_type %q) calls for %v", s.Name, shape, l.c.ModelType, s.Shape)
		}
	}
	return nil
}

func (l *loader) load(name string, rows, cols int) (*codec.Weight, error) {
	w, err := l.w.Load(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if w.Rows != rows || w.Cols != cols {
		return nil, fmt.Errorf("%s: the stored weight is (%d, %d); (%d, %d) is needed", name, w.Rows, w.Cols, rows, cols)
	}
	return w, nil
}

// vector loads a norm or a bias as float32.
func (l *loader) vector(name string, n int) ([]float32, error) {
	w, err := l.load(name, 1, n)
	if err != nil {
		return nil, err
	}
	v := make([]float32, n)
	w.ReadRows(tensor.Of(1, n, v), 0)
	return v, nil
}

func (l *loader) norm(name string, n int) (norm, error) {
	r := norm{kind: l.c.Norm, eps: l.c.NormEps}
	var err error
	if r.weight, err = l.vector(name+".weight", n); err != nil {
		return r, err
	}
	switch r.kind {
	case RMSNorm1:
		for i := range r.weight {
			r.weight[i]++
		}
	case LayerNorm:
		r.bias, err = l.vector(name+".bias", n)
	}
	return r, err
}

// add appends the module called name to a linear, as its next rows.
func (l *loader) add(to *linear, name string, rows, cols int, bias, transposed bool) error {
	stored := [2]int{rows, cols}
	w, err := l.w.Load(name + ".weight")
	if err != nil {
		return fmt.Errorf("%s.weight: %w", name, err)
	}
	if transposed && !w.Transposed {
		stored = [2]int{cols, rows}
	}
	if w.Rows != stored[0] || w.Cols != stored[1] {
		return fmt.Errorf("%s.weight: the stored weight is (%d, %d); (%d, %d) is needed", name, w.Rows, w.Cols, stored[0], stored[1])
	}
	if transposed && !w.Transposed {
		if w, err = transpose(w); err != nil {
			return err
		}
	}
	to.parts = append(to.parts, part{w, to.rows})
	to.rows += rows
	if !bias {
		return nil
	}
	b, err := l.vector(name+".bias", rows)
	to.bias = append(to.bias, b...)
	return err
}

// transpose returns w's transpose in float32.
func transpose(w *codec.Weight) (*codec.Weight, error) {
	const tile = 64
	data := make([]byte, 4*w.Rows*w.Cols)
	buf := tensor.NewMat(tile, w.Cols)
	for r0 := 0; r0 < w.Rows; r0 += tile {
		rows := buf.Slice(0, min(tile, w.Rows-r0))
		w.ReadRows(rows, r0)
		for r := range rows.Rows {
			for c, v := range rows.Row(r) {
				binary.LittleEndian.PutUint32(data[4*(c*w.Rows+r0+r):], math.Float32bits(v))
			}
		}
	}
	term, err := codec.Dense(w.Name, tensor.F32, w.Cols, w.Rows, data)
	if err != nil {
		return nil, err
	}
	return &codec.Weight{Name: w.Name, Rows: w.Cols, Cols: w.Rows, Terms: []codec.Term{term}, Transposed: true}, nil
}

// layerModule loads one module of a layer into its place.
func (l *loader) layerModule(to *layer, prefix string, m module) error {
	a, name := l.c.arch, prefix+m.name
	linearTo := map[string]*linear{a.q: &to.qkv, a.k: &to.qkv, a.v: &to.qkv, a.qkv: &to.qkv, a.o: &to.out,
		a.gate: &to.up, a.up: &to.up, a.gateUp: &to.up, a.down: &to.down}
	if m.linear {
		return l.add(linearTo[m.name], name, m.rows, m.cols, m.bias, a.transposed)
	}
	normTo := map[string]*norm{a.attnNorm: &to.attnNorm, a.mlpNorm: &to.mlpNorm, a.postAttnNorm: &to.postAttn, a.postMLPNorm: &to.postMLP,
		a.qNorm: &to.qNorm, a.kNorm: &to.kNorm}
	var err error
	*normTo[m.name], err = l.norm(name, m.rows)
	return err
}

// New loads the weights of c and checks every shape against it. workers is how many goroutines the model's loops may use.
func New(c Config, w Weights, workers int) (*Model, error) {
	if c.arch == nil {
		return nil, fmt.Errorf("model: %w; such a checkpoint can be compressed but not run", ErrUnknownArchitecture)
	}
	l := newLoader(c, w)
	if err := l.check(); err != nil {
		return nil, err
	}
	m := l.shell(workers)
	if err := l.embedding(m); err != nil {
		return nil, err
	}
	for i := range m.layers {
		if err := l.layer(m, i); err != nil {
			return nil, err
		}
	}
	if err := l.end(m); err != nil {
		return nil, err
	}
	return m, nil
}

// shell returns a model without weights.
func (l *loader) shell(workers int) *Model {
	return &Model{config: l.c, workers: max(1, workers), layers: make([]layer, l.c.Layers), spaces: new(sync.Pool), swap: new(sync.RWMutex), policy: Direct, rings: new(rings),
		global: &rotations{rope: l.c.Rope}, local: &rotations{rope: l.c.RopeLocal}}
}

// embedding loads the embeddings of tokens and positions.
func (l *loader) embedding(m *Model) (err error) {
	if m.embed, err = l.load(l.root+l.c.arch.embed+".weight", l.c.Vocab, l.c.Hidden); err != nil || !l.c.LearnedPositions {
		return err
	}
	m.positions, err = l.load(l.root+l.c.arch.position+".weight", l.c.MaxPositions, l.c.Hidden)
	return err
}

// layer loads layer i.
func (l *loader) layer(m *Model, i int) error {
	to := &m.layers[i]
	prefix := l.root + fmt.Sprintf(l.c.arch.layer, i)
	for _, mod := range l.c.layerModules() {
		if err := l.layerModule(to, prefix, mod); err != nil {
			return err
		}
	}
	if err := l.loadShortcuts(to, prefix, i, m.workers); err != nil {
		return err
	}
	for _, lin := range []*linear{&to.qkv, &to.out, &to.up, &to.down} {
		lin.divide(m.workers)
	}
	return nil
}

// end loads the final norm and the head. A tied head is the embedding, which is loaded if m does not have it.
func (l *loader) end(m *Model) (err error) {
	c := &l.c
	if m.finalNorm, err = l.norm(l.root+c.arch.finalNorm, c.Hidden); err != nil {
		return err
	}
	if c.TiedHead && !l.names[l.head+".weight"] {
		if m.embed == nil {
			if err := l.embedding(m); err != nil {
				return err
			}
		}
		m.head = linear{parts: []part{{m.embed, 0}}, rows: c.Vocab}
	} else if err := l.add(&m.head, l.head, c.HeadRows(), c.Hidden, c.HeadBias, false); err != nil {
		return err
	}
	m.head.divide(m.workers)
	m.draftIDs, err = l.draftIDs()
	return err
}
