package checkpoint

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"pith/codec"
	"pith/tensor"
	"pith/tokenizer"
)

// subset is a tensor of a view that has some rows of another: elements of a vector, rows of a matrix, each as it is stored.
type subset struct {
	rows     []int32
	info     Info  // in the view
	rowBytes int64 // stored size of one row
}

// newSubset returns the subset of a tensor; ok is false for one that is not stored row by row.
func newSubset(info Info, rows []int32) (s *subset, ok bool, err error) {
	n := 0
	if len(info.Shape) > 0 {
		n = info.Shape[0]
	}
	if n == 0 || info.Transposed || len(info.Shape) > 2 {
		return nil, false, fmt.Errorf("%s: shape %v has no rows to choose from", info.Name, info.Shape)
	}
	for i, r := range rows {
		if r < 0 || int(r) >= n || i > 0 && r <= rows[i-1] {
			return nil, false, fmt.Errorf("%s: row %d of %d cannot be chosen; rows rise", info.Name, r, n)
		}
	}
	_, stored := storedAs(info)
	s = &subset{rows: rows, info: info, rowBytes: info.Bytes / int64(n)}
	s.info.Shape = slices.Clone(info.Shape)
	s.info.Shape[0] = len(rows)
	s.info.Rows, s.info.Cols = MatrixDims(s.info.Shape)
	s.info.Bytes = s.rowBytes * int64(len(rows))
	return s, stored && info.Bytes%int64(n) == 0, nil
}

// storedAs returns the element or block type of a tensor that is one array of them.
func storedAs(info Info) (tensor.DType, bool) {
	if info.DType != tensor.Invalid {
		return info.DType, true
	}
	dt, err := tensor.ParseDType(strings.ToUpper(info.Codec))
	return dt, err == nil
}

// readAt fills buf from byte off of the chosen rows; whole reads the tensor they are of.
func (s *subset) readAt(buf []byte, off int64, whole func(buf []byte, off int64) error) error {
	for len(buf) > 0 {
		r, in := off/s.rowBytes, off%s.rowBytes
		run := int64(1) // rows that follow each other in the tensor too
		for r+run < int64(len(s.rows)) && s.rows[r+run] == s.rows[r]+int32(run) && run*s.rowBytes-in < int64(len(buf)) {
			run++
		}
		n := min(int64(len(buf)), run*s.rowBytes-in)
		if err := whole(buf[:n], int64(s.rows[r])*s.rowBytes+in); err != nil {
			return err
		}
		buf, off = buf[n:], off+n
	}
	return nil
}

// load selects the rows of a weight in memory.
func (s *subset) load(w *codec.Weight) (*codec.Weight, error) {
	dt, _ := storedAs(s.info)
	all := w.Terms[0].Parts()[0].Data
	data := make([]byte, 0, s.info.Bytes)
	for _, r := range s.rows {
		data = append(data, all[int64(r)*s.rowBytes:int64(r+1)*s.rowBytes]...)
	}
	term, err := codec.Dense(s.info.Name, dt, s.info.Rows, s.info.Cols, data)
	if err != nil {
		return nil, err
	}
	return &codec.Weight{Name: s.info.Name, Rows: s.info.Rows, Cols: s.info.Cols, Shape: s.info.Shape, Terms: []codec.Term{term}}, nil
}

// decodedSubset is a subset of a tensor whose codec does not store row by row: its values, in float32.
func decodedSubset(s *subset, load func() (*codec.Weight, error)) Made {
	return Made{Name: s.info.Name, DType: tensor.F32, Shape: s.info.Shape, Data: func() ([]byte, error) {
		w, err := load()
		if err != nil {
			return nil, err
		}
		data := make([]byte, 4*len(s.rows)*w.Cols)
		row := tensor.NewMat(1, w.Cols)
		for i, r := range s.rows {
			w.ReadRows(row, int(r))
			tensor.Encode(data[4*i*w.Cols:4*(i+1)*w.Cols], tensor.F32, row.Data)
		}
		return data, nil
	}}
}

// choose puts the subsets of an edit among a view's tensors.
func (v *view) choose(rows map[string][]int32, recent *recentTensors) error {
	for name, list := range rows {
		info, err := v.Info(name)
		if err != nil {
			return err
		}
		s, stored, err := newSubset(info, list)
		if err != nil {
			return err
		}
		if stored {
			v.subsets[name] = s
			continue
		}
		below := v.from[name]
		made := newMade(decodedSubset(s, func() (*codec.Weight, error) { return v.store.Load(below) }), recent)
		made.info.File = info.File
		v.made[name] = made
		delete(v.from, name)
	}
	return nil
}

// rowsOfSubset reads a subset's rows.
func (v *view) rowsOfSubset(name string, s *subset) (*Rows, error) {
	if s.info.DType != tensor.Invalid {
		if !s.info.DType.Decodable() {
			return nil, notReal(s.info)
		}
		return &Rows{info: s.info, readAt: func(buf []byte, off int64) error { return v.readAt(name, buf, off) }}, nil
	}
	w, err := v.Load(name)
	if err != nil {
		return nil, err
	}
	return rowsOf(s.info, w), nil
}

// tokenizerOf makes the tokenizer of a view whose files are in memory.
func tokenizerOf(path string, contents []ConfigContent) (*tokenizer.Tokenizer, error) {
	files := map[string][]byte{}
	for _, f := range contents {
		files[f.Name] = f.Data
	}
	data := files[VocabName]
	if data == nil {
		t, err := tokenizer.FromFiles(path, files)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		return t, nil
	}
	return fromVocab(filepath.Join(path, VocabName), data)
}
