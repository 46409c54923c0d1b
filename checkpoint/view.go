package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"pith/codec"
	"pith/formats"
	"pith/model"
	"pith/tensor"
)

// Edit says how a view of a checkpoint differs from it. The zero value changes nothing.
type Edit struct {
	Layers []int  // of the checkpoint, in rising order: those that stay, renumbered from 0; nil: all
	Config []byte // config.json of the view; nil: the checkpoint's, its number of layers and what it says layer by layer edited
	// Matrices says, for each layer of the view, which layer of the checkpoint its matrices are (and their biases; norms are its own). A
	// matrix that several layers of the view show is an alias in all but the first (Info.Of). nil: each layer's own.
	Matrices []int
	Made     []Made // tensors that take the place of the checkpoint's of the same name (that of the view), or join them

	Rows  map[string][]int32 // tensors (by their names in the view) of which only these rows stay, rising, as they are stored
	Files []ConfigContent    // all files of the view besides weights and config.json; nil: the checkpoint's
}

// Made is a tensor of a view that the checkpoint does not hold.
type Made struct {
	Name  string
	DType tensor.DType
	Shape []int
	Data  func() ([]byte, error) // the same bytes at every call; may take its time
}

// view shows parts of another store under other names.
type view struct {
	store
	names   []string
	from    map[string]string // name in the view → name in the store
	of      map[string]string // alias in the view → name in the view of the first layer that shows the same tensor
	made    map[string]*madeTensor
	subsets map[string]*subset
	layers  []int
}

