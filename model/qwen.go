package model

// qwen2: llama with biases on q, k and v, and optional sliding windows in the upper layers (Yang et al. 2024, arXiv 2407.10671).
var qwen2 = architecture{
	types: []string{"qwen2"},
	roots: llama.roots,
	heads: llama.heads,

	embed: llama.embed, finalNorm: llama.finalNorm, layer: llama.layer,
	attnNorm: llama.attnNorm, mlpNorm: llama.mlpNorm,
	q: llama.q, k: llama.k, v: llama.v, o: llama.o,
	gate: llama.gate, up: llama.up, down: llama.down,

	configure: func(f fields, c *Config) {
		c.decoder(f, 0, 0)
		c.qwen(f)
		c.QKVBias = true
	},
}

// qwen3: qwen2 without biases and with an RMS norm of each query and key head (Yang et al. 2025, arXiv 2505.09388).
var qwen3 = architecture{
	types: []string{"qwen3"},
	roots: llama.roots,
	heads: llama.heads,

	embed: llama.embed, finalNorm: llama.finalNorm, layer: llama.layer,
	attnNorm: llama.attnNorm, mlpNorm: llama.mlpNorm,
	q: llama.q, k: llama.k, v: llama.v, o: llama.o, qNorm: "self_attn.q_norm", kNorm: "self_attn.k_norm",
	gate: llama.gate, up: llama.up, down: llama.down,

	configure: func(f fields, c *Config) {
		c.decoder(f, 0, 128)
		c.qwen(f)
		c.QKNorm = true
		c.QKVBias = f.bool("attention_bias", false)
		c.OutBias = c.QKVBias
	},
}

func (c *Config) qwen(f fields) {
	c.MaxPositions = f.count("max_position_embeddings", 32768)
	c.activation(f, "hidden_act", "silu")
	c.TiedHead = f.bool("tie_word_embeddings", false)
	if f.bool("use_sliding_window", false) {
		c.window(f, 4096)
	}
	first := f.count("max_window_layers", 28)
	c.layerTypes(f, func(i int) bool { return c.SlidingWindow > 0 && i >= first })
	c.rope(f)
}
