package model

// llama: RMSNorm, grouped-query attention with rotary positions, SwiGLU (Touvron et al. 2023, arXiv 2302.13971 and 2307.09288).
var llama = architecture{
	types: []string{"llama"},
	roots: []string{"model.", ""},
	heads: []string{"lm_head"},

	embed: "embed_tokens", finalNorm: "norm", layer: "layers.%d.",
	attnNorm: "input_layernorm", mlpNorm: "post_attention_layernorm",
	q: "self_attn.q_proj", k: "self_attn.k_proj", v: "self_attn.v_proj", o: "self_attn.o_proj",
	gate: "mlp.gate_proj", up: "mlp.up_proj", down: "mlp.down_proj",

	configure: func(f fields, c *Config) {
		c.decoder(f, 0, 0)
		c.MaxPositions = f.count("max_position_embeddings", 2048)
		c.activation(f, "hidden_act", "silu")
		c.QKVBias = f.bool("attention_bias", false)
		c.OutBias = c.QKVBias
		c.MLPBias = f.bool("mlp_bias", false)
		c.TiedHead = f.bool("tie_word_embeddings", false)
		c.rope(f)
	},
}
