package checkpoint

import (
	"fmt"
	"slices"

	"pith/codec"
	"pith/tensor"
)

// Names returns the weights' names, sorted.
func (s *Stack) Names() []string { return slices.Clone(s.names) }

// Files returns the path of the stack.
func (s *Stack) Files() []string { return []string{s.path} }

// Close does nothing: no file is open.
func (s *Stack) Close() error { return nil }

func (s *Stack) find(name string) (int, error) {
	w, ok := s.weights[name]
	if !ok {
		return 0, fmt.Errorf("%s: no tensor %s", s.path, name)
	}
	return w, nil
}

// Info describes a weight with the blocks in use.
func (s *Stack) Info(name string) (Info, error) {
	w, err := s.find(name)
	if err != nil {
		return Info{}, err
	}
	rec := &s.index.Weights[w]
	info := Info{Name: name, Shape: rec.Shape, Transposed: rec.Transposed, File: s.path}
	info.Rows, info.Cols = MatrixDims(rec.Shape)
	if rec.Transposed {
		info.Rows, info.Cols = info.Cols, info.Rows
	}
	var codecs []string
	add := func(layout int) {
		l := &s.index.Layouts[layout]
		codecs = append(codecs, l.Codec)
		info.Bytes += l.bytes
		info.DType = l.plain()
	}
	for _, k := range s.kept[w] {
		add(s.index.Kept.Layouts[k])
	}
	use := s.InUse()
	for _, b := range s.blocks[w] {
		if b < use {
			add(s.index.Blocks.Layouts[b])
		}
	}
	if len(codecs) > 1 || rec.Transposed {
		info.DType = tensor.Invalid
	}
	info.Codec = codec.SumName(codecs)
	return info, nil
}

// Load returns a weight with the blocks in use. The first call for a stacked weight reads all blocks in use, one after another.
func (s *Stack) Load(name string) (*codec.Weight, error) {
	w, err := s.find(name)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(name)
	if err != nil {
		return nil, err
	}
	out := &codec.Weight{Name: name, Rows: info.Rows, Cols: info.Cols, Shape: info.Shape, Transposed: info.Transposed}
	if len(s.kept[w]) > 0 {
		out.Terms, err = s.loadKept(w)
		return out, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.read {
		if err := s.readBlocks(s.use); err != nil {
			return nil, err
		}
		s.read = true
	}
	out.Terms = s.termsOf(w)
	return out, nil
}

// loadKept returns the terms of a weight that is not stacked.
func (s *Stack) loadKept(w int) (terms []codec.Term, err error) {
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, k := range s.kept[w] {
		data, err := s.readPiece(f, len(s.index.Files)+k)
		if err != nil {
			return nil, err
		}
		if !s.index.Kept.holds(k, data) {
			return nil, fmt.Errorf("%s: %s is damaged: copy the file again", s.path, s.index.Weights[w].Name)
		}
		term, err := s.openTerm(s.index.Kept.Layouts[k], data)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.path, s.index.Weights[w].Name, err)
		}
		terms = append(terms, term)
	}
	return terms, nil
}

// Rows returns a reader of a weight's rows.
func (s *Stack) Rows(name string) (*Rows, error) {
	info, err := s.Info(name)
	if err != nil {
		return nil, err
	}
	w, err := s.Load(name)
	if err != nil {
		return nil, err
	}
	return rowsOf(info, w), nil
}

func (s *Stack) readAt(name string, buf []byte, off int64) error {
	w, err := s.find(name)
	if err != nil {
		return err
	}
	if len(s.kept[w]) != 1 {
		return fmt.Errorf("%s: %s is no plain tensor", s.path, name)
	}
	terms, err := s.loadKept(w)
	if err != nil {
		return err
	}
	if data := terms[0].Parts()[0].Data; off < 0 || off+int64(len(buf)) > int64(len(data)) {
		return fmt.Errorf("%s: %s: bytes %d to %d are outside of the tensor", s.path, name, off, off+int64(len(buf)))
	} else {
		copy(buf, data[off:])
	}
	return nil
}
