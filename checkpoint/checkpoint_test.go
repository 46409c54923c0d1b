package checkpoint

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/formats"
	"pith/internal/sharedtest"
	"pith/internal/synth/llama"
	"pith/tensor"
)

// synthetic writes a small checkpoint and returns its directory.
func synthetic(t *testing.T, o llama.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := llama.Write(dir, llama.Shapes()["odd"], o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, path string) *Checkpoint {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDirectoryFileAndShardsGiveTheSameWeights(t *testing.T) {
	dir := synthetic(t, llama.Options{Seed: 5})
	sharded := open(t, synthetic(t, llama.Options{Seed: 5, ShardBytes: 60_000}))
	whole, file := open(t, dir), open(t, filepath.Join(dir, "model.safetensors"))
	if whole.Kind != HuggingFace || file.Kind != Safetensors {
		t.Errorf("kinds %s and %s", whole.Kind, file.Kind)
	}
	if n := len(sharded.Files()); n < 2 {
		t.Errorf("%d shards, want several", n)
	}
	for _, name := range whole.Names() {
		want, err := whole.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*Checkpoint{file, sharded} {
			got, err := c.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Terms[0].Parts()[0].Data) != string(want.Terms[0].Parts()[0].Data) {
				t.Errorf("%s: %s differs", c.Path, name)
			}
		}
	}
	for _, c := range []*Checkpoint{whole, file, sharded} {
		if c.Bytes() != 2*c.NumWeights() || c.NumWeights() != llama.Shapes()["odd"].NumWeights() {
			t.Errorf("%s: %d bytes, %d weights", c.Path, c.Bytes(), c.NumWeights())
		}
		if cfg, err := c.Config(); err != nil || cfg.Hidden != 96 {
			t.Errorf("%s: config %+v, %v", c.Path, cfg, err)
		}
	}
}

func TestReadRowsAgreesWithLoadForEveryWindow(t *testing.T) {
	c := open(t, synthetic(t, llama.Options{Seed: 2}))
	const name = "model.layers.0.mlp.down_proj.weight"
	w, err := c.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	whole := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(whole, 0)
	for _, window := range [][2]int{{0, 0}, {0, 1}, {1, 2}, {w.Rows - 1, w.Rows}, {3, 70}, {0, w.Rows}, {w.Rows, w.Rows}} {
		got := tensor.NewMat(window[1]-window[0], w.Cols)
		if err := c.ReadRows(name, got, window[0]); err != nil {
			t.Fatal(err)
		}
		for r := range got.Rows {
			for i, v := range got.Row(r) {
				if v != whole.Row(window[0] + r)[i] {
					t.Fatalf("rows %v: (%d, %d) is %v, want %v", window, r, i, v, whole.Row(window[0] + r)[i])
				}
			}
		}
	}
}

// Elements of F4 share bytes, and a row of 3 starts in the middle of one.
func TestReadRowsOfPackedElementsStartsInsideAByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	data := []byte{0x21, 0x43, 0x65, 0x17, 0x32, 0x54} // nibbles 1,2,3,4,5,6,7,1,2,3,4,5, low ones first
	info := formats.Info{Name: "w.weight", DType: tensor.F4, Shape: []int{4, 3}, Bytes: 6}
	err := formats.WriteSafetensors(path, []formats.LazyTensor{{Info: info, Data: func() ([]byte, error) { return data, nil }}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	w, err := c.Load("w.weight")
	if err != nil {
		t.Fatal(err)
	}
	whole, got := tensor.NewMat(4, 3), tensor.NewMat(2, 3)
	w.ReadRows(whole, 0)
	for r0 := range 3 {
		if err := c.ReadRows("w.weight", got, r0); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if got.Data[i] != whole.Data[3*r0+i] {
				t.Errorf("rows from %d: %v, want %v", r0, got.Data, whole.Data[3*r0:3*r0+6])
			}
		}
	}
}

func TestOpenErrorsNameThePathAndTheRemedy(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := binary.LittleEndian.AppendUint64(nil, math.MaxInt64)
	put("pickled/pytorch_model.bin", []byte("PK\x03\x04"))
	put("gguf/a-00001-of-00011.gguf", []byte("GGUF"))
	put("gguf/a-00011-of-00011.gguf", []byte("GGUF"))
	put("ggufs/a.gguf", []byte("GGUF"))
	put("ggufs/b.gguf", []byte("GGUF"))
	put("nothing/README.md", []byte("hello"))
	put("half/pith.plan.json", []byte("{}"))
	put("foreign/pith.json", []byte(`{"format": 99}`))
	put("damaged/pith.json", []byte(`{"format": 1, "files": [{"name": "../x"}]}`))
	os.Mkdir(filepath.Join(dir, "empty"), 0o777)
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"):                    "does not exist",
		filepath.Join(dir, "pickled"):                   "convert it to safetensors",
		filepath.Join(dir, "gguf"):                      "a-00001-of-00011.gguf",
		filepath.Join(dir, "ggufs"):                     "holds 2 GGUF models",
		filepath.Join(dir, "nothing"):                   "holds no .safetensors",
		filepath.Join(dir, "empty"):                     "the directory is empty",
		filepath.Join(dir, "half"):                      "run the same pith compress again",
		filepath.Join(dir, "foreign"):                   "artifact format 99",
		filepath.Join(dir, "damaged"):                   "leaves the directory",
		put("weights.pt", []byte("PK\x03\x04abc")):      "convert it to safetensors",
		put("weights.bin", []byte("\x80\x02abcd")):      "convert it to safetensors",
		put("empty.safetensors", nil):                   "the file is empty",
		put("notes.txt", []byte("hello, this is text")): "neither safetensors nor GGUF",
		put("long.safetensors", header):                 "long.safetensors",
	} {
		c, err := Open(path)
		if err == nil {
			c.Close()
			t.Errorf("%s: opened", path)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want one line naming the path and %q", path, err, want)
		}
	}
}

func TestWithoutConfigTheErrorSaysWhereToPutIt(t *testing.T) {
	dir := synthetic(t, llama.Options{})
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Config(); err == nil || !strings.Contains(err.Error(), "config.json") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
}

func TestSharedModelOpens(t *testing.T) {
	c := open(t, sharedtest.Path(t, "models", "pith-ref"))
	if cfg, err := c.Config(); err != nil || cfg.Layers == 0 {
		t.Fatal(cfg, err)
	}
	for _, name := range c.Names() {
		if info, err := c.Info(name); err != nil || info.Bytes == 0 {
			t.Errorf("%s: %+v %v", name, info, err)
		}
	}
	digests, err := c.Digests(t.Context())
	if err != nil || len(digests) < 3 {
		t.Fatalf("%v %v", digests, err)
	}
}
