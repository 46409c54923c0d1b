package codec_test

import (
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func ggmlNames() (names []string) {
	for _, n := range codec.Names() {
		if strings.HasPrefix(n, "q") && !strings.Contains(n, "-") {
			names = append(names, n)
		}
	}
	return names
}

// goldenMatrix is the input of testdata/ggml, see the README there.
func goldenMatrix() tensor.Mat {
	w := tensor.NewMat(2, 512)
	for i := range w.Data {
		z := (uint64(i) + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		sum := int(z&0xffff) + int(z>>16&0xffff) + int(z>>32&0xffff) + int(z>>48) - 131070
		w.Data[i] = float32(math.Ldexp(float64(sum), -(16 + i/64%8)))
	}
	for c := 96; c < 128; c++ {
		w.Row(1)[c] = 0
	}
	for c := 128; c < 160; c++ {
		w.Row(1)[c] = 0.375
	}
	return w
}

func TestGGMLBytesEqualTheReferenceEncoders(t *testing.T) {
	for _, name := range ggmlNames() {
		golden, err := os.ReadFile(filepath.Join("testdata", "ggml", name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		grid, err := c.Fit(goldenMatrix(), nil, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codectest.RoundAll(grid, goldenMatrix())
		got := grid.Pack().Parts()[0].Data
		lines := strings.Fields(string(golden))
		size := len(got) / len(lines)
		for i, want := range lines {
			if have := hex.EncodeToString(got[i*size : (i+1)*size]); have != want {
				t.Errorf("%s block %d:\n got %s\nwant %s", name, i, have, want)
			}
		}
	}
}

func TestFallbackIsAlwaysStorable(t *testing.T) {
	for _, c := range []struct {
		name string
		cols int
		want string
	}{
		{"q4_k", 256, "q4_k"}, {"q4_k", 352, "q5_0"}, {"q5_k", 352, "q5_1"}, {"q6_k", 352, "q8_0"}, {"q2_k", 96, "q4_0"}, {"q3_k", 96, "q4_0"},
		{"q4_k", 172, "f16"}, {"q8_0", 172, "f16"}, {"q4_0", 33, "f16"}, {"int4-g128", 172, "int4-g128"}, {"bf16", 1, "bf16"},
	} {
		if got := codec.Fallback(c.name, c.cols); got != c.want {
			t.Errorf("Fallback(%s, %d) = %s, want %s", c.name, c.cols, got, c.want)
		}
	}
	for _, name := range codec.Names() {
		for _, cols := range []int{1, 32, 172, 256, 352} {
			c, err := codec.Parse(codec.Fallback(name, cols))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Check(2, cols); err != nil {
				t.Errorf("%s at %d columns falls back to %s: %v", name, cols, c.Name(), err)
			}
		}
	}
}

func TestDenseReadsStoredBlocks(t *testing.T) {
	for _, name := range ggmlNames() {
		dt, err := tensor.ParseDType(strings.ToUpper(name))
		if err != nil {
			t.Fatal(err)
		}
		c, _ := codec.Parse(name)
		data := make([]byte, c.Size(3, 256))
		term, err := codec.Dense("w", dt, 3, 256, data)
		if err != nil {
			t.Fatal(err)
		}
		if term.Codec() != name {
			t.Errorf("Dense of %v is %s", dt, term.Codec())
		}
		if _, err := codec.Dense("w", dt, 3, 256, data[1:]); err == nil || !strings.HasPrefix(err.Error(), "w: ") {
			t.Errorf("short %s: %v", name, err)
		}
	}
}
