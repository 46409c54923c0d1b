package interop

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"pith/codec"
	"pith/formats"
	"pith/model"
	"pith/tensor"
	"pith/tokenizer"
)

// GGUFOptions are the choices when writing a GGUF file. The zero value writes every matrix as it is stored.
type GGUFOptions struct {
	Name       string       // general.name; "": left out
	Dense      tensor.DType // F32, F16 or BF16: every matrix that is not in GGML blocks is written as this; Invalid: as it is
	Dequantize bool         // matrices that GGUF cannot hold (Pith's int codecs, sums of terms) are written as Dense, or F16, instead of refused
	Mix        string       // preset that general.file_type shall name (one of Mixes); "": the one that fits the tensors' types
	Warn       func(string) // told what llama.cpp will compute differently from the config, and what was left out; may be nil
}

// ErrNotInGGUF is wrapped by the error for a weight whose terms GGUF cannot hold.
var ErrNotInGGUF = errors.New("GGUF has no layout for this")

// ExportGGUF writes a model to path, atomically, as llama.cpp reads it. tok may be nil: llama.cpp then loads the model but cannot tokenize.
// Tensors lie in the order that llama-quantize gives them: by layer, those outside the layers first, then by name. Metadata: general.*, the
// architecture's, tokenizer.*, and last general.quantization_version and general.file_type. Vectors, norms and position embeddings are
// F32. The same input gives the same bytes.
func ExportGGUF(path string, c model.Config, tok *tokenizer.Tokenizer, w model.Weights, o GGUFOptions) error {
	kv, tensors, err := ggufContents(c, tok, w, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return formats.WriteGGUF(path, kv, tensors)
}

// ggufContents returns the metadata and the tensors of ExportGGUF's file.
func ggufContents(c model.Config, tok *tokenizer.Tokenizer, w model.Weights, o GGUFOptions) ([]formats.KV, []formats.LazyTensor, error) {
	a, err := Find(c.ModelType)
	if err != nil {
		return nil, nil, err
	}
	switch o.Dense {
	case tensor.Invalid, tensor.F32, tensor.F16, tensor.BF16:
	default:
		return nil, nil, fmt.Errorf("dense matrices can be F32, F16 or BF16, not %v", o.Dense)
	}
	parameters, err := modelParameters(a, c, o.Warn)
	if err != nil {
		return nil, nil, err
	}
	vocabulary, err := vocabKV(tok, c.Vocab, o.Warn)
	if err != nil {
		return nil, nil, err
	}
	e := exporter{arch: a, config: c, weights: w, options: o, heads: Heads{c.Heads, c.KVHeads, c.HeadDim}}
	if err := e.prepare(); err != nil {
		return nil, nil, err
	}
	fileType, err := e.fileType()
	if err != nil {
		return nil, nil, err
	}
	kv := []formats.KV{{Key: "general.architecture", Value: a.GGUF}, {Key: "general.type", Value: "model"}}
	if o.Name != "" {
		kv = append(kv, formats.KV{Key: "general.name", Value: o.Name})
	}
	kv = append(append(kv, parameters...), vocabulary...)
	kv = append(kv, formats.KV{Key: "general.quantization_version", Value: uint32(2)}, formats.KV{Key: "general.file_type", Value: fileType})
	return kv, e.lazy(), nil
}

type exporter struct {
	arch    *Architecture
	config  model.Config
	weights model.Weights
	options GGUFOptions
	heads   Heads
	tensors []outgoing
}

// outgoing is one tensor of the file to be.
type outgoing struct {
	name   string // in GGUF
	hf     string // in the checkpoint; "": values holds a constant
	values []float64
	layout Layout
	dtype  tensor.DType
	shape  []int
	decode bool // to dtype; otherwise the stored bytes are dtype already
}

// prepare decides on every tensor's name, type and place.
func (e *exporter) prepare() error {
	head := false
	for _, hf := range e.weights.Names() {
		if e.arch.ignored(hf) {
			continue
		}
		name, layout, ok := e.arch.ToGGUF(hf)
		if !ok && e.config.TiedHead && strings.HasPrefix(e.arch.Canonical(hf), "lm_head.") {
			e.warnf("%s is left out: the head is tied to the embedding", hf)
			continue
		}
		if !ok {
			return fmt.Errorf("tensor %s is not part of a %s model as GGUF knows it: remove it from the checkpoint, or keep the Hugging Face format", hf, e.arch.ModelType)
		}
		head = head || name == "output.weight"
		if err := e.add(hf, name, layout); err != nil {
			return fmt.Errorf("%s: %w", hf, err)
		}
	}
	if e.arch.ModelType == "gpt_neox" && !head { // llama.cpp requires it
		if err := e.add("gpt_neox.embed_in.weight", "output.weight", AsIs); err != nil {
			return err
		}
	}
	for name, values := range ropeTensors(e.arch, e.config) {
		e.tensors = append(e.tensors, outgoing{name: name, values: values, dtype: tensor.F32, shape: []int{len(values)}})
	}
	slices.SortFunc(e.tensors, func(a, b outgoing) int {
		return cmp.Or(cmp.Compare(layerOf(a.name), layerOf(b.name)), strings.Compare(a.name, b.name))
	})
	for i := 1; i < len(e.tensors); i++ {
		if e.tensors[i].name == e.tensors[i-1].name {
			return fmt.Errorf("tensors %s and %s of the checkpoint are both %s", e.tensors[i-1].hf, e.tensors[i].hf, e.tensors[i].name)
		}
	}
	return nil
}

// layerOf returns N of "blk.N.…", −1 outside the layers.
func layerOf(name string) int {
	rest, ok := strings.CutPrefix(name, "blk.")
	if !ok {
		return -1
	}
	digits, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}

func (e *exporter) warnf(format string, args ...any) {
	if e.options.Warn != nil {
		e.options.Warn(fmt.Sprintf(format, args...))
	}
}

// add enters a checkpoint tensor. It loads the weight to see how it is stored.
func (e *exporter) add(hf, name string, layout Layout) error {
	w, err := e.weights.Load(hf)
	if err != nil {
		return err
	}
	shape, err := e.weights.Shape(hf)
	if err != nil {
		return err
	}
	out := outgoing{name: name, hf: hf, layout: layout, shape: slices.Clone(shape)}
	if layout == Transposed {
		slices.Reverse(out.shape)
	}
	if _, err := layout.rowOrder(e.heads, first(out.shape)); err != nil {
		return err
	}
	if out.dtype, out.decode, err = e.chooseType(w, out); err != nil {
		return err
	}
	e.tensors = append(e.tensors, out)
	return nil
}

func first(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[0]
}

// chooseType decides how a weight is written, and whether it must be decoded for that.
func (e *exporter) chooseType(w *codec.Weight, out outgoing) (dt tensor.DType, decode bool, err error) {
	stored, packed := storedType(w)
	if len(out.shape) < 2 || strings.HasSuffix(out.name, "_norm.weight") || out.name == "position_embd.weight" {
		return tensor.F32, stored != tensor.F32 || out.layout == PlusOne, nil
	}
	dense := packed && (stored == tensor.F32 || stored == tensor.F16 || stored == tensor.BF16)
	if packed && !stored.Scalar() {
		if out.layout == Transposed && !w.Transposed {
			return 0, false, fmt.Errorf("%w: %w; quantize its transpose, or start from the dense checkpoint", ErrNotInGGUF, errBlockTranspose)
		}
		return stored, false, nil
	}
	switch {
	case dense && (e.options.Dense == tensor.Invalid || e.options.Dense == stored):
		return stored, false, nil
	case dense:
		return e.options.Dense, true, nil
	case e.options.Dequantize || packed && e.options.Dense != tensor.Invalid:
		return cmp.Or(e.options.Dense, tensor.F16), true, nil
	case packed:
		return 0, false, fmt.Errorf("%w: elements of dtype %v: ask for F32, F16 or BF16", ErrNotInGGUF, stored)
	}
	return 0, false, fmt.Errorf("%w: stored as %s; compress to one of q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k instead, or ask for dequantization to F16",
		ErrNotInGGUF, describeTerms(w))
}

// storedType returns the dtype of a weight that is one tensor of scalars or of GGML blocks, whose codecs are named after their dtypes.
func storedType(w *codec.Weight) (dt tensor.DType, packed bool) {
	if len(w.Terms) != 1 {
		return tensor.Invalid, false
	}
	dt, err := tensor.ParseDType(strings.ToUpper(w.Terms[0].Codec()))
	return dt, err == nil && len(w.Terms[0].Parts()) == 1
}

func describeTerms(w *codec.Weight) string {
	names := make([]string, len(w.Terms))
	for i, t := range w.Terms {
		names[i] = t.Codec()
	}
	return strings.Join(names, " + ")
}

// fileTypes numbers llama.cpp's enum llama_ftype for files whose matrices are mostly of one type; the K types are its "_M" mixes, whose
// name llama-quantize also gives to unmixed files.
var fileTypes = map[tensor.DType]uint32{
	tensor.F32: 0, tensor.F16: 1, tensor.BF16: 32, tensor.Q4_0: 2, tensor.Q4_1: 3, tensor.Q8_0: 7, tensor.Q5_0: 8, tensor.Q5_1: 9,
	tensor.Q2_K: 10, tensor.Q3_K: 12, tensor.Q4_K: 15, tensor.Q5_K: 17, tensor.Q6_K: 18,
}

var mixFileTypes = map[string]uint32{"q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17}

// fileType is the number of the stated mix, or of the type that most matrices have; the lower number among equals.
func (e *exporter) fileType() (uint32, error) {
	if mix := strings.ToLower(e.options.Mix); mix != "" {
		if id, ok := mixFileTypes[mix]; ok {
			return id, nil
		}
		if dt, ok := mixes[mix]; ok {
			return fileTypes[dt], nil
		}
		return 0, fmt.Errorf("unknown mix %q; known: %s", e.options.Mix, strings.Join(Mixes(), ", "))
	}
	count := map[uint32]int{}
	for _, t := range e.tensors {
		if len(t.shape) > 1 && t.name != "position_embd.weight" {
			count[fileTypes[t.dtype]]++
		}
	}
	best, most := uint32(0), 0
	for id, n := range count {
		if n > most || n == most && id < best {
			best, most = id, n
		}
	}
	return best, nil
}

// lazy returns the tensors for the writer; each is loaded when its turn comes.
func (e *exporter) lazy() []formats.LazyTensor {
	list := make([]formats.LazyTensor, len(e.tensors))
	for i, t := range e.tensors {
		list[i] = formats.LazyTensor{Info: formats.Info{Name: t.name, DType: t.dtype, Shape: t.shape}, Write: func(w io.Writer) error {
			if err := e.write(w, t); err != nil {
				return fmt.Errorf("%s: %w", t.hf, err)
			}
			return nil
		}}
	}
	return list
}

func (e *exporter) write(to io.Writer, t outgoing) error {
	if t.hf == "" {
		values := make([]float32, len(t.values))
		for i, v := range t.values {
			values[i] = float32(v)
		}
		return writeFloats(to, values, tensor.F32)
	}
	w, err := e.weights.Load(t.hf)
	if err != nil {
		return err
	}
	order, err := t.layout.rowOrder(e.heads, first(t.shape))
	if err != nil {
		return err
	}
	turn := t.layout == Transposed && !w.Transposed
	if t.decode {
		return writeDecoded(to, w, t, order, turn)
	}
	data := w.Terms[0].Parts()[0].Data
	if turn {
		_, size := t.dtype.Block()
		data = transpose(data, w.Rows, w.Cols, size)
	}
	if order == nil {
		_, err = to.Write(data)
		return err
	}
	rowBytes := len(data) / len(order)
	for _, r := range order {
		if _, err := to.Write(data[r*rowBytes : (r+1)*rowBytes]); err != nil {
			return err
		}
	}
	return nil
}

// writeDecoded writes the values of w as t.dtype, a few rows at a time. A vector's row order is that of its elements.
func writeDecoded(to io.Writer, w *codec.Weight, t outgoing, order []int, turn bool) error {
	if turn || w.Rows == 1 {
		return writeWhole(to, w, t, order, turn)
	}
	tile := max(1, (1<<16)/max(1, w.Cols))
	buf := tensor.NewMat(tile, w.Cols)
	for r0 := 0; r0 < w.Rows; r0 += tile {
		rows := buf.Slice(0, min(tile, w.Rows-r0))
		if order == nil {
			w.ReadRows(rows, r0)
		}
		for r := range rows.Rows {
			if order != nil {
				w.ReadRows(rows.Slice(r, r+1), order[r0+r])
			}
			if err := writeFloats(to, rows.Row(r), t.dtype); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeWhole is writeDecoded for vectors and for what must be transposed.
func writeWhole(to io.Writer, w *codec.Weight, t outgoing, order []int, turn bool) error {
	m := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(m, 0)
	values := m.Data
	if turn {
		values = make([]float32, len(m.Data))
		for r := range m.Rows {
			for c, v := range m.Row(r) {
				values[c*m.Rows+r] = v
			}
		}
	}
	if order != nil {
		ordered := make([]float32, len(values))
		for g, r := range order {
			ordered[g] = values[r]
		}
		values = ordered
	}
	if t.layout == PlusOne {
		for i := range values {
			values[i]++
		}
	}
	return writeFloats(to, values, t.dtype)
}

// writeFloats writes values as F32, F16 or BF16; a value that becomes infinite by it is an error.
func writeFloats(to io.Writer, values []float32, dt tensor.DType) error {
	if dt == tensor.F16 {
		for _, v := range values {
			if a := math.Abs(float64(v)); a >= 65520 && !math.IsInf(a, 0) {
				return fmt.Errorf("value %g does not fit F16: ask for BF16 or F32", v)
			}
		}
	}
	_, size := dt.Block()
	data := make([]byte, len(values)*size)
	tensor.Encode(data, dt, values)
	_, err := to.Write(data)
	return err
}
