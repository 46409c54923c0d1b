package formats

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"pith/tensor"
)

// bigHeader returns a safetensors file with n empty tensors.
func bigHeader(n int) []byte {
	b := bytes.NewBuffer(make([]byte, 0, n*64))
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `"%08x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
	}
	b.WriteByte('}')
	return safetensorsFile(b.String(), 0)
}

// BenchmarkHeaderOfAMillionTensors is the worst a header of 60 MB can do.
func BenchmarkHeaderOfAMillionTensors(b *testing.B) {
	file := bigHeader(1 << 20)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := NewSafetensors("x", bytes.NewReader(file), int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCopy streams 256 MiB of tensors from one safetensors file to another.
func BenchmarkCopy(b *testing.B) {
	dir := b.TempDir()
	const n, size = 16, 16 << 20
	var tensors []LazyTensor
	for i := range n {
		data := randomBytes(uint64(i), size)
		tensors = append(tensors, LazyTensor{Info: Info{Name: fmt.Sprint(i), DType: tensor.U8, Shape: []int{size}}, Data: func() ([]byte, error) { return data, nil }})
	}
	from := filepath.Join(dir, "a.safetensors")
	if err := WriteSafetensors(from, tensors, nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n * size)
	for b.Loop() {
		s, err := OpenSafetensors(from)
		if err != nil {
			b.Fatal(err)
		}
		for i, name := range s.Names() {
			if tensors[i], err = Lazy(s, name); err != nil {
				b.Fatal(err)
			}
		}
		if err := WriteSafetensors(filepath.Join(dir, "b.safetensors"), tensors, nil); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
