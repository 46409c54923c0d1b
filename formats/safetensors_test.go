package formats

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pith/internal/sharedtest"
	"pith/tensor"
)

// randomBytes returns n bytes that depend on seed only.
func randomBytes(seed uint64, n int64) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// everyScalar returns one tensor of every dtype of safetensors, in each of the shapes that are whole bytes.
func everyScalar() []LazyTensor {
	var tensors []LazyTensor
	for d := tensor.Bool; d.Scalar(); d++ {
		for i, shape := range [][]int{{}, {0}, {8}, {3, 8}, {2, 0, 5}, {1, 2, 4, 4}} {
			size, err := storedBytes(d, shape)
			if err != nil {
				continue
			}
			data := randomBytes(uint64(d)<<4+uint64(i), size)
			info := Info{Name: "t." + d.String() + string(rune('a'+i)), DType: d, Shape: shape, Bytes: size}
			tensors = append(tensors, LazyTensor{Info: info, Data: func() ([]byte, error) { return data, nil }})
		}
	}
	return tensors
}

// checkSameTensors fails unless s has exactly these tensors, byte for byte.
func checkSameTensors(t *testing.T, s Source, want []LazyTensor) {
	t.Helper()
	if len(s.Names()) != len(want) {
		t.Fatalf("%d tensors, want %d", len(s.Names()), len(want))
	}
	for _, w := range want {
		got, err := Read(s, w.Info.Name)
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if err := writeTensor(&data, w); err != nil {
			t.Fatal(err)
		}
		if got.DType != w.Info.DType || !slices.Equal(got.Shape, w.Info.Shape) || !bytes.Equal(got.Data, data.Bytes()) {
			t.Errorf("%s: got %v %v %d bytes, want %v %v %d bytes", w.Info.Name, got.DType, got.Shape, len(got.Data), w.Info.DType, w.Info.Shape, data.Len())
		}
	}
}

func TestSafetensorsRoundTripIsLosslessForEveryDType(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	tensors := everyScalar()
	metadata := map[string]string{"format": "pt", "quote\"\\\n\x01": "<&>  é\U0001F600"}
	if err := WriteSafetensors(path, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	checkSameTensors(t, s, tensors)
	if !maps.Equal(s.Metadata(), metadata) {
		t.Errorf("metadata %q, want %q", s.Metadata(), metadata)
	}

	// Writing what was read gives the same file.
	var again []LazyTensor
	for _, name := range s.Names() {
		lazy, err := Lazy(s, name)
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, lazy)
	}
	copied := filepath.Join(t.TempDir(), "b.safetensors")
	if err := WriteSafetensors(copied, again, s.Metadata()); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(path)
	b, _ := os.ReadFile(copied)
	if !bytes.Equal(a, b) {
		t.Error("the copy differs")
	}
}

func TestSafetensorsWritesWhatTheReferenceWrote(t *testing.T) {
	for _, model := range []string{"pith-ref", "stories260K", "babyllama-tok105"} {
		path := sharedtest.Path(t, "models", model, "model.safetensors")
		s, err := OpenSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var tensors []LazyTensor
		for _, name := range s.Names() {
			lazy, err := Lazy(s, name)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, lazy)
		}
		copied := filepath.Join(t.TempDir(), "copy.safetensors")
		if err := WriteSafetensors(copied, tensors, s.Metadata()); err != nil {
			t.Fatal(err)
		}
		a, _ := os.ReadFile(path)
		b, _ := os.ReadFile(copied)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: the copy differs from the file that the reference implementation wrote", model)
		}
	}
}
