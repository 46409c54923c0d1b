package calib

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pith/formats"
	"pith/tensor"
)

// Imatrix is the content of an importance-matrix file of llama.cpp: sums of squares under GGUF's tensor names. There are two forms, a GGUF file
// and the older .dat.
type Imatrix struct {
	Entries   []ImatrixEntry // sorted by name
	Datasets  []string       // names of the texts
	Chunks    int            // windows that were read
	ChunkSize int            // tokens in a window; 0 of a .dat file, which does not say
}

// ImatrixEntry is one tensor's: for each of its matrices (experts; else one) the sum of x² of each feature, and over how many tokens. Of a .dat
// file both are divided by the window's length, which keeps their ratio.
type ImatrixEntry struct {
	Name   string
	Sums   []float32 // matrix after matrix
	Counts []float32 // one per matrix
}

const (
	imatrixSums, imatrixCounts = ".in_sum2", ".counts"
	imatrixType                = "imatrix"
)

// imatrixBytes bounds a .dat file; the largest published ones have some hundred MB.
const imatrixBytes = 4 << 30

// ReadImatrix reads an importance matrix of either form.
func ReadImatrix(path string) (*Imatrix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("importance matrix: %w", err)
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil {
		return nil, fmt.Errorf("%s: too short for an importance matrix: %w", path, err)
	}
	var m *Imatrix
	if string(magic) == "GGUF" {
		m, err = readImatrixGGUF(path)
	} else {
		m, err = readImatrixDat(f)
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: importance matrix: %w", path, err)
	}
	return m, nil
}

// check sorts the entries and returns an error for what sums of squares cannot be.
func (m *Imatrix) check() error {
	slices.SortStableFunc(m.Entries, func(a, b ImatrixEntry) int { return cmp.Compare(a.Name, b.Name) })
	for i, e := range m.Entries {
		if i > 0 && m.Entries[i-1].Name == e.Name {
			return fmt.Errorf("entry %q is there twice", e.Name)
		}
		if len(e.Counts) == 0 || len(e.Sums) == 0 || len(e.Sums)%len(e.Counts) != 0 {
			return fmt.Errorf("entry %q has %d sums for %d matrices", e.Name, len(e.Sums), len(e.Counts))
		}
		for _, v := range slices.Concat(e.Sums, e.Counts) {
			if !(v >= 0) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("entry %q: a sum of squares, or a count, is %v; make it again", e.Name, v)
			}
		}
	}
	return nil
}

func readImatrixGGUF(path string) (*Imatrix, error) {
	g, err := formats.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	m := &Imatrix{}
	if kind, err := g.String("general.type"); err != nil || kind != imatrixType {
		return nil, errors.New("the file is a GGUF file of another kind (general.type is not imatrix)")
	}
	if m.Datasets, err = g.Strings("imatrix.datasets"); err != nil && !errors.Is(err, formats.ErrNoKey) {
		return nil, err
	}
	for key, to := range map[string]*int{"imatrix.chunk_count": &m.Chunks, "imatrix.chunk_size": &m.ChunkSize} {
		n, err := g.Int(key)
		if err != nil && !errors.Is(err, formats.ErrNoKey) {
			return nil, err
		}
		if n < 0 || n > math.MaxInt32 {
			return nil, fmt.Errorf("%s is %d", key, n)
		}
		*to = int(n)
	}
	for _, info := range g.Tensors() {
		name, ok := strings.CutSuffix(info.Name, imatrixSums)
		if !ok {
			continue
		}
		e := ImatrixEntry{Name: name}
		if e.Sums, err = readF32(g, info.Name); err != nil {
			return nil, err
		}
		if e.Counts, err = readF32(g, name+imatrixCounts); err != nil {
			return nil, err
		}
		m.Entries = append(m.Entries, e)
	}
	return m, nil
}

func readF32(g *formats.GGUF, name string) ([]float32, error) {
	t, err := formats.Read(g, name)
	if err != nil {
		return nil, err
	}
	if t.DType != tensor.F32 {
		return nil, fmt.Errorf("tensor %q is %v; F32 is needed", name, t.DType)
	}
	v := make([]float32, len(t.Data)/4)
	tensor.Decode(v, tensor.F32, t.Data, 0)
	return v, nil
}

// readImatrixDat reads the older form, little-endian: int32 entries, and for each int32 length and name, int32 calls, int32 values, float32
// sums; then, if the file goes on, int32 windows, int32 length and name of the text.
func readImatrixDat(f *os.File) (*Imatrix, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > imatrixBytes {
		return nil, fmt.Errorf("not a regular file of at most %d bytes", int64(imatrixBytes))
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, err
	}
	return parseImatrixDat(data)
}

