package model

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pith/codec"
	"pith/internal/sharedtest"
	"pith/tensor"
)

// safetensorsFile is a reader for tests, just good enough for files made here.
type safetensorsFile struct {
	data   []byte
	header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
}

func openTest(t testing.TB, path string) *safetensorsFile {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint64(data))
	f := &safetensorsFile{data: data[8+n:]}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &raw); err != nil {
		t.Fatal(err)
	}
	delete(raw, "__metadata__")
	clean, _ := json.Marshal(raw)
	if err := json.Unmarshal(clean, &f.header); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *safetensorsFile) Names() []string {
	var names []string
	for name := range f.header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *safetensorsFile) Shape(name string) ([]int, error) { return f.header[name].Shape, nil }

func (f *safetensorsFile) Load(name string) (*codec.Weight, error) {
	h, ok := f.header[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %q", name)
	}
	dt, err := tensor.ParseDType(h.DType)
	if err != nil {
		return nil, err
	}
	rows, cols := 1, h.Shape[len(h.Shape)-1]
	if len(h.Shape) > 1 {
		rows = h.Shape[0]
	}
	term, err := codec.Dense(name, dt, rows, cols, f.data[h.Offsets[0]:h.Offsets[1]])
	if err != nil {
		return nil, err
	}
	return &codec.Weight{Name: name, Rows: rows, Cols: cols, Shape: h.Shape, Terms: []codec.Term{term}}, nil
}

func openModel(t testing.TB, dir string, workers int) *Model {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(c, openTest(t, filepath.Join(dir, "model.safetensors")), workers)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPithRefLogitsAgreeWithPyTorch(t *testing.T) {
	dir := sharedtest.Path(t, "models", "pith-ref")
	var golden struct {
		Input     []int32 `json:"input_ids"`
		Positions []struct {
			Position, Argmax int
			LogSumExp        float64
			First            []float64 `json:"float64_first16"`
			Last             []float64 `json:"float64_last16"`
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "golden_logits.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	m := openModel(t, dir, 2)
	logits := m.Logits(m.Forward([][]int32{golden.Input}))
	var worst float64
	for _, p := range golden.Positions {
		row := logits.Row(p.Position)
		best, sum := 0, 0.0
		for i, v := range row {
			if v > row[best] {
				best = i
			}
			sum += math.Exp(float64(v))
		}
		if best != p.Argmax || math.Abs(math.Log(sum)-p.LogSumExp) > 1e-4 {
			t.Errorf("position %d: argmax %d, log-sum-exp %g; want %d, %g", p.Position, best, math.Log(sum), p.Argmax, p.LogSumExp)
		}
		for i := range p.First {
			worst = max(worst, math.Abs(float64(row[i])-p.First[i]), math.Abs(float64(row[len(row)-16+i])-p.Last[i]))
		}
	}
	if !(worst < 5e-5) {
		t.Errorf("logits differ from the float64 forward pass by %g", worst)
	}
	t.Logf("largest difference %g", worst)
}
