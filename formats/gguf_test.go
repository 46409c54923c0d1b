package formats

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pith/tensor"
)

// everyKV has every type of GGUF metadata, at edges.
func everyKV() []KV {
	return []KV{
		{"general.architecture", "llama"},
		{"u8", uint8(255)}, {"i8", int8(-128)}, {"u16", uint16(65535)}, {"i16", int16(-32768)},
		{"u32", uint32(math.MaxUint32)}, {"i32", int32(math.MinInt32)}, {"f32", float32(math.SmallestNonzeroFloat32)},
		{"true", true}, {"false", false}, {"string", "a\x00b\xff"}, {"empty", ""},
		{"u64", uint64(math.MaxUint64)}, {"i64", int64(math.MinInt64)}, {"f64", math.MaxFloat64},
		{"a.u8", []uint8{1, 2}}, {"a.i8", []int8{-1}}, {"a.u16", []uint16{7}}, {"a.i16", []int16{-7}}, {"a.u32", []uint32{8}},
		{"a.i32", []int32{-8}}, {"a.f32", []float32{0.5, float32(math.Inf(1))}}, {"a.bool", []bool{true, false}},
		{"a.string", []string{"x", "", "yz"}}, {"a.u64", []uint64{9}}, {"a.i64", []int64{-9}}, {"a.f64", []float64{0.25}},
		{"long", strings.Repeat("chat template ", 5000)}, {"a.none", []string{}}, {"a.long", make([]float32, 5000)},
	}
}

// everyGGML returns tensors of every dtype that GGUF has.
func everyGGML() []LazyTensor {
	var tensors []LazyTensor
	for _, d := range ggmlTypes {
		if d == tensor.Invalid {
			continue
		}
		for i, shape := range [][]int{{256}, {3, 512}, {0, 256}, {2, 1, 2, 256}, {1}} {
			size, err := storedBytes(d, shape)
			if err != nil {
				continue // less than a block
			}
			data := randomBytes(uint64(d)<<4+uint64(i), size)
			info := Info{Name: "t." + d.String() + string(rune('a'+i)), DType: d, Shape: shape, Bytes: size}
			tensors = append(tensors, LazyTensor{Info: info, Data: func() ([]byte, error) { return data, nil }})
		}
	}
	return tensors
}

func TestGGUFRoundTripIsLosslessForEveryTypeAndAlignment(t *testing.T) {
	for _, alignment := range []uint32{0, 8, 32, 4096} {
		kv, tensors := everyKV(), everyGGML()
		if alignment != 0 {
			kv = append(kv, KV{"general.alignment", alignment})
		}
		path := filepath.Join(t.TempDir(), "a.gguf")
		if err := WriteGGUF(path, kv, tensors); err != nil {
			t.Fatal(err)
		}
		g, err := OpenGGUF(path)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		checkSameTensors(t, g, tensors)
		if !reflect.DeepEqual(g.KV(), kv) {
			t.Errorf("metadata differs: %v", g.KV())
		}
		if w := g.Warnings(); len(w) > 0 {
			t.Errorf("warnings about our own file: %q", w)
		}
		var again []LazyTensor
		for _, info := range g.Tensors() {
			lazy, err := Lazy(g, info.Name)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, lazy)
		}
		copied := filepath.Join(t.TempDir(), "b.gguf")
		if err := WriteGGUF(copied, g.KV(), again); err != nil {
			t.Fatal(err)
		}
		a, _ := os.ReadFile(path)
		b, _ := os.ReadFile(copied)
		if !bytes.Equal(a, b) {
			t.Error("the copy differs")
		}
	}
}
