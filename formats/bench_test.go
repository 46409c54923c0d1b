package formats

import (
	"bytes"
	"fmt"
	"testing"
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
