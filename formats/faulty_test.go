package formats

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"pith/tensor"
)

// faultyDisk reads the first good bytes, then fails, with err or as if the file ended there.
type faultyDisk struct {
	data []byte
	good int64
	err  error
}

func (d faultyDisk) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(d.data[:d.good]).ReadAt(p, off)
	if err != nil {
		err = d.err
	}
	return n, err
}

func TestDiskErrorsWhileOpeningOrReadingAreReported(t *testing.T) {
	for _, failure := range []error{errors.New("input/output error"), io.EOF, io.ErrUnexpectedEOF} {
		for _, name := range []string{"python.safetensors", "python.gguf"} {
			whole, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			for good := 0; good < len(whole); good += 97 {
				disk := faultyDisk{whole, int64(good), failure}
				var s Source
				if strings.HasSuffix(name, "gguf") {
					s, err = NewGGUF(name, disk, int64(len(whole)))
				} else {
					s, err = NewSafetensors(name, disk, int64(len(whole)))
				}
				for i := 0; err == nil && i < len(s.Names()); i++ {
					_, err = Read(s, s.Names()[i])
				}
				if err == nil && good < len(whole)-32 { // the last tensor's padding is not read
					t.Fatalf("%s: nobody noticed that only %d bytes can be read", name, good)
				}
				if err != nil && !strings.Contains(err.Error(), name) {
					t.Fatalf("the error does not name the file: %v", err)
				}
			}
		}
	}
}

// The second parser is there for mistakes of our own writer: it must notice a header that says something else than was meant.
func TestSecondOpinionNoticesEveryDifference(t *testing.T) {
	of := func(name string, d tensor.DType, shape ...int) LazyTensor {
		return LazyTensor{Info: Info{Name: name, DType: d, Shape: shape}}
	}
	metadata := map[string]string{"format": "pt"}
	meant := []LazyTensor{of("a", tensor.F32, 2, 3), of("b", tensor.F8E4M3, 4), of("c", tensor.U8, 1)}
	header, err := safetensorsHeaderBytes(meant, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if err := secondOpinion(header[8:], meant, metadata); err != nil {
		t.Error(err)
	}
	for name, other := range map[string][]LazyTensor{
		"one fewer": meant[:2],
		"one more":  append(meant[:3:3], of("d", tensor.U8, 1)),
		"name":      {of("x", tensor.F32, 2, 3), meant[1], meant[2]},
		"shape":     {of("a", tensor.F32, 3, 2), meant[1], meant[2]},
		"rank":      {of("a", tensor.F32, 6), meant[1], meant[2]},
		"dtype":     {of("a", tensor.F16, 2, 3), meant[1], meant[2]},
		"same size": {of("a", tensor.I32, 2, 3), meant[1], meant[2]},
		"order":     {meant[1], meant[0], meant[2]},
	} {
		if secondOpinion(header[8:], other, metadata) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	if secondOpinion(header[8:], meant, nil) == nil || secondOpinion(header[8:], meant, map[string]string{"format": "np"}) == nil {
		t.Error("other metadata: not noticed")
	}
	if secondOpinion(header[8:40], meant, metadata) == nil {
		t.Error("half a header: not noticed")
	}
}
