package calib

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"pith/formats"
	"pith/tensor"
)

// A file of statistics is one safetensors file. For a site S it has S|moments, F64 (features), and S|gram, F64 (features·(features+1)/2),
// the lower triangle by rows; where the site says so, S|magnitudes, F64 (features); for an embedding S|counts, I64 (rows). The metadata entry metadataKey is a fileHeader as JSON.
const (
	metadataKey = "pith.statistics"
	fileFormat  = 1

	momentsPart, gramPart, countsPart, magnitudesPart = "|moments", "|gram", "|counts", "|magnitudes"
)

// fileHeader says what the tensors are.
type fileHeader struct {
	Format  int      `json:"format"`
	Tool    string   `json:"tool,omitempty"`
	Model   Model    `json:"model"`
	Corpora []Corpus `json:"corpora"`
	Sites   []Site   `json:"sites"`

	Fisher []FisherShape `json:"fisher,omitempty"` // weights whose squared gradients are there
}

// setFile is an open file of statistics.
type setFile struct {
	path string
	src  *formats.Safetensors
}

// Open opens a file of statistics. Only its header is read; sums are read, and checked, when they are asked for.
func Open(path string) (*Set, error) {
	src, err := formats.OpenSafetensors(path)
	if err != nil {
		return nil, err
	}
	s, err := newFileSet(path, src)
	if err != nil {
		src.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// ErrNotStatistics is wrapped by Open's error about a safetensors file of another kind.
var ErrNotStatistics = errors.New("holds no statistics; give a file that pith calibrate wrote")

const remake = "run pith calibrate again"

func newFileSet(path string, src *formats.Safetensors) (*Set, error) {
	text, ok := src.Metadata()[metadataKey]
	if !ok {
		return nil, ErrNotStatistics
	}
	var h fileHeader
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, fmt.Errorf("metadata %s: %w: %s", metadataKey, err, remake)
	}
	if h.Format != fileFormat {
		return nil, fmt.Errorf("statistics of format %d, this version of pith reads %d: %s", h.Format, fileFormat, remake)
	}
	file := &setFile{path, src}
	s := &Set{Model: h.Model, Corpora: h.Corpora, Tool: h.Tool, files: []*setFile{file}}
	known := 0
	for _, site := range h.Sites {
		if err := s.enter(entry{Site: site, from: file}); err != nil {
			return nil, fmt.Errorf("%w: %s", err, remake)
		}
		for _, t := range site.tensors() {
			info, err := src.Info(t.Name)
			if err != nil || info.DType != t.DType || len(info.Shape) != 1 || info.Shape[0] != t.Shape[0] {
				return nil, fmt.Errorf("site %q calls for a tensor %s %v %v, which is not there: %s", site.Name, t.Name, t.DType, t.Shape, remake)
			}
			known++
		}
	}
	for _, f := range h.Fisher {
		if err := s.enterFisher(fisherEntry{FisherShape: f, from: file}); err != nil {
			return nil, fmt.Errorf("%w: %s", err, remake)
		}
		for _, t := range f.tensors() {
			info, err := src.Info(t.Name)
			if err != nil || info.DType != t.DType || len(info.Shape) != 1 || info.Shape[0] != t.Shape[0] {
				return nil, fmt.Errorf("squared gradients call for a tensor %s %v %v, which is not there: %s", t.Name, t.DType, t.Shape, remake)
			}
			known++
		}
	}
	if n := len(src.Names()); n != known {
		return nil, fmt.Errorf("%d tensors, and the sites call for %d: %s", n, known, remake)
	}
	return s, checkCorpora(h.Corpora)
}

func checkCorpora(list []Corpus) error {
	for _, c := range list {
		if c.Context < 1 || c.Windows < 0 || c.Tokens < 0 || c.Tokens != int64(c.Windows)*int64(c.Context) {
			return fmt.Errorf("a corpus of %d windows of %d tokens, together %d: %s", c.Windows, c.Context, c.Tokens, remake)
		}
	}
	return nil
}

// tensors lists what a file has for the site.
func (s *Site) tensors() []formats.Info {
	part := func(suffix string, d tensor.DType, n int) formats.Info {
		return formats.Info{Name: s.Name + suffix, DType: d, Shape: []int{n}, Bytes: 8 * int64(n)}
	}
	if s.Need == Counts {
		return []formats.Info{part(countsPart, tensor.I64, s.Features)}
	}
	list := []formats.Info{part(momentsPart, tensor.F64, s.Features)}
	if s.Need == Gram {
		list = append(list, part(gramPart, tensor.F64, packed(s.Features)))
	}
	if s.Magnitudes {
		list = append(list, part(magnitudesPart, tensor.F64, s.Features))
	}
	return list
}

// Bytes returns the stored size of the site's statistics.
func (s *Site) Bytes() int64 {
	var n int64
	for _, t := range s.tensors() {
		n += t.Bytes
	}
	return n
}

// Save writes the set to path, atomically, one site in memory at a time.
func (s *Set) Save(path string) error {
	h := fileHeader{Format: fileFormat, Tool: s.Tool, Model: s.Model, Corpora: s.Corpora, Sites: s.Sites(), Fisher: s.Fishers()}
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var all []formats.LazyTensor
	for i := range s.entries {
		e := &s.entries[i]
		for _, t := range e.tensors() {
			all = append(all, formats.LazyTensor{Info: t, Write: func(w io.Writer) error { return s.write(w, e, t) }})
		}
	}
	all = append(all, s.lazyFishers()...)
	return formats.WriteSafetensors(path, all, map[string]string{metadataKey: string(text)})
}

// write streams one of a site's tensors.
func (s *Set) write(w io.Writer, e *entry, t formats.Info) error {
	if f, ok := e.from.(*setFile); ok {
		lazy, err := formats.Lazy(f.src, t.Name)
		if err != nil {
			return err
		}
		return lazy.Write(w)
	}
	part := t.Name[len(e.Name):]
	need := Moments
	if part == gramPart {
		need = Gram
	}
	st, err := s.stats(e, need)
	if err != nil {
		return err
	}
	switch part {
	case gramPart:
		return writeWords(w, st.Gram)
	case countsPart:
		return writeWords(w, st.Counts)
	case magnitudesPart:
		return writeWords(w, st.AbsSum)
	}
	return writeWords(w, st.SqSum)
}

// writeWords writes 8-byte little-endian values, a buffer at a time.
func writeWords[T int64 | float64](w io.Writer, values []T) error {
	const piece = 1 << 13
	buf := make([]byte, 0, 8*piece)
	for len(values) > 0 {
		n := min(piece, len(values))
		var err error
		if buf, err = binary.Append(buf[:0], binary.LittleEndian, values[:n]); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// load reads a site's statistics and checks them.
func (f *setFile) load(site *Site, need Need) (*Stats, error) {
	st := &Stats{Tokens: site.Tokens, NonFinite: site.NonFinite}
	var err error
	if site.Need == Counts {
		st.Counts, err = readWords[int64](f, site.Name+countsPart, site.Features)
	} else if st.SqSum, err = readWords[float64](f, site.Name+momentsPart, site.Features); err == nil && site.Need == Gram && need.Has(Gram) {
		st.Gram, err = readWords[float64](f, site.Name+gramPart, packed(site.Features))
	}
	if err == nil && site.Magnitudes && site.Need != Counts {
		st.AbsSum, err = readWords[float64](f, site.Name+magnitudesPart, site.Features)
	}
	if err == nil {
		err = st.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: site %q: %w", f.path, site.Name, err)
	}
	return st, nil
}

// readWords reads n 8-byte values, which Open has seen are there.
func readWords[T int64 | float64](f *setFile, name string, n int) ([]T, error) {
	values := make([]T, n)
	buf := make([]byte, 1<<16)
	for i := 0; i < n; {
		piece := buf[:min(len(buf), 8*(n-i))]
		if err := f.src.ReadAt(name, piece, 8*int64(i)); err != nil {
			return nil, err
		}
		m := len(piece) / 8
		if err := binary.Read(bytes.NewReader(piece), binary.LittleEndian, values[i:i+m]); err != nil {
			return nil, err
		}
		i += m
	}
	return values, nil
}

var errDamaged = errors.New("the file is damaged: " + remake)

// check returns an error for what sums of squares and products cannot be.
func (s *Stats) check() error {
	const slack = 1 + 1e-6 // rounding of the sums is a thousand times less
	for i, v := range s.SqSum {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("the squares of feature %d add up to %v: %w", i, v, errDamaged)
		}
	}
	for i, v := range s.AbsSum { // at most √(tokens · Σ x²), by Cauchy and Schwarz
		if !(v >= 0) || v*v > s.SqSum[i]*float64(s.Tokens)*slack {
			return fmt.Errorf("the magnitudes of feature %d add up to %v: %w", i, v, errDamaged)
		}
	}
	for i, n := range s.Counts {
		if n < 0 {
			return fmt.Errorf("row %d was read %d times: %w", i, n, errDamaged)
		}
	}
	if s.Gram == nil {
		return nil
	}
	for i := range s.SqSum {
		row := s.GramRow(i)
		if row[i] != s.SqSum[i] {
			return fmt.Errorf("entry %d of the Gram matrix's diagonal is not the feature's moment: %w", i, errDamaged)
		}
		for j, v := range row[:i] {
			if !(v*v <= s.SqSum[i]*s.SqSum[j]*slack) { // Cauchy and Schwarz; also NaN
				return fmt.Errorf("entry (%d, %d) of the Gram matrix is %v, more than its diagonal allows: %w", i, j, v, errDamaged)
			}
		}
	}
	return nil
}

// Close closes the files that statistics are read from.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.src.Close())
	}
	s.files = nil
	return errors.Join(errs...)
}
