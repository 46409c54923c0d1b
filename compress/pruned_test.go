package compress

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pith/checkpoint"
	"pith/model"
	"pith/tensor"
)

const pruned = `
rules:
  - {match: embedding, codec: int8-g32}
  - {match: "*.v_proj.weight", method: wanda, codec: f16-s62.5e}
  - {match: "*.o_proj.weight", method: magnitude, codec: f32-csr90}
  - {match: ffn, method: magnitude, codec: int4-g128-2:4}
  - {match: "*", method: wanda, codec: f16-2:4}
`

// logitsOf returns the logits of a few tokens.
func logitsOf(t *testing.T, c *checkpoint.Checkpoint) tensor.Mat {
	t.Helper()
	config, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(config, c, 2)
	if err != nil {
		t.Fatal(err)
	}
	return m.Logits(m.Forward([][]int32{{1, 5, 300, 17, 2, 255, 511, 40}}))
}

// What is pruned is stored as zeros by formats that know nothing of masks, to the same weights, bit for bit, and the same logits but for the order of
// sums.
func TestPrunedModelsAreTheSameInOtherFormats(t *testing.T) {
	src := open(t, source(t, "tiny"))
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Run(t.Context(), src, resolve(t, src, pruned), out, Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	ours := open(t, out)
	want := logitsOf(t, ours)
	for _, format := range []string{"hf", "gguf"} {
		dir := filepath.Join(t.TempDir(), format)
		path, _, err := Convert(ours, dir, ConvertOptions{Format: format, DType: tensor.F32})
		if err != nil {
			t.Fatal(err)
		}
		if format == "hf" {
			path = dir
		}
		theirs := open(t, path)
		zeros, all := 0, 0
		for _, name := range ours.Names() {
			a, b := decodedWeight(t, ours, name), decodedWeight(t, theirs, name)
			for i, v := range a.Data {
				if v != b.Data[i] {
					t.Fatalf("%s: %s: element %d is %g, was %g", format, name, i, b.Data[i], v)
				}
				if v == 0 {
					zeros++
				}
			}
			all += len(a.Data)
		}
		if zeros < all/4 {
			t.Errorf("%d of %d weights are zero", zeros, all)
		}
		got := logitsOf(t, theirs)
		var far, size float64
		for i, v := range want.Data {
			far, size = max(far, math.Abs(float64(v-got.Data[i]))), max(size, math.Abs(float64(v)))
		}
		if far > 0.02*size { // products of integers round activations to 8 bits
			t.Errorf("%s: logits differ by %g of %g", format, far, size)
		}
	}
}

func decodedWeight(t *testing.T, c *checkpoint.Checkpoint, name string) tensor.Mat {
	t.Helper()
	w, err := c.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	m := tensor.NewMat(w.Rows, w.Cols)
	for _, term := range w.Terms {
		term.AddTo(m, 0)
	}
	return m
}

// What is reported and planned is what lies on the disk: the shards are tensors and headers, and nothing else.
func TestReportedBytesAreThoseOfTheFiles(t *testing.T) {
	src := open(t, source(t, "tiny"))
	out := filepath.Join(t.TempDir(), "out")
	p := resolve(t, src, pruned)
	r, err := Run(t.Context(), src, p, out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	shards, err := filepath.Glob(filepath.Join(out, "*.safetensors"))
	if err != nil || len(shards) == 0 {
		t.Fatalf("%d shards, %v", len(shards), err)
	}
	var files, tensors int64
	for _, path := range shards {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files += int64(len(data))
		tensors += int64(len(data)) - 8 - int64(binary.LittleEndian.Uint64(data))
	}
	if r.Bytes != tensors || p.Totals.Bytes != tensors || r.ShardBytes != files {
		t.Errorf("reported %d bytes of tensors in %d, planned %d; the files hold %d in %d", r.Bytes, r.ShardBytes, p.Totals.Bytes, tensors, files)
	}
}
