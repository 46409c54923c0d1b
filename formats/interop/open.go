package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"pith/codec"
	"pith/formats"
	"pith/tensor"
)

// GGUFModel is a GGUF file seen as a Hugging Face checkpoint: names, shapes and row orders are the checkpoint's, and quantized
// tensors keep their blocks. It implements model.Weights. A file of an architecture without a table is served under its own names.
type GGUFModel struct {
	file    *formats.GGUF
	meta    metadata
	arch    *Architecture // nil: not in the table
	heads   Heads
	config  []byte
	tensors map[string]stored // by checkpoint name
	names   []string          // sorted
}

// stored is where a checkpoint tensor lies in the file.
type stored struct {
	info   formats.Info // as the file states it
	layout Layout
}

// OpenGGUF opens a GGUF file (or all shards of a split one). Headers and the small rotary tensors are read, weights are not.
func OpenGGUF(path string) (*GGUFModel, error) {
	file, err := formats.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	m, err := newGGUFModel(path, file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return m, nil
}

// NewGGUFModel is OpenGGUF for a file of size bytes that r gives; name stands for its path in errors.
func NewGGUFModel(name string, r io.ReaderAt, size int64) (*GGUFModel, error) {
	file, err := formats.NewGGUF(name, r, size)
	if err != nil {
		return nil, err
	}
	return newGGUFModel(name, file)
}

func newGGUFModel(path string, file *formats.GGUF) (*GGUFModel, error) {
	m := &GGUFModel{file: file, meta: metadata{file: path, values: map[string]any{}}, tensors: map[string]stored{}}
	for _, kv := range file.KV() {
		m.meta.values[kv.Key] = kv.Value
	}
	name, err := m.meta.str("general.architecture")
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, m.meta.missing("general.architecture")
	}
	if m.arch, err = findGGUF(name); err != nil {
		m.arch = nil
		if m.config, err = json.Marshal(map[string]string{"model_type": name}); err != nil {
			return nil, err
		}
		return m, m.index()
	}
	if m.arch.GGUF == "llama" && m.meta.has("llama.attention.sliding_window") {
		m.arch, _ = Find("mistral")
	}
	return m, m.synthesise(name)
}

// synthesise makes the config, and the table of tensors that depends on it.
func (m *GGUFModel) synthesise(name string) error {
	var failure error
	s := &synthesis{metadata: m.meta, arch: name, shape: func(gguf string) ([]int, bool) {
		info, err := m.file.Info(gguf)
		return info.Shape, err == nil
	}, floats: func(gguf string) []float64 {
		values, err := m.floats(gguf)
		if err != nil && failure == nil {
			failure = err
		}
		return values
	}}
	config, err := s.config(m.arch)
	if err == nil {
		err = failure
	}
	if err == nil {
		err = s.checkLayers(m.file.Names())
	}
	if err != nil {
		return err
	}
	m.config, m.heads = config, s.Heads
	return m.index()
}

// index enters every tensor under its checkpoint name.
func (m *GGUFModel) index() error {
	for _, gguf := range m.file.Names() {
		info, err := m.file.Info(gguf)
		if err != nil {
			return err
		}
		name, layout := gguf, AsIs
		if m.arch != nil {
			if slices.Contains(rotaryTensors, gguf) {
				continue
			}
			if hf, l, ok := m.arch.ToHF(gguf); ok {
				name, layout = hf, l
			}
		}
		if err := m.check(info, layout); err != nil {
			return err
		}
		m.tensors[name] = stored{info, layout}
		m.names = append(m.names, name)
	}
	slices.Sort(m.names)
	return nil
}

