package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pith/codec"
	"pith/formats"
	"pith/tensor"
)

// artifact is Pith's own layout: weights are sums of terms, whose parts are tensors "<weight>|<term>.<part>"; a weight that was
// kept is a tensor under its own name.
type artifact struct {
	src      formats.Source
	names    []string
	packed   map[string][]TermSpec
	referred map[string]bool // tensors that terms of other weights refer to
	hidden   map[string]bool // those that are no weight's own

	tensors, terms, inner commons
}

// newArtifact matches the tensors of src with the terms that metadata describes.
func newArtifact(path string, src formats.Source, metadata map[string]string) (*artifact, error) {
	a := &artifact{src: src, packed: map[string][]TermSpec{}, referred: map[string]bool{}, hidden: map[string]bool{}}
	claimed := map[string]bool{}
	for weight, value := range metadata {
		if strings.HasPrefix(weight, "pith.") || weight == "format" {
			continue
		}
		specs, err := parseTerms(value)
		if err != nil {
			return nil, fmt.Errorf("%s: metadata of %s: %w", path, weight, err)
		}
		a.packed[weight] = specs
		for i, s := range specs {
			for _, part := range s.Parts {
				name, shared := s.tensorOf(weight, i, part)
				if shared {
					continue
				}
				if _, err := src.Info(name); err != nil {
					return nil, fmt.Errorf("%s: %s: part is missing (%w): compress again", path, name, err)
				}
				claimed[name] = true
			}
		}
	}
	if err := a.refer(path); err != nil {
		return nil, err
	}
	for _, name := range src.Names() {
		switch {
		case claimed[name]:
		case a.referred[name] && strings.Contains(name, "|"):
			a.hidden[name] = true
		case strings.Contains(name, "|"):
			return nil, fmt.Errorf("%s: %s belongs to no weight that the metadata names: the artifact is damaged, compress again", path, name)
		case a.packed[name] != nil:
			return nil, fmt.Errorf("%s: %s is stored both whole and in parts: the artifact is damaged, compress again", path, name)
		default:
			a.names = append(a.names, name)
		}
	}
	a.names = slices.AppendSeq(a.names, maps.Keys(a.packed))
	slices.Sort(a.names)
	return a, nil
}

// parseTerms reads the metadata value of one weight; dimensions are checked against overflow.
func parseTerms(value string) ([]TermSpec, error) {
	var specs []TermSpec
	if err := json.Unmarshal([]byte(value), &specs); err != nil {
		return nil, fmt.Errorf("not a list of terms (%w)", err)
	}
	if len(specs) == 0 || len(specs) > codec.MaxTerms {
		return nil, fmt.Errorf("%d terms, want 1 to %d", len(specs), codec.MaxTerms)
	}
	for _, s := range specs {
		if err := s.checkFrom(); err != nil {
			return nil, err
		}
		if s.Rows < 0 || s.Cols < 0 || s.Rows > 1<<40 || s.Cols > 1<<40 || (s.Cols > 0 && s.Rows > (1<<50)/s.Cols) {
			return nil, fmt.Errorf("shape (%d, %d) is not that of a matrix", s.Rows, s.Cols)
		}
		if s.Rows != specs[0].Rows || s.Cols != specs[0].Cols {
			return nil, fmt.Errorf("terms of shapes (%d, %d) and (%d, %d) do not add", specs[0].Rows, specs[0].Cols, s.Rows, s.Cols)
		}
		if s.Shape != nil {
			for _, d := range s.Shape {
				if d < 0 || d > 1<<40 {
					return nil, fmt.Errorf("shape %v is not that of a tensor", s.Shape)
				}
			}
			rows, cols := MatrixDims(s.Shape)
			if s.Transposed {
				rows, cols = cols, rows
			}
			if rows != s.Rows || cols != s.Cols {
				return nil, fmt.Errorf("shape %v is not a (%d, %d) matrix", s.Shape, s.Rows, s.Cols)
			}
		}
	}
	return specs, nil
}

func (a *artifact) Names() []string { return slices.Clone(a.names) }
func (a *artifact) Close() error    { return a.src.Close() }
func (a *artifact) Files() []string { return filesOf(a.src) }

func (a *artifact) readAt(name string, buf []byte, off int64) error {
	return a.src.ReadAt(name, buf, off)
}

