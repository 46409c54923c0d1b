package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"pith/codec"
	"pith/formats"
	"pith/tensor"
)

// plain is a checkpoint whose every weight is one tensor of a safetensors file.
type plain struct {
	src formats.Source
}

func (p *plain) Names() []string { return p.src.Names() }
func (p *plain) Close() error    { return p.src.Close() }

func (p *plain) Info(name string) (Info, error) {
	t, err := p.src.Info(name)
	if err != nil {
		return Info{}, err
	}
	return plainInfo(t), nil
}

func plainInfo(t formats.Info) Info {
	rows, cols := MatrixDims(t.Shape)
	return Info{Name: t.Name, Shape: t.Shape, Rows: rows, Cols: cols, Codec: strings.ToLower(t.DType.String()),
		DType: t.DType, Bytes: t.Bytes, File: t.File}
}

func (p *plain) Load(name string) (*codec.Weight, error) { return loadPlain(p.src, name) }

func loadPlain(src formats.Source, name string) (*codec.Weight, error) {
	t, err := formats.Read(src, name)
	if err != nil {
		return nil, err
	}
	rows, cols := MatrixDims(t.Shape)
	term, err := codec.Dense(name, t.DType, rows, cols, t.Data)
	if err != nil {
		return nil, err
	}
	return &codec.Weight{Name: name, Rows: rows, Cols: cols, Shape: t.Shape, Terms: []codec.Term{term}}, nil
}

func (p *plain) Rows(name string) (*Rows, error) {
	info, err := p.Info(name)
	if err != nil {
		return nil, err
	}
	return rowsPlain(p.src, info)
}

func rowsPlain(src formats.Source, info Info) (*Rows, error) {
	if !info.DType.Decodable() {
		return nil, notReal(info)
	}
	return &Rows{info: info, readAt: func(buf []byte, off int64) error { return src.ReadAt(info.Name, buf, off) }}, nil
}

func notReal(info Info) error {
	return fmt.Errorf("%s: %s: elements of dtype %v are not real numbers; keep this tensor as it is", info.File, info.Name, info.DType)
}

func (p *plain) Files() []string { return filesOf(p.src) }

func filesOf(src formats.Source) []string {
	seen := map[string]bool{}
	var files []string
	for _, name := range src.Names() {
		if t, err := src.Info(name); err == nil && !seen[t.File] {
			seen[t.File] = true
			files = append(files, t.File)
		}
	}
	slices.Sort(files)
	return files
}

// ReadRaw fills buf from byte off of a plain tensor's stored bytes. It panics if Plain says no.
func (c *Checkpoint) ReadRaw(name string, buf []byte, off int64) error {
	if !c.Plain(name) {
		panic("checkpoint: ReadRaw of a weight that is not a plain tensor")
	}
	return c.store.readAt(name, buf, off)
}

func (p *plain) readAt(name string, buf []byte, off int64) error { return p.src.ReadAt(name, buf, off) }

// Plain reports whether a weight is one tensor of scalars in the checkpoint's orientation, which ReadRaw can copy as it is.
func (c *Checkpoint) Plain(name string) bool {
	info, err := c.Info(name)
	return err == nil && info.DType != tensor.Invalid && !info.Transposed
}
