package compress

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/formats"
	"pith/tensor"
)

func TestWeightsThatAreNotFiniteAreNamedWithTheirPosition(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		weight string
		at     int // element
		want   string
		value  float32
	}{
		"matrix":      {"model.layers.0.mlp.down_proj.weight", 127*384 + 5, "row 127, column 5 is NaN", float32(math.NaN())},
		"later tile":  {"model.embed_tokens.weight", 511*128 + 127, "row 511, column 127 is +Inf", float32(math.Inf(1))},
		"kept vector": {"model.norm.weight", 3, "row 0, column 3 is -Inf", float32(math.Inf(-1))},
	} {
		dir := source(t, "tiny")
		poke(t, filepath.Join(dir, "model.safetensors"), c.weight, c.at, c.value)
		ckpt := open(t, dir)
		out := filepath.Join(t.TempDir(), "out")
		_, err := Run(t.Context(), ckpt, resolve(t, ckpt, `rules: [{match: "*", codec: int4-g128}]`), out, Options{Workers: 2})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.weight) {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(out, checkpoint.ManifestName)); err == nil {
			t.Errorf("%s: there is a manifest", name)
		}
	}
}

func TestWeightsTooLargeForACodecAreNamedWithTheirPosition(t *testing.T) {
	t.Parallel()
	c := open(t, sourceF32(t))
	_, err := Run(t.Context(), c, resolve(t, c, `rules: [{match: "*", codec: f16}]`), filepath.Join(t.TempDir(), "out"), Options{})
	if err == nil || !strings.Contains(err.Error(), "w.weight") || !strings.Contains(err.Error(), "row 1, column 2") || !strings.Contains(err.Error(), "counted from row 256") || strings.Count(err.Error(), "w.weight") != 1 {
		t.Errorf("error %v", err)
	}
}

// sourceF32 holds one F32 matrix of 300 rows of 256, with 1e6 at row 257, column 2.
func sourceF32(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	data := make([]byte, 4*300*256)
	binary.LittleEndian.PutUint32(data[4*(257*256+2):], math.Float32bits(1e6))
	info := formats.Info{Name: "w.weight", DType: tensor.F32, Shape: []int{300, 256}}
	if err := formats.WriteSafetensors(path, []formats.LazyTensor{{Info: info, Data: func() ([]byte, error) { return data, nil }}}, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// poke overwrites one element of an F16 tensor.
func poke(t *testing.T, path, weight string, at int, v float32) {
	t.Helper()
	src, err := formats.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var tensors []formats.LazyTensor
	for _, name := range src.Names() {
		x, err := formats.Read(src, name)
		if err != nil {
			t.Fatal(err)
		}
		if name == weight {
			tensor.Encode(x.Data[2*at:2*at+2], tensor.F16, []float32{v})
		}
		tensors = append(tensors, formats.LazyTensor{Info: formats.Info{Name: name, DType: x.DType, Shape: x.Shape, Bytes: int64(len(x.Data))},
			Data: func() ([]byte, error) { return x.Data, nil }})
	}
	if err := formats.WriteSafetensors(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
}
