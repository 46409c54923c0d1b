package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/formats"
	"pith/tensor"
)

// cli runs one command line in this process.
func cli(args ...string) (code int, stdout, stderr string) {
	return cliContext(context.Background(), args...)
}

func cliContext(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, streams{strings.NewReader(""), &out, &errs})
	return code, out.String(), errs.String()
}

// ok runs a command line that must succeed, and returns its standard output.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := cli(args...)
	if code != exitOK {
		t.Fatalf("pith %s: exit code %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

const (
	tinyVocab  = 320
	tinyHidden = 64
)

// tinyModel writes a Llama of random weights with a byte-level tokenizer, and returns its directory.
func tinyModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(7, 7))
	var list []formats.LazyTensor
	add := func(name string, shape ...int) {
		data := make([]byte, 4*tensor.Elements(shape))
		for i := 0; i < len(data); i += 4 {
			v := float32(rng.NormFloat64() * 0.08)
			if len(shape) == 1 {
				v = 1
			}
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(v))
		}
		info := formats.Info{Name: name, DType: tensor.F32, Shape: shape, Bytes: int64(len(data))}
		list = append(list, formats.LazyTensor{Info: info, Data: func() ([]byte, error) { return data, nil }})
	}
	add("model.embed_tokens.weight", tinyVocab, tinyHidden)
	for i := range 2 {
		p := fmt.Sprintf("model.layers.%d.", i)
		add(p+"self_attn.q_proj.weight", 64, tinyHidden)
		add(p+"self_attn.k_proj.weight", 32, tinyHidden)
		add(p+"self_attn.v_proj.weight", 32, tinyHidden)
		add(p+"self_attn.o_proj.weight", tinyHidden, 64)
		add(p+"mlp.gate_proj.weight", 96, tinyHidden)
		add(p+"mlp.up_proj.weight", 96, tinyHidden)
		add(p+"mlp.down_proj.weight", tinyHidden, 96)
		add(p+"input_layernorm.weight", tinyHidden)
		add(p+"post_attention_layernorm.weight", tinyHidden)
	}
	add("model.norm.weight", tinyHidden)
	add("lm_head.weight", tinyVocab, tinyHidden)
	if err := formats.WriteSafetensors(filepath.Join(dir, "model.safetensors"), list, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": tinyHidden, "intermediate_size": 96,
		"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": tinyVocab, "max_position_embeddings": 64,
		"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2}
	writeJSON(t, filepath.Join(dir, "config.json"), config)
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), tinyTokenizer())
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), map[string]any{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
	return dir
}

// tinyTokenizer is a SentencePiece-like BPE of bytes, the space mark, letters and a few words.
func tinyTokenizer() map[string]any {
	vocab := map[string]int{"<unk>": 0, "<s>": 1, "</s>": 2}
	for b := range 256 {
		vocab[fmt.Sprintf("<0x%02X>", b)] = len(vocab)
	}
	vocab["▁"] = len(vocab)
	for c := 'a'; c <= 'z'; c++ {
		vocab[string(c)] = len(vocab)
	}
	var merges []string
	for _, m := range [][2]string{{"t", "h"}, {"th", "e"}, {"▁", "the"}, {"i", "n"}, {"a", "n"}, {"e", "r"}} {
		merges = append(merges, m[0]+" "+m[1])
		vocab[m[0]+m[1]] = len(vocab)
	}
	for len(vocab) < tinyVocab {
		vocab[fmt.Sprintf("<spare%d>", len(vocab))] = len(vocab)
	}
	var added []map[string]any
	for i, s := range []string{"<unk>", "<s>", "</s>"} {
		added = append(added, map[string]any{"id": i, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": map[string]any{"type": "Sequence", "normalizers": []any{
			map[string]any{"type": "Prepend", "prepend": "▁"}, map[string]any{"type": "Replace", "pattern": map[string]any{"String": " "}, "content": "▁"}}},
		"pre_tokenizer": nil,
		"post_processor": map[string]any{"type": "TemplateProcessing",
			"single":         []any{map[string]any{"SpecialToken": map[string]any{"id": "<s>", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}},
			"pair":           []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 1}}},
			"special_tokens": map[string]any{"<s>": map[string]any{"id": "<s>", "ids": []int{1}, "tokens": []string{"<s>"}}}},
		"decoder": map[string]any{"type": "Sequence", "decoders": []any{
			map[string]any{"type": "Replace", "pattern": map[string]any{"String": "▁"}, "content": " "}, map[string]any{"type": "ByteFallback"},
			map[string]any{"type": "Fuse"}, map[string]any{"type": "Strip", "content": " ", "start": 1, "stop": 0}}},
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": merges},
	}
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, data)
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// tinyText writes a text of some 2,000 tokens.
func tinyText(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text.txt")
	writeFile(t, path, []byte(strings.Repeat("the winter in the garden, and then the rain\n", 60)))
	return path
}
