// Package checkpoint is the one way to open a model, whatever holds it: a Hugging Face directory, a bare .safetensors file, a GGUF
// file, a Pith artifact or a Pith stack. Weights are read lazily, by name, whole or a few rows at a time; names and layouts are Hugging Face's.
package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pith/codec"
	"pith/model"
	"pith/tensor"
)

// Kind is what a path turned out to hold.
type Kind string

// The kinds of checkpoint.
const (
	HuggingFace Kind = "huggingface" // directory of safetensors with config.json
	Safetensors Kind = "safetensors" // one bare file
	GGUF        Kind = "gguf"
	Artifact    Kind = "pith"
	StackFile   Kind = "stack" // Pith's file of any size
)

// Info describes one weight as it is stored.
type Info struct {
	Name       string
	Shape      []int        // as the checkpoint states it
	Rows, Cols int          // the matrix it is: leading dimensions multiplied, last dimension; a vector has 1 row
	Transposed bool         // Rows and Cols are those of the transpose of Shape (packed gpt2 linears)
	Codec      string       // how it is stored: "f16", "int4-g128", "q4_k"; several terms are joined by "+"
	DType      tensor.DType // element type of a plain tensor; Invalid for terms of packed parts
	Bytes      int64        // exact stored size of what is its own
	File       string       // file that holds it

	SharedBytes int64  // of the tensors that it refers to, which other weights may refer to as well
	Of          string // the weight whose tensors are all that it has: it is the same matrix, stored once
}

// store is one kind's way to get at weights.
type store interface {
	Names() []string // sorted
	Info(name string) (Info, error)
	Load(name string) (*codec.Weight, error)
	// Rows returns a reader of the weight's rows; plain tensors are read from the file, packed ones are held in memory.
	Rows(name string) (*Rows, error)
	Files() []string // weight files, as paths
	Close() error
	// readAt fills buf from byte off of a weight's stored bytes; the weight is one tensor of scalars in the checkpoint's orientation.
	readAt(name string, buf []byte, off int64) error
}

// Checkpoint is an open model. It implements model.Weights and is safe for concurrent use.
type Checkpoint struct {
	Path string
	Kind Kind

	store
	dir        string          // where config.json and the tokenizer lie; empty for GGUF
	configJSON []byte          // nil if there is none
	files      []ConfigContent // of a view that has its own, besides config.json; nil: those of dir, or of the GGUF file
}

var _ model.Weights = (*Checkpoint)(nil)

// Open opens the model at path. It reads headers only; errors name the file and what to do about it.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s: does not exist; give a Hugging Face directory, a .safetensors or .gguf file, or a Pith artifact", path)
	case err != nil:
		return nil, fmt.Errorf("open checkpoint: %w", err)
	case info.IsDir():
		return openDir(path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is a pipe or a device, and weights are read from anywhere in a file; save it to a regular file first", path)
	}
	return openFile(path)
}

// Config returns the model's configuration. A model type Pith has no table for gives an error that wraps
// model.ErrUnknownArchitecture; such a checkpoint can still be compressed.
func (c *Checkpoint) Config() (model.Config, error) {
	if c.configJSON == nil {
		if c.Kind == StackFile {
			return model.Config{}, fmt.Errorf("%s: holds no config.json; make the stack again of a model that has one", c.Path)
		}
		return model.Config{}, fmt.Errorf("%s: no config.json beside the weights; copy the model's config.json into %s", c.Path, c.dir)
	}
	cfg, err := model.ParseConfig(c.configJSON)
	if err != nil {
		if c.Kind == GGUF || c.Kind == StackFile {
			return cfg, fmt.Errorf("%s: %w", c.Path, err)
		}
		return cfg, fmt.Errorf("%s: %w", filepath.Join(c.dir, "config.json"), err)
	}
	return cfg, nil
}

// ConfigJSON returns the bytes of config.json, or nil if the checkpoint has none.
func (c *Checkpoint) ConfigJSON() []byte { return c.configJSON }

// Dir returns the directory that holds config.json and the tokenizer files, or "" for GGUF; of a stack, which holds them itself, that of the file.
func (c *Checkpoint) Dir() string { return c.dir }

// Shape returns a weight's shape as the checkpoint states it.
func (c *Checkpoint) Shape(name string) ([]int, error) {
	info, err := c.Info(name)
	return info.Shape, err
}

// ReadRows overwrites dst with rows r0 … r0+dst.Rows of a weight, in float32, reading only those rows of plain tensors.
func (c *Checkpoint) ReadRows(name string, dst tensor.Mat, r0 int) error {
	rows, err := c.Rows(name)
	if err != nil {
		return err
	}
	return rows.Read(dst, r0)
}

// Bytes returns the exact stored size of all tensors, file headers excluded.
func (c *Checkpoint) Bytes() int64 {
	var n int64
	for _, name := range c.Names() {
		if info, err := c.Info(name); err == nil {
			n += info.Bytes
		}
	}
	return n + c.SharedBytes()
}

// SharedBytes returns the exact stored size of tensors that weights refer to and none owns.
func (c *Checkpoint) SharedBytes() int64 {
	if s, ok := c.source().(interface{ sharedBytes() int64 }); ok {
		return s.sharedBytes()
	}
	return 0
}

// NumWeights returns the number of elements of all weights.
func (c *Checkpoint) NumWeights() int64 {
	var n int64
	for _, name := range c.Names() {
		if info, err := c.Info(name); err == nil {
			n += int64(info.Rows) * int64(info.Cols)
		}
	}
	return n
}

// MatrixDims returns the matrix that a tensor of this shape is treated as: leading dimensions multiplied, and the last one.
// A vector is (1, n), a scalar (1, 1).
func MatrixDims(shape []int) (rows, cols int) {
	if len(shape) == 0 {
		return 1, 1
	}
	rows = 1
	for _, d := range shape[:len(shape)-1] {
		rows *= d
	}
	return rows, shape[len(shape)-1]
}
