// Package llama writes synthetic Llama checkpoints of any size: Hugging Face names, shapes and files, deterministic Gaussian
// weights, and a small but working byte-fallback tokenizer that fills the vocabulary.
package llama

import "fmt"

// Shape is the size of a Llama model.
type Shape struct {
	Layers, Hidden, FFN, Heads, KVHeads, Vocab, Context int
	Tied                                                bool // the head is the embedding
}

// Shapes returns the named sizes.
func Shapes() map[string]Shape {
	return map[string]Shape{
		"tinyllama": {Layers: 22, Hidden: 2048, FFN: 5632, Heads: 32, KVHeads: 4, Vocab: 32000, Context: 2048},
		// Llama 3's vocabulary: a model of half the layers of Llama-3.2-1B, untied, and a draft for it.
		"llama3-target": {Layers: 8, Hidden: 2048, FFN: 8192, Heads: 32, KVHeads: 8, Vocab: 128256, Context: 2048},
		"llama3-draft":  {Layers: 2, Hidden: 1024, FFN: 4096, Heads: 16, KVHeads: 4, Vocab: 128256, Context: 2048},

		"small": {Layers: 4, Hidden: 512, FFN: 1408, Heads: 8, KVHeads: 2, Vocab: 4096, Context: 512},
		"mini":  {Layers: 3, Hidden: 256, FFN: 640, Heads: 8, KVHeads: 2, Vocab: 1024, Context: 256},
		"tiny":  {Layers: 2, Hidden: 128, FFN: 384, Heads: 4, KVHeads: 2, Vocab: 512, Context: 256},
		"odd":   {Layers: 1, Hidden: 96, FFN: 200, Heads: 3, KVHeads: 1, Vocab: 389, Context: 64},
	}
}

// Names of the tensors that depend on the vocabulary.
const (
	embedding = "model.embed_tokens.weight"
	head      = "lm_head.weight"
)

// weight is one tensor of the checkpoint.
type weight struct {
	name  string
	shape []int
	norm  bool // values near 1 instead of near 0
}

// weights lists the checkpoint's tensors in the order of the forward pass.
func (s Shape) weights() []weight {
	kv := s.Hidden / s.Heads * s.KVHeads
	list := []weight{{embedding, []int{s.Vocab, s.Hidden}, false}}
	for i := range s.Layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		list = append(list,
			weight{p + "input_layernorm.weight", []int{s.Hidden}, true},
			weight{p + "self_attn.q_proj.weight", []int{s.Hidden, s.Hidden}, false},
			weight{p + "self_attn.k_proj.weight", []int{kv, s.Hidden}, false},
			weight{p + "self_attn.v_proj.weight", []int{kv, s.Hidden}, false},
			weight{p + "self_attn.o_proj.weight", []int{s.Hidden, s.Hidden}, false},
			weight{p + "post_attention_layernorm.weight", []int{s.Hidden}, true},
			weight{p + "mlp.gate_proj.weight", []int{s.FFN, s.Hidden}, false},
			weight{p + "mlp.up_proj.weight", []int{s.FFN, s.Hidden}, false},
			weight{p + "mlp.down_proj.weight", []int{s.Hidden, s.FFN}, false})
	}
	list = append(list, weight{"model.norm.weight", []int{s.Hidden}, true})
	if !s.Tied {
		list = append(list, weight{head, []int{s.Vocab, s.Hidden}, false})
	}
	return list
}

// NumWeights returns the number of elements of all tensors.
func (s Shape) NumWeights() int64 {
	var n int64
	for _, w := range s.weights() {
		n += w.elements()
	}
	return n
}

func (w weight) elements() int64 {
	n := int64(1)
	for _, d := range w.shape {
		n *= int64(d)
	}
	return n
}