// View returns the checkpoint as e edits it. Closing it closes c.
func (c *Checkpoint) View(e Edit) (*Checkpoint, error) {
	cfg, err := c.Config()
	known := err == nil
	if !known && (e.Layers != nil || e.Matrices != nil || !errors.Is(err, model.ErrUnknownArchitecture) && e.Config == nil) {
		return nil, err
	}
	if e.Layers == nil {
		for i := range cfg.Layers {
			e.Layers = append(e.Layers, i)
		}
	}
	if e.Matrices != nil && len(e.Matrices) != len(e.Layers) {
		panic("checkpoint: a view with another number of matrices than layers")
	}
	v := &view{store: c.store, from: map[string]string{}, of: map[string]string{}, made: map[string]*madeTensor{}, subsets: map[string]*subset{}, layers: slices.Clone(e.Layers)}
	out := &Checkpoint{Path: c.Path, Kind: c.Kind, store: v, dir: c.dir, configJSON: c.configJSON, files: c.files}
	if e.Files != nil {
		out.files = slices.Clone(e.Files)
	}
	if len(e.Layers) != cfg.Layers || !rising(e.Layers, cfg.Layers) {
		if out.configJSON, err = model.SelectLayers(c.configJSON, e.Layers); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	if e.Config != nil {
		out.configJSON = e.Config
	}
	for _, name := range c.Names() {
		shown := name
		if l := layerOf(cfg, known, name); l >= 0 {
			at, stays := slices.BinarySearch(e.Layers, l)
			if !stays {
				continue
			}
			shown = model.InLayer(cfg, name, at)
			if e.Matrices != nil && inMatrix(cfg, name) {
				name = model.InLayer(cfg, name, e.Matrices[at])
			}
		}
		v.from[shown] = name
		v.names = append(v.names, shown)
	}
	recent := &recentTensors{data: map[*madeTensor][]byte{}}
	for _, m := range e.Made {
		if _, there := v.from[m.Name]; !there {
			v.names = append(v.names, m.Name)
		}
		delete(v.from, m.Name)
		v.made[m.Name] = newMade(m, recent)
	}
	slices.Sort(v.names)
	if err := v.choose(e.Rows, recent); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	if !known {
		return out, nil
	}
	return out, v.findAliases(cfg)
}

// inMatrix reports whether a tensor of a layer is one of its matrices, or such a matrix's bias.
func inMatrix(cfg model.Config, name string) bool {
	if before, ok := strings.CutSuffix(name, ".bias"); ok {
		name = before + ".weight"
	}
	role := model.Role(cfg, name)
	return strings.HasPrefix(role, "attn_") || strings.HasPrefix(role, "ffn_")
}

// findAliases finds the tensors that several layers show.
func (v *view) findAliases(cfg model.Config) error {
	first := map[string]string{} // tensor of the store → the name that the first layer shows it by
	names := slices.Clone(v.names)
	slices.SortStableFunc(names, func(a, b string) int { return model.LayerOf(cfg, a) - model.LayerOf(cfg, b) })
	for _, name := range names {
		from, ok := v.from[name]
		if !ok {
			continue
		}
		info, err := v.store.Info(from)
		if err != nil {
			return err
		}
		if info.Of != "" {
			from = info.Of
		}
		if owner := first[from]; owner != "" {
			v.of[name] = owner
		} else {
			first[from] = name
		}
	}
	return nil
}

// layerOf is model.LayerOf, or −1 for every tensor of a model without a table.
func layerOf(cfg model.Config, known bool, name string) int {
	if !known {
		return -1
	}
	return model.LayerOf(cfg, name)
}

// rising reports whether layers are 0 … n−1.
func rising(layers []int, n int) bool {
	for i, l := range layers {
		if i != l {
			return false
		}
	}
	return len(layers) == n
}

// Layers returns which layers of the file a view shows, nil if it is no view.
func (c *Checkpoint) Layers() []int {
	v, ok := c.store.(*view)
	if !ok {
		return nil
	}
	layers := slices.Clone(v.layers)
	for below, ok := v.store.(*view); ok; below, ok = below.store.(*view) {
		for i, l := range layers {
			layers[i] = below.layers[l]
		}
	}
	return layers
}

// source returns the store that holds what views show.
func (c *Checkpoint) source() store {
	s := c.store
	for {
		v, ok := s.(*view)
		if !ok {
			return s
		}
		s = v.store
	}
}

// withConfig puts the view's config.json among the source's files.
func (c *Checkpoint) withConfig(files []ConfigContent) []ConfigContent {
	if _, ok := c.store.(*view); !ok {
		return files
	}
	for i := range files {
		if files[i].Name == "config.json" {
			files[i].Data = c.configJSON
		}
	}
	return files
}

// find returns what the source calls a tensor of the view.
func (v *view) find(name string) (string, error) {
	from, ok := v.from[name]
	if !ok {
		return "", fmt.Errorf("no tensor %s among the layers that stay", name)
	}
	return from, nil
}

func (v *view) Names() []string { return slices.Clone(v.names) }

func (v *view) Info(name string) (Info, error) {
	if m := v.made[name]; m != nil {
		return m.info, nil
	}
	if s := v.subsets[name]; s != nil {
		return s.info, nil
	}
	from, err := v.find(name)
	if err != nil {
		return Info{}, err
	}
	info, err := v.store.Info(from)
	info.Name, info.Of = name, v.of[name]
	if info.Of != "" {
		info.Bytes, info.SharedBytes = 0, info.Bytes+info.SharedBytes
	}
	return info, err
}

func (v *view) Load(name string) (*codec.Weight, error) {
	if m := v.made[name]; m != nil {
		return m.load()
	}
	from, err := v.find(name)
	if err != nil {
		return nil, err
	}
	w, err := v.store.Load(from)
	if s := v.subsets[name]; s != nil && err == nil {
		return s.load(w)
	}
	if err == nil && w.Name != name {
		renamed := *w
		renamed.Name = name
		w = &renamed
	}
	return w, err
}

func (v *view) Rows(name string) (*Rows, error) {
	if m := v.made[name]; m != nil {
		return &Rows{info: m.info, readAt: m.readAt}, nil
	}
	if s := v.subsets[name]; s != nil {
		return v.rowsOfSubset(name, s)
	}
	from, err := v.find(name)
	if err != nil {
		return nil, err
	}
	return v.store.Rows(from)
}

func (v *view) readAt(name string, buf []byte, off int64) error {
	if m := v.made[name]; m != nil {
		return m.readAt(buf, off)
	}
	from, err := v.find(name)
	if err != nil {
		return err
	}
	if s := v.subsets[name]; s != nil {
		return s.readAt(buf, off, func(buf []byte, off int64) error { return v.store.readAt(from, buf, off) })
	}
	return v.store.readAt(from, buf, off)
}

// madeTensor is a Made.
type madeTensor struct {
	info   Info
	data   func() ([]byte, error)
	mu     sync.Mutex // one goroutine makes it at a time
	recent *recentTensors
}

func newMade(m Made, recent *recentTensors) *madeTensor {
	info := plainInfo(formats.Info{Name: m.Name, DType: m.DType, Shape: m.Shape, Bytes: tensor.Bytes(m.DType, m.Shape)})
	return &madeTensor{info: info, data: m.Data, recent: recent}
}

// recentBytes bounds the made tensors that a view remembers; they are read in pieces, several at a time.
const recentBytes = 256 << 20

// recentTensors remembers what was made last.
type recentTensors struct {
	mu    sync.Mutex
	order []*madeTensor // the oldest first
	data  map[*madeTensor][]byte
	bytes int64
}

func (r *recentTensors) get(m *madeTensor) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data[m]
}

// put remembers a tensor, and forgets the oldest others if they are too many together.
func (r *recentTensors) put(m *madeTensor, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order, r.data[m] = append(r.order, m), data
	r.bytes += int64(len(data))
	for r.bytes > recentBytes && len(r.order) > 1 {
		r.bytes -= int64(len(r.data[r.order[0]]))
		delete(r.data, r.order[0])
		r.order = r.order[1:]
	}
}

func (m *madeTensor) bytes() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data := m.recent.get(m); data != nil {
		return data, nil
	}
	data, err := m.data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.info.Name, err)
	}
	if int64(len(data)) != m.info.Bytes {
		panic("checkpoint: made tensor of another size than its shape's")
	}
	m.recent.put(m, data)
	return data, nil
}

func (m *madeTensor) readAt(buf []byte, off int64) error {
	data, err := m.bytes()
	if err == nil {
		copy(buf, data[off:])
	}
	return err
}

func (m *madeTensor) load() (*codec.Weight, error) {
	data, err := m.bytes()
	if err != nil {
		return nil, err
	}
	term, err := codec.Dense(m.info.Name, m.info.DType, m.info.Rows, m.info.Cols, data)
	if err != nil {
		return nil, err
	}
	return &codec.Weight{Name: m.info.Name, Rows: m.info.Rows, Cols: m.info.Cols, Shape: m.info.Shape, Terms: []codec.Term{term}}, nil
}
