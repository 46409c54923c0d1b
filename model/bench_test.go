package model

import (
	"encoding/binary"
	"fmt"
	"testing"

	"pith/codec"
	"pith/internal/sharedtest"
	"pith/tensor"
)

// BenchmarkForward measures evaluation: 4 windows of 512 tokens of pith-ref, logits included.
func BenchmarkForward(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			m := openModel(b, sharedtest.Path(b, "models", "pith-ref"), workers)
			batch := make([][]int32, 4)
			for i := range batch {
				for j := range 512 {
					batch[i] = append(batch[i], int32((j*j*31+i*7+j)%4096))
				}
			}
			b.ResetTimer()
			b.ReportAllocs()
			for b.Loop() {
				m.Logits(m.Forward(batch))
			}
			b.ReportMetric(float64(b.N)*4*512/b.Elapsed().Seconds(), "tok/s")
		})
	}
}

// synthetic is a checkpoint of a config's shapes whose matrices hold blocks of one GGML type and whose vectors hold ones.
type synthetic struct {
	c  Config
	dt tensor.DType
}

func (s synthetic) Names() (names []string) {
	for _, spec := range Specs(s.c) {
		names = append(names, spec.Name)
	}
	return names
}

func (s synthetic) Shape(name string) ([]int, error) {
	for _, spec := range Specs(s.c) {
		if spec.Name == name {
			return spec.Shape, nil
		}
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

func (s synthetic) Load(name string) (*codec.Weight, error) {
	shape, err := s.Shape(name)
	if err != nil {
		return nil, err
	}
	dt, rows, cols := s.dt, shape[0], 0
	var data []byte
	if len(shape) == 1 {
		rows, cols, dt = 1, shape[0], tensor.F32
		data = make([]byte, 4*cols)
		for i := range cols {
			binary.LittleEndian.PutUint32(data[4*i:], 0x3f800000)
		}
	} else {
		cols = shape[1]
		data = make([]byte, tensor.Bytes(dt, shape))
		_, size := dt.Block()
		seed := uint64(len(name)) * 0x9e3779b97f4a7c15
		for at := 0; at < len(data); at += size {
			for i := 2; i < size; i++ {
				seed = seed*6364136223846793005 + 1442695040888963407
				data[at+i] = byte(seed >> 56)
			}
			binary.LittleEndian.PutUint16(data[at:], 0x0c00) // 2⁻¹²
		}
	}
	term, err := codec.Dense(name, dt, rows, cols, data)
	return &codec.Weight{Name: name, Rows: rows, Cols: cols, Shape: shape, Terms: []codec.Term{term}}, err
}

const tinyLlama = `{"model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
	"num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5}`

// BenchmarkDecode measures tokens per second of a 1.1-billion-parameter model (TinyLlama's shape) at two lengths of context.
func BenchmarkDecode(b *testing.B) {
	c, err := ParseConfig([]byte(tinyLlama))
	if err != nil {
		b.Fatal(err)
	}
	for _, dt := range []tensor.DType{tensor.Q8_0, tensor.Q4_0} {
		m, err := New(c, synthetic{c, dt}, 2)
		if err != nil {
			b.Fatal(err)
		}
		for _, context := range []int{8, 1800} {
			b.Run(fmt.Sprintf("%v/%d", dt, context), func(b *testing.B) {
				s := m.NewSession(context + 1)
				b.ReportAllocs()
				for i := int32(0); b.Loop(); i++ {
					s.tokens = s.tokens[:context] // as if so many had been fed
					if _, err := s.Feed([]int32{i % 32000}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tok/s")
			})
		}
	}
}