func (a *artifact) Info(name string) (Info, error) {
	specs, ok := a.packed[name]
	if !ok {
		t, err := a.src.Info(name)
		if err != nil {
			return Info{}, err
		}
		return plainInfo(t), nil
	}
	info := Info{Name: name, Shape: specs[0].Shape, Rows: specs[0].Rows, Cols: specs[0].Cols, Transposed: specs[0].Transposed, Of: a.aliasOf(name)}
	if info.Shape == nil {
		info.Shape = []int{info.Rows, info.Cols}
	}
	var codecs []string
	for i, s := range specs {
		codecs = append(codecs, s.Codec)
		for _, part := range s.Parts {
			stored, shared := s.tensorOf(name, i, part)
			t, err := a.src.Info(stored)
			if err != nil {
				return Info{}, err
			}
			if shared {
				info.SharedBytes += t.Bytes
			} else {
				info.Bytes += t.Bytes
			}
			if !shared || info.File == "" {
				info.File = t.File
			}
		}
	}
	info.Codec = codec.SumName(codecs)
	return info, nil
}

func (a *artifact) Load(name string) (*codec.Weight, error) {
	specs, ok := a.packed[name]
	if !ok {
		return a.loadPlain(name)
	}
	w := &codec.Weight{Name: name, Rows: specs[0].Rows, Cols: specs[0].Cols, Shape: specs[0].Shape, Transposed: specs[0].Transposed}
	for i := range specs {
		l := termLoader{a: a, weight: name, index: i, spec: &specs[i]}
		term, err := l.open()
		if err != nil {
			return nil, fmt.Errorf("%s: %s|%d: %w", l.file, name, i, err)
		}
		w.Terms = append(w.Terms, term)
		w.Common = append(w.Common, l.keep...)
	}
	return w, nil
}

// loadPlain is loadPlain of a tensor that other weights may refer to.
func (a *artifact) loadPlain(name string) (*codec.Weight, error) {
	info, err := a.src.Info(name)
	if err != nil || !a.referred[name] {
		return loadPlain(a.src, name)
	}
	rows, cols := MatrixDims(info.Shape)
	spec := TermSpec{Codec: strings.ToLower(info.DType.String()), Rows: rows, Cols: cols, Parts: []string{valuesPart}, From: map[string]string{valuesPart: name}}
	l := termLoader{a: a, weight: name, spec: &spec}
	term, err := l.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", l.file, name, err)
	}
	return &codec.Weight{Name: name, Rows: rows, Cols: cols, Shape: info.Shape, Terms: []codec.Term{term}, Common: l.keep}, nil
}

// valuesPart is the only part of a dense term.
const valuesPart = "values"

// OpenTerm makes a term of stored parts, named as the codec names them.
func OpenTerm(s TermSpec, parts []codec.Part) (codec.Term, error) {
	c, err := codec.Parse(s.Codec)
	if err != nil {
		return nil, err
	}
	return c.Open(s.Rows, s.Cols, parts)
}

func (a *artifact) Rows(name string) (*Rows, error) {
	info, err := a.Info(name)
	if err != nil {
		return nil, err
	}
	if info.DType != tensor.Invalid {
		return rowsPlain(a.src, info)
	}
	w, err := a.Load(name)
	if err != nil {
		return nil, err
	}
	return rowsOf(info, w), nil
}

// LoadFromShard reads one weight from a shard of an artifact that may not be finished yet. shardOf says in which other shard the tensors of
// a weight are, where this one refers to them.
func LoadFromShard(path, weight string, shardOf func(weight string) string) (*codec.Weight, error) {
	src := &shards{}
	defer src.Close()
	own, err := src.add(path)
	if err != nil {
		return nil, err
	}
	a := &artifact{src: src, packed: map[string][]TermSpec{}, referred: map[string]bool{}, hidden: map[string]bool{}}
	text, ok := own.Metadata()[weight]
	if !ok {
		return a.Load(weight)
	}
	specs, err := parseTerms(text)
	if err != nil {
		return nil, fmt.Errorf("%s: metadata of %s: %w", path, weight, err)
	}
	a.packed[weight] = specs
	for i := range specs {
		for _, from := range specs[i].From {
			owner, _, _ := strings.Cut(from, "|")
			if _, err := src.Info(from); err == nil {
				continue
			}
			other := shardOf(owner)
			if other == "" {
				return nil, fmt.Errorf("%s: %s refers to %s, which no shard of the plan holds: %w", path, weight, from, errReference)
			}
			if _, err := src.add(other); err != nil {
				return nil, err
			}
		}
	}
	return a.Load(weight)
}
