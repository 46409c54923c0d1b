package model

// gptNeoX: LayerNorm, parallel residual, partial rotary positions, q/k/v rows grouped by head (Black et al. 2022,
// arXiv 2204.06745; Pythia: Biderman et al. 2023, arXiv 2304.01373).
var gptNeoX = architecture{
	types: []string{"gpt_neox"},
	roots: []string{"gpt_neox.", ""},
	heads: []string{"embed_out", "lm_head"},

	embed: "embed_in", finalNorm: "final_layer_norm", layer: "layers.%d.",
	attnNorm: "input_layernorm", mlpNorm: "post_attention_layernorm",
	qkv: "attention.query_key_value", o: "attention.dense",
	up: "mlp.dense_h_to_4h", down: "mlp.dense_4h_to_h",
	qkvPerHead: true,

	configure: func(f fields, c *Config) {
		c.decoder(f, 0, 0)
		c.KVHeads = c.Heads
		c.NormEps = f.positive("layer_norm_eps", 1e-5)
		c.Norm = LayerNorm
		c.MaxPositions = f.count("max_position_embeddings", 2048)
		c.activation(f, "hidden_act", "gelu")
		c.Gated = false
		c.MLPBias = true
		c.QKVBias = f.bool("attention_bias", true)
		c.OutBias = c.QKVBias
		c.ParallelResidual = f.bool("use_parallel_residual", true)
		c.TiedHead = f.bool("tie_word_embeddings", false)
		c.ropeNamed(f, "rotary_emb_base", "rotary_pct", 0.25)
	},
}
