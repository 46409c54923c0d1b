package stack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pith/checkpoint"
	"pith/codec"
	"pith/formats"
)

// workDir holds what an unfinished run has: statistics, and the blocks of each matrix that was solved.
type workDir struct{ path string }

func (w workDir) file(i int) string {
	return filepath.Join(w.path, fmt.Sprintf("blocks-%05d.safetensors", i))
}
func (w workDir) stats() string   { return filepath.Join(w.path, "stats.safetensors") }
func (w workDir) options() string { return filepath.Join(w.path, "stack.json") }

// remove deletes what a run of n matrices keeps.
func (w workDir) remove(n int) {
	for i := range n {
		os.Remove(w.file(i))
	}
	os.Remove(w.stats())
	os.Remove(w.options())
}

// begin keeps what is there if it was made with the same options, and removes it if not.
func (w workDir) begin(options []byte, n int) error {
	old, err := os.ReadFile(w.options())
	if err == nil && bytes.Equal(old, options) {
		return nil
	}
	w.remove(n)
	return formats.WriteFileAtomic(w.options(), func(out io.Writer) error {
		_, err := out.Write(options)
		return err
	})
}

// lossesKey is the key of a matrix' losses in the metadata of its blocks.
const lossesKey = "pith.losses"

// save keeps the blocks of matrix i.
func (w workDir) save(i int, m *matrix, terms []codec.Term) error {
	var tensors []formats.LazyTensor
	var specs []checkpoint.TermSpec
	for j, t := range terms {
		spec := checkpoint.TermSpec{Codec: t.Codec(), Rows: m.rows, Cols: m.cols}
		for _, p := range t.Parts() {
			spec.Parts = append(spec.Parts, p.Name)
			tensors = append(tensors, formats.LazyTensor{Info: formats.Info{Name: checkpoint.PartName(m.name, j, p.Name), DType: p.DType, Shape: p.Shape},
				Data: func() ([]byte, error) { return p.Data, nil }})
		}
		specs = append(specs, spec)
	}
	list, err := json.Marshal(specs)
	if err != nil {
		return err
	}
	losses, err := json.Marshal(m.losses)
	if err != nil {
		return err
	}
	return formats.WriteSafetensors(w.file(i), tensors, map[string]string{m.name: string(list), lossesKey: string(losses)})
}

// load reads the blocks of matrix i, and its losses; an error if they are not there, or not whole.
func (w workDir) load(i int, m *matrix) ([]codec.Term, error) {
	f, err := formats.OpenSafetensors(w.file(i))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := json.Unmarshal([]byte(f.Metadata()[lossesKey]), &m.losses); err != nil {
		return nil, err
	}
	weight, err := checkpoint.LoadFromShard(w.file(i), m.name, nil)
	if err != nil {
		return nil, err
	}
	if weight.Rows != m.rows || weight.Cols != m.cols || len(m.losses) != len(weight.Terms)+1 {
		return nil, fmt.Errorf("%s: other blocks than these", w.file(i))
	}
	return weight.Terms, nil
}

// block reads one block of matrix i.
func (w workDir) block(i int, m *matrix, level int) (codec.Term, error) {
	f, err := formats.OpenSafetensors(w.file(i))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var specs []checkpoint.TermSpec
	if err := json.Unmarshal([]byte(f.Metadata()[m.name]), &specs); err != nil || level >= len(specs) {
		return nil, fmt.Errorf("%s: has changed while it was used", w.file(i))
	}
	var parts []codec.Part
	for _, name := range specs[level].Parts {
		t, err := formats.Read(f, checkpoint.PartName(m.name, level, name))
		if err != nil {
			return nil, err
		}
		t.Name = name
		parts = append(parts, t)
	}
	return checkpoint.OpenTerm(specs[level], parts)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
