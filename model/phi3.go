package model

// phi3: llama with fused q/k/v and gate/up matrices and long-context rotary factors (Abdin et al. 2024, arXiv 2404.14219).
var phi3 = architecture{
	types: []string{"phi3"},
	roots: llama.roots,
	heads: llama.heads,

	embed: llama.embed, finalNorm: llama.finalNorm, layer: llama.layer,
	attnNorm: llama.attnNorm, mlpNorm: llama.mlpNorm,
	qkv: "self_attn.qkv_proj", o: "self_attn.o_proj",
	gateUp: "mlp.gate_up_proj", down: "mlp.down_proj",

	configure: func(f fields, c *Config) {
		c.decoder(f, 0, 0)
		c.NormEps = f.positive("rms_norm_eps", 1e-5)
		c.MaxPositions = f.count("max_position_embeddings", 4096)
		c.activation(f, "hidden_act", "silu")
		c.TiedHead = f.bool("tie_word_embeddings", false)
		c.window(f, 0)
		for i := range c.Sliding {
			c.Sliding[i] = c.SlidingWindow > 0
		}
		c.rope(f)
	},
}
