package llama

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"pith/formats"
	"pith/tensor"
)

// Options say how a checkpoint is written. The zero value writes one F16 file with seed 0.
type Options struct {
	DType      tensor.DType // F16 (default), BF16 or F32
	Seed       uint64       // of the weights
	ShardBytes int64        // largest tensor bytes of a file; 0: one file
	Workers    int          // goroutines; 0: one per CPU. The bytes do not depend on it
	Text       string       // if not empty, what the model generates has the token frequencies of this text; needs a head of its own

	rowMeans []float32
}

// Write makes the directory dir and writes the checkpoint into it: config.json, tokenizer.json, tokenizer_config.json and the weights.
// Memory stays below 20 MB whatever the shape. Errors name the file.
func Write(dir string, s Shape, o Options) error {
	if o.DType == tensor.Invalid {
		o.DType = tensor.F16
	}
	if o.DType != tensor.F16 && o.DType != tensor.BF16 && o.DType != tensor.F32 {
		return fmt.Errorf("synthetic weights of dtype %v are not offered; use f16, bf16 or f32", o.DType)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	v, err := newVocabulary(s.Vocab)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, content := range map[string]any{"config.json": s.config(o.DType), "tokenizer.json": v.tokenizerJSON(),
		"tokenizer_config.json": tokenizerConfig()} {
		if err := writeJSON(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	if o.Text != "" {
		if s.Tied {
			return fmt.Errorf("token frequencies need a head that is not the embedding")
		}
		if o.rowMeans, err = rowMeans(dir, s, o.Text); err != nil {
			return err
		}
	}
	return writeShards(dir, s, o)
}

func (s Shape) config(dt tensor.DType) map[string]any {
	return map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu",
		"hidden_size": s.Hidden, "intermediate_size": s.FFN, "num_hidden_layers": s.Layers, "num_attention_heads": s.Heads,
		"num_key_value_heads": s.KVHeads, "vocab_size": s.Vocab, "max_position_embeddings": s.Context, "rms_norm_eps": 1e-5,
		"rope_theta": 10000.0, "rope_scaling": nil, "attention_bias": false, "mlp_bias": false, "initializer_range": std,
		"tie_word_embeddings": s.Tied, "bos_token_id": 1, "eos_token_id": 2, "use_cache": true,
		"torch_dtype": map[tensor.DType]string{tensor.F16: "float16", tensor.BF16: "bfloat16", tensor.F32: "float32"}[dt]}
}

func writeJSON(path string, content any) error {
	data, err := json.MarshalIndent(content, "", " ")
	if err != nil {
		return err
	}
	return formats.WriteFileAtomic(path, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// writeShards cuts the weights, in order, into files of at most o.ShardBytes.
func writeShards(dir string, s Shape, o Options) error {
	_, size := o.DType.Block()
	var shards [][]weight
	var filled int64
	for _, w := range s.weights() {
		bytes := w.elements() * int64(size)
		if len(shards) == 0 || (o.ShardBytes > 0 && filled+bytes > o.ShardBytes) {
			shards, filled = append(shards, nil), 0
		}
		shards[len(shards)-1] = append(shards[len(shards)-1], w)
		filled += bytes
	}
	index := map[string]string{}
	for i, shard := range shards {
		file := "model.safetensors"
		if len(shards) > 1 {
			file = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		var tensors []formats.LazyTensor
		for _, w := range shard {
			index[w.name] = file
			tensors = append(tensors, formats.LazyTensor{
				Info:  formats.Info{Name: w.name, DType: o.DType, Shape: w.shape, Bytes: w.elements() * int64(size)},
				Write: func(out io.Writer) error { return writeWeights(out, w, o) },
			})
		}
		if err := formats.WriteSafetensors(filepath.Join(dir, file), tensors, map[string]string{"format": "pt"}); err != nil {
			return err
		}
	}
	if len(shards) == 1 {
		return nil
	}
	return writeJSON(filepath.Join(dir, "model.safetensors.index.json"), map[string]any{
		"metadata": map[string]any{"total_size": s.NumWeights() * int64(size)}, "weight_map": index})
}
