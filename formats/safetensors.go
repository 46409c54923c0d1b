package formats

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	safetensorsSingle = "model.safetensors"
	safetensorsIndex  = "model.safetensors.index.json"
)

// Safetensors is a safetensors checkpoint, one file or several shards, opened for lazy reading. It is a Source.
type Safetensors struct {
	table
	metadata []map[string]string // of each file
}

// OpenSafetensors opens a .safetensors file, an index (….index.json), or a directory as Hugging Face lays it out: model.safetensors,
// or the shards that model.safetensors.index.json names, or the only .safetensors file there. Headers are scanned, data is not read.
func OpenSafetensors(path string) (*Safetensors, error) {
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return openSafetensorsDir(path)
	case strings.HasSuffix(path, ".index.json"):
		return openIndex(path, path)
	}
	s := newSafetensors(path)
	return s.orClose(s.open(path))
}

// NewSafetensors scans a safetensors file of size bytes that r gives; name stands for its path in errors. Close does not close r.
func NewSafetensors(name string, r io.ReaderAt, size int64) (*Safetensors, error) {
	s := newSafetensors(name)
	return s.orClose(s.scan(&file{path: name, r: r, size: size, close: func() error { return nil }}))
}

func newSafetensors(path string) *Safetensors {
	return &Safetensors{table: table{path: path}}
}

// orClose returns s, or closes its files if opening failed.
func (s *Safetensors) orClose(err error) (*Safetensors, error) {
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Safetensors) open(path string) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	return s.scan(f)
}

// scan enters the tensors of f, which s then owns.
func (s *Safetensors) scan(f *file) error {
	s.files = append(s.files, f)
	h, err := readSafetensorsHeader(f)
	if err != nil {
		return err
	}
	s.metadata = append(s.metadata, h.metadata)
	s.grow(len(h.tensors))
	for i, info := range h.tensors {
		if err := s.add(info, place{file: f, offset: h.starts[i]}); err != nil {
			return err
		}
	}
	return nil
}

func openSafetensorsDir(dir string) (*Safetensors, error) {
	single, index := filepath.Join(dir, safetensorsSingle), filepath.Join(dir, safetensorsIndex)
	hasSingle, err := exists(single)
	if err != nil {
		return nil, err
	}
	hasIndex, err := exists(index)
	if err != nil {
		return nil, err
	}
	if hasIndex && !hasSingle {
		return openIndex(index, dir)
	}
	if !hasSingle {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.safetensors"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%s: neither %s nor %s is there, and %d other .safetensors files are: download the checkpoint completely, or name one file",
				dir, safetensorsSingle, safetensorsIndex, len(found))
		}
		single = found[0]
	}
	s := newSafetensors(dir)
	if hasIndex {
		s.warnf("%s: both %s and %s are there; the single file is read, as transformers does", dir, safetensorsSingle, safetensorsIndex)
	}
	return s.orClose(s.open(single))
}

// Metadata returns the __metadata__ of all files in one map. Where files disagree the first shard's value stands; FileMetadata has each.
func (s *Safetensors) Metadata() map[string]string {
	all := map[string]string{}
	for _, metadata := range slices.Backward(s.metadata) {
		maps.Copy(all, metadata)
	}
	return all
}

// FileMetadata returns the __metadata__ of one of Files(), empty if it has none or is not among them.
func (s *Safetensors) FileMetadata(path string) map[string]string {
	for i, f := range s.files {
		if f.path == path {
			return maps.Clone(s.metadata[i])
		}
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// escapeGlob makes the characters that filepath.Glob gives a meaning stand for themselves.
func escapeGlob(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}

// layoutOrder is the order in which the reference writer lays tensors out: dtypes from the last of the format's enumeration to the
// first (so that wide elements come first and all are aligned), then names.
func layoutOrder(a, b Info) int {
	return cmp.Or(-cmp.Compare(a.DType, b.DType), cmp.Compare(a.Name, b.Name))
}
