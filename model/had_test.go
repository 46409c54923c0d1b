package model

import (
	"path/filepath"
	"testing"

	"pith/codec"
	"pith/internal/sharedtest"
	"pith/kernels"
	"pith/tensor"
)

// rotatedWeights gives every matrix of a checkpoint as a term of f32-had: rotated, but not rounded.
type rotatedWeights struct{ *safetensorsFile }

func (r rotatedWeights) Load(name string) (*codec.Weight, error) {
	w, err := r.safetensorsFile.Load(name)
	if err != nil || w.Rows == 1 {
		return w, err
	}
	values := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(values, 0)
	for i := range values.Rows {
		kernels.Rotate(values.Row(i))
	}
	data := make([]byte, 4*len(values.Data))
	tensor.Encode(data, tensor.F32, values.Data)
	t, err := codec.Dense(name, tensor.F32, w.Rows, w.Cols, data)
	if err != nil {
		return nil, err
	}
	w.Terms = []codec.Term{codec.RotateTerm(t)}
	return w, nil
}

// Embeddings, heads, transposed linears: whatever reads a rotated matrix, rotation alone changes nothing but the last bits.
func TestRotationAloneLeavesLogitsOfEveryArchitectureUnchanged(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(filepath.Base(g.dir), func(t *testing.T) {
			_, config, file := openGolden(t, filepath.Base(g.dir))
			c, err := ParseConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			m, err := New(c, rotatedWeights{file}, 2)
			if err != nil {
				t.Fatal(err)
			}
			g.check(t, m)
		})
	}
}

func TestRotationAloneLeavesLogitsOfARealModelUnchanged(t *testing.T) {
	dir := sharedtest.Path(t, "models", "pith-ref")
	plain := openModel(t, dir, 2)
	m, err := New(plain.config, rotatedWeights{openTest(t, filepath.Join(dir, "model.safetensors"))}, 2)
	if err != nil {
		t.Fatal(err)
	}
	tokens := [][]int32{{1, 403, 407, 263, 2217, 7826, 29892, 727}}
	for i := range tokens[0] {
		tokens[0][i] %= int32(plain.config.Vocab)
	}
	got, want := m.Logits(m.Forward(tokens)), plain.Logits(plain.Forward(tokens))
	var worst float64
	for i := range want.Rows {
		worst = max(worst, difference(got.Row(i), toFloat64(want.Row(i))))
	}
	if !(worst < 1e-4) {
		t.Errorf("logits differ by %.3g", worst)
	}
	t.Logf("logits differ by %.2g", worst)
}
