package observe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/formats/interop"
	"pith/model"
)

// Imatrix returns the moments of a set as llama.cpp's importance matrix. Layouts that GGUF changes permute rows only, so the columns that moments
// belong to are the same. Counts of the embedding are left out: llama.cpp has no place for them.
func Imatrix(s *calib.Set) (*calib.Imatrix, error) {
	arch, err := interop.Find(s.Model.Type)
	if err != nil {
		return nil, err
	}
	m := &calib.Imatrix{}
	for _, c := range s.Corpora {
		for _, f := range c.Files {
			m.Datasets = append(m.Datasets, f.Name)
		}
		m.Chunks += c.Windows
		m.ChunkSize = c.Context
	}
	for _, site := range s.Sites() {
		if site.Need == calib.Counts || site.Tokens == 0 {
			continue
		}
		st, err := s.Stats(site.Name, calib.Moments)
		if err != nil {
			return nil, err
		}
		sums := make([]float32, len(st.SqSum))
		for i, v := range st.SqSum {
			sums[i] = float32(v)
		}
		for _, w := range site.Weights {
			name, _, ok := arch.ToGGUF(w)
			if !ok {
				return nil, fmt.Errorf("%s has no name in GGUF", w)
			}
			m.Entries = append(m.Entries, calib.ImatrixEntry{Name: name, Sums: sums, Counts: []float32{float32(st.Tokens)}})
		}
	}
	return m, nil
}

// FromImatrix returns an importance matrix as the moments of the sites of a checkpoint with these weights. Entries of weights that the
// checkpoint does not have are ignored; a site none of whose weights has an entry is left out.
func FromImatrix(m *calib.Imatrix, c model.Config, names []string) (*calib.Set, error) {
	arch, err := interop.Find(c.ModelType)
	if err != nil {
		return nil, err
	}
	corpus := calib.Corpus{Context: max(1, m.ChunkSize), Windows: m.Chunks}
	corpus.Tokens = int64(corpus.Windows) * int64(corpus.Context)
	for _, d := range m.Datasets {
		corpus.Files = append(corpus.Files, calib.File{Name: d})
	}
	set := calib.NewSet(calib.Model{Type: c.ModelType}, corpus)
	for _, s := range model.Sites(c, names) {
		if s.Name == model.EmbeddingSite {
			continue
		}
		site := calib.Site{Name: s.Name, Features: s.Features}
		var stats *calib.Stats
		for _, w := range s.Weights {
			e := find(m, arch, w)
			if e == nil {
				continue
			}
			if len(e.Sums) != s.Features || len(e.Counts) != 1 {
				return nil, fmt.Errorf("%s: the importance matrix has %d values of %d matrices for %s, and the weight has %d columns: it was made for another model",
					w, len(e.Sums), len(e.Counts), e.Name, s.Features)
			}
			site.Weights = append(site.Weights, w)
			if stats == nil && e.Counts[0] > 0 {
				stats = moments(e)
			}
		}
		if stats == nil {
			continue
		}
		if err := set.Add(site, stats); err != nil {
			return nil, err
		}
	}
	if len(set.Sites()) == 0 {
		return nil, fmt.Errorf("the importance matrix has no entry for any weight of this %s model: it was made for another one", c.ModelType)
	}
	return set, nil
}

// find returns the entry of a checkpoint's weight, nil if there is none.
func find(m *calib.Imatrix, arch *interop.Architecture, weight string) *calib.ImatrixEntry {
	name, _, ok := arch.ToGGUF(weight)
	if !ok {
		return nil
	}
	i, found := slices.BinarySearchFunc(m.Entries, name, func(e calib.ImatrixEntry, name string) int { return strings.Compare(e.Name, name) })
	if !found {
		return nil
	}
	return &m.Entries[i]
}

func moments(e *calib.ImatrixEntry) *calib.Stats {
	s := &calib.Stats{SqSum: make([]float64, len(e.Sums))}
	for i, v := range e.Sums {
		s.SqSum[i] = float64(v)
	}
	s.Tokens = int64(e.Counts[0])
	return s
}

// looksLikeSafetensors reports whether a file begins as safetensors files do: eight bytes of length, then a JSON object.
func looksLikeSafetensors(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [9]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && head[8] == '{'
}

// OpenStats opens a file of statistics for a checkpoint: one that Run wrote, or an importance matrix of llama.cpp in either form.
func OpenStats(path string, ckpt *checkpoint.Checkpoint) (*calib.Set, error) {
	c, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	set, err := calib.Open(path)
	switch {
	case err == nil && set.Model.Type != c.ModelType:
		set.Close()
		return nil, fmt.Errorf("%s: statistics of a model of type %s, and this one is %s: calibrate with this model", path, set.Model.Type, c.ModelType)
	case err == nil:
		return set, nil
	case errors.Is(err, calib.ErrNotStatistics) || errors.Is(err, fs.ErrNotExist) || looksLikeSafetensors(path):
		return nil, err
	}
	m, err := calib.ReadImatrix(path)
	if err != nil {
		return nil, fmt.Errorf("%w; give a file that pith calibrate wrote, or an importance matrix of llama.cpp (.gguf, or the older .dat)", err)
	}
	if set, err = FromImatrix(m, c, ckpt.Names()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}
