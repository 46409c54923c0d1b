package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/formats"
	"pith/model"
	"pith/tensor"
)

// requantized serves a GGUF model's matrices in another codec, in the orientation of the file.
type requantized struct {
	*GGUFModel
	types map[string]tensor.DType
}

func (q requantized) Load(name string) (*codec.Weight, error) {
	w, err := q.GGUFModel.Load(name)
	dt, ok := q.types[name]
	if err != nil || !ok {
		return w, err
	}
	c, err := codec.Parse(strings.ToLower(dt.String()))
	if err != nil {
		return nil, err
	}
	m := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(m, 0)
	grid, err := c.Fit(m, nil, codec.FitOptions{})
	if err != nil {
		return nil, err
	}
	for col := 0; col < m.Cols; col += grid.Step() {
		grid.Round(m, col)
	}
	w.Terms = []codec.Term{grid.Pack()}
	return w, nil
}

// digest hashes the names, types and bytes of all tensors.
func digest(t *testing.T, path string) string {
	t.Helper()
	g, err := formats.OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	h := sha256.New()
	for _, name := range slices.Sorted(slices.Values(g.Names())) {
		x, err := formats.Read(g, name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, name, x.DType, x.Shape)
		h.Write(x.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// The file lists what llama-quantize made of the golden models' F32 GGUF; its README says how.
func TestQuantizedTensorsEqualThoseOfLlamaQuantize(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "llama-quantize.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var name, preset, want string
		if _, err := fmt.Sscan(line, &name, &preset, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		t.Run(name+"/"+preset, func(t *testing.T) {
			m, c := denseGolden(t, name)
			types, err := Mix(preset, c, m.Names(), m.Shape)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "m.gguf")
			if err := ExportGGUF(path, c, nil, requantized{m, types}, GGUFOptions{Mix: preset}); err != nil {
				t.Fatal(err)
			}
			if got := digest(t, path); got != want {
				t.Errorf("tensors differ from llama-quantize's: %s, want %s", got, want)
			}
		})
	}
}

// denseGolden returns a golden model by way of an F32 GGUF file.
func denseGolden(t *testing.T, name string) (*GGUFModel, model.Config) {
	t.Helper()
	c, w := golden(t, name, expressible[name])
	path := filepath.Join(t.TempDir(), "dense.gguf")
	if err := ExportGGUF(path, c, nil, w, GGUFOptions{Dense: tensor.F32}); err != nil {
		t.Fatal(err)
	}
	m, err := OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, c
}
