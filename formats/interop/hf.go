package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"pith/formats"
	"pith/model"
	"pith/tensor"
)

// HFOptions are the choices when writing a Hugging Face directory.
type HFOptions struct {
	// Dense is F32, F16 or BF16: every tensor of reals is written as this. Invalid: scalar tensors are kept as stored, and quantized ones are
	// decoded to F32, which holds their values exactly. Whole numbers are kept as stored.
	Dense tensor.DType
	Files map[string][]byte // further files of the directory, by name: tokenizer.json, tokenizer.model, tokenizer_config.json, …
}

// ExportHF writes a model as a Hugging Face directory: model.safetensors with plain tensors, config.json, and o.Files. The weights' file is
// written last, so that a directory with weights is complete. configJSON's dtype is set to what most matrices are stored as.
func ExportHF(dir string, configJSON []byte, w model.Weights, o HFOptions) error {
	switch o.Dense {
	case tensor.Invalid, tensor.F32, tensor.F16, tensor.BF16:
	default:
		return fmt.Errorf("%s: tensors can be written as F32, F16 or BF16, not %v", dir, o.Dense)
	}
	for name := range o.Files {
		if name != filepath.Base(name) || name == "." || name == ".." {
			return fmt.Errorf("%s: %q is not a file name", dir, name)
		}
	}
	tensors, matrices, err := hfTensors(w, o.Dense)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if configJSON, err = withDType(configJSON, matrices); err != nil {
		return fmt.Errorf("%s: config.json: %w", dir, err)
	}
	files := map[string][]byte{"config.json": configJSON}
	for name, data := range o.Files {
		files[name] = data
	}
	undo, err := writeBeside(dir, files)
	if err == nil {
		err = formats.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"})
	}
	if err != nil {
		undo()
	}
	return err
}

// writeBeside writes the small files of a model into dir, which is made if need be. undo removes what was not there before.
func writeBeside(dir string, files map[string][]byte) (undo func(), err error) {
	var made []string
	undo = func() {
		for i := len(made) - 1; i >= 0; i-- {
			os.Remove(made[i]) // a directory that others have filled meanwhile stays
		}
	}
	note := func(path string) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			made = append(made, path)
		}
	}
	note(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return undo, err
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		note(path)
		err := formats.WriteFileAtomic(path, func(to io.Writer) error {
			_, err := to.Write(data)
			return err
		})
		if err != nil {
			return undo, err
		}
	}
	return undo, nil
}

// hfTensors returns the tensors to write, and the dtype that most bytes of matrices have.
func hfTensors(w model.Weights, dense tensor.DType) (list []formats.LazyTensor, most tensor.DType, err error) {
	elements := map[tensor.DType]int{}
	for _, name := range w.Names() {
		x, err := w.Load(name)
		if err != nil {
			return nil, 0, err
		}
		shape, err := w.Shape(name)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", name, err)
		}
		stored, packed := storedType(x)
		dt := dense
		if packed && whole(stored) {
			dt = stored // a map of ids, not weights
		} else if dt == tensor.Invalid {
			dt = tensor.F32
			if packed && stored.Scalar() {
				dt = stored
			}
		}
		if len(shape) > 1 {
			elements[dt] += tensor.Elements(shape)
		}
		list = append(list, formats.LazyTensor{Info: formats.Info{Name: name, DType: dt, Shape: shape}, Write: func(to io.Writer) error {
			if err := writeHF(to, w, name, dt); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}})
	}
	most = tensor.F32
	for _, dt := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16} {
		if elements[dt] > elements[most] {
			most = dt
		}
	}
	return list, most, nil
}

// whole reports whether a dtype holds whole numbers or flags: ids and maps, which keep their type.
func whole(dt tensor.DType) bool {
	switch dt {
	case tensor.Bool, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64:
		return true
	}
	return false
}

func writeHF(to io.Writer, w model.Weights, name string, dt tensor.DType) error {
	x, err := w.Load(name)
	if err != nil {
		return err
	}
	if stored, packed := storedType(x); packed && stored == dt {
		data := x.Terms[0].Parts()[0].Data
		if x.Transposed {
			_, size := dt.Block()
			data = transpose(data, x.Rows, x.Cols, size)
		}
		_, err := to.Write(data)
		return err
	}
	return writeDecoded(to, x, outgoing{dtype: dt}, nil, x.Transposed)
}

// withDType sets torch_dtype, and dtype where the config has it.
func withDType(configJSON []byte, dt tensor.DType) ([]byte, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(configJSON))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	name := map[tensor.DType]string{tensor.F32: "float32", tensor.F16: "float16", tensor.BF16: "bfloat16"}[dt]
	key := "torch_dtype"
	if _, ok := fields["dtype"]; ok {
		key = "dtype"
		delete(fields, "torch_dtype")
	}
	fields[key] = name
	return json.MarshalIndent(fields, "", "  ")
}
