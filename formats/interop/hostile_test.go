package interop

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/formats"
	"pith/model"
	"pith/tensor"
	"pith/tokenizer"
)

// tiny is the metadata of a Llama model of two layers, 8 features, two heads and 6 tokens, which tinyTensors completes.
func tiny() map[string]any {
	return map[string]any{
		"general.architecture": "llama", "llama.block_count": uint32(2), "llama.context_length": uint32(16), "llama.embedding_length": uint32(8),
		"llama.feed_forward_length": uint32(12), "llama.attention.head_count": uint32(2), "llama.attention.head_count_kv": uint32(1),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5), "llama.rope.dimension_count": uint32(4),
		"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": []string{"<unk>", "<s>", "</s>", "a", "b", "▁"},
		"tokenizer.ggml.scores":     []float32{0, 0, 0, -1, -2, -3},
		"tokenizer.ggml.token_type": []int32{2, 3, 3, 1, 1, 1}, "tokenizer.ggml.bos_token_id": uint32(1), "tokenizer.ggml.eos_token_id": uint32(2),
	}
}

func tinyTensors() map[string][]int {
	shapes := map[string][]int{"token_embd.weight": {6, 8}, "output_norm.weight": {8}}
	for _, l := range []string{"blk.0.", "blk.1."} {
		maps.Copy(shapes, map[string][]int{l + "attn_norm.weight": {8}, l + "attn_q.weight": {8, 8}, l + "attn_k.weight": {4, 8}, l + "attn_v.weight": {4, 8},
			l + "attn_output.weight": {8, 8}, l + "ffn_norm.weight": {8}, l + "ffn_gate.weight": {12, 8}, l + "ffn_up.weight": {12, 8}, l + "ffn_down.weight": {8, 12}})
	}
	return shapes
}

// gguf writes a file of F32 tensors with ascending values.
func gguf(t testing.TB, kv map[string]any, shapes map[string][]int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	var entries []formats.KV
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		entries = append(entries, formats.KV{Key: k, Value: kv[k]})
	}
	var list []formats.LazyTensor
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n := tensor.Elements(shapes[name])
		list = append(list, formats.LazyTensor{Info: formats.Info{Name: name, DType: tensor.F32, Shape: shapes[name]}, Data: func() ([]byte, error) {
			data := make([]byte, 4*n)
			for i := range n {
				binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(i%17)/16+0.25))
			}
			return data, nil
		}})
	}
	if err := formats.WriteGGUF(path, entries, list); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheTinyModelItselfIsRunnable(t *testing.T) {
	m, err := OpenGGUF(gguf(t, tiny(), tinyTensors()))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := model.ParseConfig(m.ConfigJSON())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := model.New(c, m, 1); err != nil {
		t.Fatal(err)
	}
}

func TestHostileMetadataGivesAnErrorThatNamesTheFileAndTheKey(t *testing.T) {
	cases := []struct {
		name string
		key  string
		v    any // nil: removed
	}{
		{"architecture missing", "general.architecture", nil},
		{"architecture of the wrong type", "general.architecture", uint32(1)},
		{"block_count beyond llama.cpp's arrays, its issue 25821", "llama.block_count", uint32(513)},
		{"block_count of four billion", "llama.block_count", uint32(math.MaxUint32)},
		{"block_count zero", "llama.block_count", uint32(0)},
		{"block_count negative", "llama.block_count", int32(-1)},
		{"block_count missing", "llama.block_count", nil},
		{"block_count as a string", "llama.block_count", "2"},
		{"block_count as a float", "llama.block_count", float32(2)},
		{"block_count below the tensors'", "llama.block_count", uint32(1)},
		{"embedding_length zero", "llama.embedding_length", uint32(0)},
		{"embedding_length beyond 2^31", "llama.embedding_length", uint64(math.MaxUint64)},
		{"head_count missing", "llama.attention.head_count", nil},
		{"head_count zero", "llama.attention.head_count", uint32(0)},
		{"head_count an empty array", "llama.attention.head_count", []uint32{}},
		{"head_count an array of floats", "llama.attention.head_count", []float32{2, 2}},
		{"head_count an array of strings", "llama.attention.head_count", []string{"2"}},
		{"head_count different per layer", "llama.attention.head_count", []uint32{2, 4}},
		{"head_count_kv zero", "llama.attention.head_count_kv", uint32(0)},
		{"head_count_kv not a divisor", "llama.attention.head_count_kv", uint32(3)},
		{"key_length zero", "llama.attention.key_length", uint32(0)},
		{"key_length odd", "llama.attention.key_length", uint32(3)},
		{"value_length other than key_length", "llama.attention.value_length", uint32(8)},
		{"rope dimensions other than the head's", "llama.rope.dimension_count", uint32(2)},
		{"epsilon missing", "llama.attention.layer_norm_rms_epsilon", nil},
		{"epsilon NaN", "llama.attention.layer_norm_rms_epsilon", float32(math.NaN())},
		{"epsilon an integer", "llama.attention.layer_norm_rms_epsilon", uint32(1)},
		{"rope base infinite", "llama.rope.freq_base", float32(math.Inf(1))},
		{"rope scaling of no known type", "llama.rope.scaling.type", "magic"},
		{"rope scaling type a number", "llama.rope.scaling.type", uint32(1)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kv := tiny()
			kv[c.key] = c.v
			if c.v == nil {
				delete(kv, c.key)
			}
			path := gguf(t, kv, tinyTensors())
			m, err := OpenGGUF(path)
			if err == nil {
				m.Close()
				t.Fatalf("opened; config:\n%s", m.ConfigJSON())
			}
			last := c.key[strings.LastIndex(c.key, ".")+1:]
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), last) && !strings.Contains(err.Error(), "heads") && !strings.Contains(err.Error(), "per head") && !strings.Contains(err.Error(), "features of a head") {
				t.Errorf("error does not name the file and %s: %v", last, err)
			}
		})
	}
}

