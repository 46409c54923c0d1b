package checkpoint

import (
	"fmt"
	"strings"

	"pith/codec"
	"pith/formats/interop"
	"pith/model"
	"pith/tensor"
)

// gguf is a GGUF file under Hugging Face names and layouts.
type gguf struct {
	m   *interop.GGUFModel
	cfg model.Config // zero for an architecture without a table
}

func openGGUF(path string) (*Checkpoint, error) {
	m, err := interop.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Path: path, Kind: GGUF, configJSON: m.ConfigJSON()}
	cfg, err := c.Config()
	if err != nil {
		cfg = model.Config{} // whoever needs it gets the error
	}
	c.store = &gguf{m, cfg}
	return c, nil
}

func (g *gguf) Names() []string { return g.m.Names() }
func (g *gguf) Close() error    { return g.m.Close() }
func (g *gguf) Files() []string { return filesOf(g.m) }

func (g *gguf) readAt(name string, buf []byte, off int64) error { return g.m.ReadAt(name, buf, off) }

// Info gives a linear that checkpoints store (in, out) as GGUF stores it, (out, in), marked as transposed.
func (g *gguf) Info(name string) (Info, error) {
	t, err := g.m.Info(name)
	if err != nil {
		return Info{}, err
	}
	rows, cols := MatrixDims(t.Shape)
	info := Info{Name: name, Shape: t.Shape, Rows: rows, Cols: cols, Codec: strings.ToLower(t.DType.String()), Bytes: t.Bytes, File: t.File}
	if t.DType.Scalar() {
		info.DType = t.DType
	}
	if model.Transposed(g.cfg, name) {
		info.Rows, info.Cols, info.Transposed = cols, rows, true
	}
	return info, nil
}

func (g *gguf) Load(name string) (*codec.Weight, error) {
	w, err := g.m.Load(name)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return w, nil
}

func (g *gguf) Rows(name string) (*Rows, error) {
	info, err := g.Info(name)
	if err != nil {
		return nil, err
	}
	if info.DType != tensor.Invalid {
		return rowsPlain(g.m, info)
	}
	w, err := g.Load(name)
	if err != nil {
		return nil, err
	}
	return rowsOf(info, w), nil
}
