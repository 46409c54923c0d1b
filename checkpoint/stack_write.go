package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"pith/codec"
	"pith/formats"
)

// StackContents is what a stack holds, in the order of the file.
type StackContents struct {
	Tool   string
	Made   json.RawMessage // how it was made, for people; may be nil
	Files  []ConfigContent
	Kept   []StackTensor
	Blocks []StackTensor // the first of each stacked weight before all others
}

// StackTensor is a weight that is not stacked, or a block.
type StackTensor struct {
	Name       string
	Shape      []int
	Transposed bool
	Term       func() (codec.Term, error) // called twice; the same bytes both times
}

// WriteStack writes a stack to path, atomically. It reads every term twice, once for its digest.
func WriteStack(path string, c StackContents) error {
	x, err := c.index()
	if err != nil {
		return err
	}
	data, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if _, err := parseStack(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return formats.WriteFileAtomic(path, func(w io.Writer) error {
		if err := errors.Join(writeAll(w, stackHeader(data)), writeAll(w, data)); err != nil {
			return err
		}
		for _, f := range c.Files {
			if err := writeAll(w, f.Data); err != nil {
				return err
			}
		}
		for _, list := range [][]StackTensor{c.Kept, c.Blocks} {
			for _, t := range list {
				term, err := t.Term()
				if err != nil {
					return err
				}
				for _, p := range term.Parts() {
					if err := writeAll(w, p.Data); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

func writeAll(w io.Writer, data []byte) error {
	_, err := w.Write(data)
	return err
}

// index makes the index of c.
func (c *StackContents) index() (*stackIndex, error) {
	x := &stackIndex{Format: stackFormat, Tool: c.Tool, Made: c.Made, Files: []stackEntry{}}
	for _, f := range c.Files {
		x.Files = append(x.Files, stackEntry{f.Name, int64(len(f.Data)), digestOf(f.Data)})
	}
	known, layouts := map[string]int{}, map[string]int{}
	for i, list := range [][]StackTensor{c.Kept, c.Blocks} {
		pieces := []*stackPieces{&x.Kept, &x.Blocks}[i]
		for j, t := range list {
			w, seen := known[t.Name]
			if !seen {
				w = len(x.Weights)
				known[t.Name] = w
				x.Weights = append(x.Weights, stackWeight{t.Name, t.Shape, t.Transposed})
				if i == 1 && j == x.Mandatory {
					x.Mandatory++
				}
			}
			term, err := t.Term()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Name, err)
			}
			layout, data, err := layoutOf(term)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Name, err)
			}
			key, err := json.Marshal(layout)
			if err != nil {
				return nil, err
			}
			at, seen := layouts[string(key)]
			if !seen {
				at = len(x.Layouts)
				layouts[string(key)] = at
				x.Layouts = append(x.Layouts, layout)
			}
			pieces.add(w, at, data)
		}
	}
	return x, nil
}

// layoutOf describes a term, and returns its bytes.
func layoutOf(term codec.Term) (stackLayout, []byte, error) {
	if _, isSum := term.(interface{ Terms() []codec.Term }); isSum {
		return stackLayout{}, nil, errors.New("a sum of terms is several blocks")
	}
	rows, cols := term.Dims()
	l := stackLayout{Codec: term.Codec(), Rows: rows, Cols: cols, Parts: []stackPart{}}
	var data []byte
	for _, p := range term.Parts() {
		l.Parts = append(l.Parts, stackPart{Name: p.Name, DType: p.DType.String(), Shape: slices.Clone(p.Shape)})
		data = append(data, p.Data...)
	}
	return l, data, nil
}

// StackOutput checks that a stack may be written to path: nothing is there yet, or a stack. A model that was named by mistake is not replaced.
func StackOutput(path string) error {
	if err := formats.CheckFileName(path); err != nil {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || IsStack(path) {
		return nil
	}
	return fmt.Errorf("%s: will not replace what is no stack; choose another output", path)
}

// CutStack writes the largest size of the stack at path that has at most so many bytes to another file, and returns its blocks. It copies bytes, and
// compares none with their digests.
func CutStack(path, to string, bytes int64) (blocks int, err error) {
	if _, err := os.Stat(path); err == nil && !IsStack(path) {
		return 0, fmt.Errorf("%s: %w", path, ErrNoStack)
	}
	s, err := openStack(path)
	if err != nil {
		return 0, err
	}
	if blocks, err = s.Within(bytes); err != nil {
		return 0, err
	}
	if err := StackOutput(to); err != nil {
		return 0, err
	}
	if info, err := os.Stat(to); err == nil {
		if own, err := os.Stat(path); err == nil && os.SameFile(info, own) {
			return 0, fmt.Errorf("%s: is the stack itself; give another file", to)
		}
	}
	f, err := s.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return blocks, formats.WriteFileAtomic(to, func(w io.Writer) error {
		_, err := io.CopyN(w, f, s.BytesOf(blocks))
		return err
	})
}