func TestHostileTensorsGiveAnErrorThatNamesTheTensor(t *testing.T) {
	cases := []struct {
		name, tensor string
		shape        []int // nil: removed
	}{
		{"embedding missing", "token_embd.weight", nil},
		{"embedding a vector", "token_embd.weight", []int{48}},
		{"query rows that are not the heads'", "blk.0.attn_q.weight", []int{6, 8}},
		{"key rows that are not the heads'", "blk.1.attn_k.weight", []int{8, 8}},
		{"key bias of the wrong length", "blk.1.attn_k.bias", []int{3}},
		{"tensor of a layer that does not exist", "blk.2.attn_norm.weight", []int{8}},
		{"tensor of layer four billion", "blk.4294967296.attn_norm.weight", []int{8}},
		{"tensor of no layer", "blk.x.attn_norm.weight", []int{8}},
		{"rotary factors that are a matrix", "rope_freqs.weight", []int{1, 2}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			shapes := tinyTensors()
			shapes[c.tensor] = c.shape
			if c.shape == nil {
				delete(shapes, c.tensor)
			}
			path := gguf(t, tiny(), shapes)
			if m, err := OpenGGUF(path); err == nil {
				m.Close()
				t.Error("opened")
			} else if !strings.Contains(err.Error(), c.tensor) || !strings.Contains(err.Error(), path) {
				t.Errorf("error does not name file and tensor: %v", err)
			}
		})
	}
}

func TestGemmaPatternOfTheWrongLengthIsRefused(t *testing.T) {
	kv := map[string]any{}
	for k, v := range tiny() {
		kv[strings.Replace(k, "llama.", "gemma3.", 1)] = v
	}
	kv["general.architecture"], kv["gemma3.attention.sliding_window"], kv["gemma3.attention.sliding_window_pattern"] = "gemma3", uint32(4), []bool{true}
	if m, err := OpenGGUF(gguf(t, kv, tinyTensors())); err == nil {
		m.Close()
		t.Error("opened")
	} else if !strings.Contains(err.Error(), "sliding_window_pattern") {
		t.Error(err)
	}
	for _, pattern := range []any{uint32(0), []bool{true, false}} { // 0 is no period: no layer slides
		kv["gemma3.attention.sliding_window_pattern"] = pattern
		m, err := OpenGGUF(gguf(t, kv, tinyTensors()))
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
}

func TestArchitecturesWithoutATableKeepTheirOwnNames(t *testing.T) {
	kv := tiny()
	kv["general.architecture"] = "mamba"
	m, err := OpenGGUF(gguf(t, kv, tinyTensors()))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got, want := m.Names(), slices.Sorted(maps.Keys(tinyTensors())); !slices.Equal(got, want) {
		t.Errorf("names %v", got)
	}
	if _, err := model.ParseConfig(m.ConfigJSON()); err == nil || !strings.Contains(err.Error(), "mamba") {
		t.Errorf("config error %v", err)
	}
}

func FuzzOpenGGUFModel(f *testing.F) {
	for _, kv := range []map[string]any{tiny(), {"general.architecture": "gpt2"}, {"general.architecture": "mamba"}} {
		data, err := os.ReadFile(gguf(f, kv, tinyTensors()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := NewGGUFModel("fuzz", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, name := range m.Names() {
			info, err := m.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			if w, err := m.Load(name); err == nil && info.Bytes > 0 {
				if err := m.ReadAt(name, make([]byte, 1), info.Bytes-1); err != nil {
					t.Fatalf("%s loads but cannot be read: %v", name, err)
				}
				_ = w
			}
		}
		if tok, err := m.Tokenizer(); err == nil {
			tok.Encode("a b\x00é", tokenizer.EncodeOptions{AddSpecial: true, ParseSpecial: true})
		}
		if c, err := model.ParseConfig(m.ConfigJSON()); err == nil {
			_, _ = model.New(c, m, 1)
		}
	})
}