// rotaryTensors hold constants that config.json states instead.
var rotaryTensors = []string{"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}

// check returns an error for a tensor whose layout cannot be undone.
func (m *GGUFModel) check(info formats.Info, layout Layout) error {
	wrong := func(err error) error { return fmt.Errorf("%s: %s: %w", m.meta.file, info.Name, err) }
	switch layout {
	case RotaryQ, RotaryK, InterleavedQKV:
		if len(info.Shape) == 0 {
			return wrong(fmt.Errorf("is a scalar, not a matrix"))
		}
		if _, err := layout.rowOrder(m.heads, info.Shape[0]); err != nil {
			return wrong(err)
		}
	case PlusOne:
		if len(info.Shape) != 1 || info.DType != tensor.F32 {
			return wrong(fmt.Errorf("is %v of %v; a norm is expected to be one row of F32", info.Shape, info.DType))
		}
	case Transposed:
		if len(info.Shape) != 2 {
			return wrong(fmt.Errorf("has shape %v; a matrix is expected", info.Shape))
		}
	}
	return nil
}

// floats returns the values of a small one-dimensional F32 tensor, nil if there is none of this name.
func (m *GGUFModel) floats(gguf string) ([]float64, error) {
	info, err := m.file.Info(gguf)
	if err != nil {
		return nil, nil
	}
	if info.DType != tensor.F32 || len(info.Shape) != 1 || info.Shape[0] > 1<<16 {
		return nil, fmt.Errorf("%s: %s is %v of %v; at most 65536 F32 values are expected", m.meta.file, gguf, info.Shape, info.DType)
	}
	t, err := formats.Read(m.file, gguf)
	if err != nil {
		return nil, err
	}
	values := make([]float32, info.Shape[0])
	tensor.Decode(values, t.DType, t.Data, 0)
	out := make([]float64, len(values))
	for i, v := range values {
		if !(v > 0) || v > 1e9 {
			return nil, fmt.Errorf("%s: %s has the factor %v", m.meta.file, gguf, v)
		}
		out[i] = float64(v)
	}
	return out, nil
}

// Close closes the file; weights already loaded stay valid.
func (m *GGUFModel) Close() error { return m.file.Close() }

// ConfigJSON returns a config.json that describes the model; for an architecture without a table it states model_type alone.
func (m *GGUFModel) ConfigJSON() []byte { return slices.Clone(m.config) }

// Names returns the checkpoint names of all weights, sorted.
func (m *GGUFModel) Names() []string { return slices.Clone(m.names) }

// Bytes returns the exact size of all weights as stored.
func (m *GGUFModel) Bytes() int64 {
	var n int64
	for _, t := range m.tensors {
		n += t.info.Bytes
	}
	return n
}

// KV returns the file's metadata in its order.
func (m *GGUFModel) KV() []formats.KV { return m.file.KV() }

func (m *GGUFModel) find(name string) (stored, error) {
	t, ok := m.tensors[name]
	if !ok {
		return stored{}, fmt.Errorf("%s: no tensor %s", m.meta.file, name)
	}
	return t, nil
}

// Info describes a weight under its checkpoint name and shape; DType and Bytes are those of the file.
func (m *GGUFModel) Info(name string) (formats.Info, error) {
	t, err := m.find(name)
	if err != nil {
		return formats.Info{}, err
	}
	info := t.info
	info.Name, info.Shape = name, t.shape()
	return info, nil
}

// shape returns the shape that a checkpoint states.
func (t stored) shape() []int {
	shape := slices.Clone(t.info.Shape)
	if t.layout == Transposed {
		slices.Reverse(shape)
	}
	return shape
}

// matrix returns the tensor as rows × cols in the file's orientation: vectors are one row, further dimensions are rows.
func (t stored) matrix() (rows, cols int) {
	shape := t.info.Shape
	if len(shape) == 0 {
		return 1, 1
	}
	cols = shape[len(shape)-1]
	return tensor.Elements(shape[:len(shape)-1]), cols
}

// Shape returns the shape that a checkpoint states.
func (m *GGUFModel) Shape(name string) ([]int, error) {
	t, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return t.shape(), nil
}

// Load reads a weight, rows back in checkpoint order and 1 subtracted from norms that are stored with it. A Conv1D weight stays (out, in) as
// it is stored; Transposed says so.
func (m *GGUFModel) Load(name string) (*codec.Weight, error) {
	t, err := m.find(name)
	if err != nil {
		return nil, err
	}
	data := make([]byte, t.info.Bytes)
	if err := m.file.ReadAt(t.info.Name, data, 0); err != nil {
		return nil, err
	}
	if data, err = m.restore(t, data); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", m.meta.file, t.info.Name, err)
	}
	rows, cols := t.matrix()
	term, err := codec.Dense(name, t.info.DType, rows, cols, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.meta.file, err)
	}
	return &codec.Weight{Name: name, Rows: rows, Cols: cols, Shape: t.shape(), Transposed: t.layout == Transposed, Terms: []codec.Term{term}}, nil
}

// restore undoes the layout of a whole tensor's bytes.
func (m *GGUFModel) restore(t stored, data []byte) ([]byte, error) {
	if t.layout == PlusOne {
		shiftF32(data, -1)
		return data, nil
	}
	rows := 1
	if len(t.info.Shape) > 0 {
		rows = t.info.Shape[0]
	}
	order, err := t.layout.rowOrder(m.heads, rows)
	if err != nil || order == nil || rows == 0 {
		return data, err
	}
	return scatterRows(data, len(data)/rows, order), nil
}

// ReadAt fills buf from byte off of the weight's data in checkpoint layout, reading only the rows concerned. A Conv1D weight is served as it
// is stored, (out, in). Safe for concurrent use.
func (m *GGUFModel) ReadAt(name string, buf []byte, off int64) error {
	t, err := m.find(name)
	if err != nil {
		return err
	}
	if off < 0 || off > t.info.Bytes || int64(len(buf)) > t.info.Bytes-off {
		panic("interop: window outside the weight")
	}
	if t.layout == PlusOne {
		data := make([]byte, t.info.Bytes)
		if err := m.file.ReadAt(t.info.Name, data, 0); err != nil {
			return err
		}
		shiftF32(data, -1)
		copy(buf, data[off:])
		return nil
	}
	rows := int64(first(t.info.Shape))
	place, err := t.layout.place(m.heads, int(rows))
	if err != nil || place == nil || rows == 0 {
		return m.file.ReadAt(t.info.Name, buf, off)
	}
	rowBytes := t.info.Bytes / rows
	for len(buf) > 0 {
		r, within := off/rowBytes, off%rowBytes
		n := min(int64(len(buf)), rowBytes-within)
		if err := m.file.ReadAt(t.info.Name, buf[:n], int64(place(int(r)))*rowBytes+within); err != nil {
			return err
		}
		buf, off = buf[n:], off+n
	}
	return nil
}