// datScanner reads the fields of a .dat file; after the first error it gives zeros.
type datScanner struct {
	rest []byte
	err  error
}

func (s *datScanner) take(n int, what string) []byte {
	if s.err == nil && (n < 0 || n > len(s.rest)) {
		s.err = fmt.Errorf("%s has %d bytes, and %d are left: the file was cut short, or is no importance matrix", what, n, len(s.rest))
	}
	if s.err != nil {
		return nil
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *datScanner) int(what string) int {
	b := s.take(4, what)
	if b == nil {
		return 0
	}
	return int(int32(binary.LittleEndian.Uint32(b)))
}

func parseImatrixDat(data []byte) (*Imatrix, error) {
	s := &datScanner{rest: data}
	m := &Imatrix{}
	entries := s.int("the number of entries")
	if s.err == nil && (entries < 1 || entries > len(data)/16) {
		return nil, fmt.Errorf("%d entries in %d bytes: not an importance matrix", entries, len(data))
	}
	for i := 0; i < entries && s.err == nil; i++ {
		e := ImatrixEntry{Name: string(s.take(s.int("a name's length"), "a name"))}
		calls, values := s.int("a number of calls"), s.int("a number of values")
		if s.err == nil && (values < 1 || calls < 0) {
			return nil, fmt.Errorf("entry %q has %d values of %d calls", e.Name, values, calls)
		}
		raw := s.take(4*values, "entry "+e.Name)
		e.Sums = make([]float32, len(raw)/4)
		tensor.Decode(e.Sums, tensor.F32, raw, 0)
		e.Counts = []float32{float32(calls)}
		m.Entries = append(m.Entries, e)
	}
	if s.err == nil && len(s.rest) > 0 {
		m.Chunks = max(0, s.int("the number of windows"))
		if name := s.take(s.int("a name's length"), "the text's name"); len(name) > 0 {
			m.Datasets = []string{string(name)}
		}
	}
	return m, s.err
}

// Write writes the importance matrix to path, atomically: as .dat if the path ends so, else as GGUF.
func (m *Imatrix) Write(path string) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("%s: importance matrix: %w", path, err)
	}
	if strings.EqualFold(filepath.Ext(path), ".dat") {
		return m.writeDat(path)
	}
	kv := []formats.KV{{Key: "general.type", Value: imatrixType}, {Key: "imatrix.datasets", Value: m.Datasets},
		{Key: "imatrix.chunk_count", Value: uint32(m.Chunks)}, {Key: "imatrix.chunk_size", Value: uint32(m.ChunkSize)}}
	if m.Datasets == nil {
		kv[1].Value = []string{}
	}
	var list []formats.LazyTensor
	add := func(name string, shape []int, values []float32) {
		list = append(list, formats.LazyTensor{Info: formats.Info{Name: name, DType: tensor.F32, Shape: shape}, Data: func() ([]byte, error) {
			data := make([]byte, 4*len(values))
			tensor.Encode(data, tensor.F32, values)
			return data, nil
		}})
	}
	for _, e := range m.Entries {
		sums, counts := []int{len(e.Sums)}, []int{1}
		if n := len(e.Counts); n > 1 {
			sums, counts = []int{n, len(e.Sums) / n}, []int{n, 1}
		}
		add(e.Name+imatrixSums, sums, e.Sums)
		add(e.Name+imatrixCounts, counts, e.Counts)
	}
	return formats.WriteGGUF(path, kv, list)
}

// writeDat writes the older form, which has one number of calls for a whole entry: each matrix's mean is multiplied by that of its busiest.
func (m *Imatrix) writeDat(path string) error {
	le := binary.LittleEndian
	var b bytes.Buffer
	word := func(n int) { b.Write(le.AppendUint32(nil, uint32(n))) }
	text := func(s string) { word(len(s)); b.WriteString(s) }
	word(len(m.Entries))
	for _, e := range m.Entries {
		text(e.Name)
		calls := (int(slices.Max(e.Counts)) + max(1, m.ChunkSize) - 1) / max(1, m.ChunkSize)
		word(calls)
		word(len(e.Sums))
		for i := range e.Sums {
			b.Write(le.AppendUint32(nil, math.Float32bits(float32(e.Mean(i)*float64(calls)))))
		}
	}
	word(m.Chunks)
	text(strings.Join(m.Datasets, ", "))
	return formats.WriteFileAtomic(path, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}

// Mean returns the mean square that belongs to Sums[i]: 1, as llama.cpp has it, for a matrix that no token reached.
func (e *ImatrixEntry) Mean(i int) float64 {
	n := e.Counts[i/(len(e.Sums)/len(e.Counts))]
	if n == 0 {
		return 1
	}
	return float64(e.Sums[i]) / float64(n)
}
