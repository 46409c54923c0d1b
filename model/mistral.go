package model

// mistral: llama with a sliding window on all layers (Jiang et al. 2023, arXiv 2310.06825).
var mistral = architecture{
	types: []string{"mistral"},
	roots: llama.roots,
	heads: llama.heads,

	embed: llama.embed, finalNorm: llama.finalNorm, layer: llama.layer,
	attnNorm: llama.attnNorm, mlpNorm: llama.mlpNorm,
	q: llama.q, k: llama.k, v: llama.v, o: llama.o,
	gate: llama.gate, up: llama.up, down: llama.down,

	configure: func(f fields, c *Config) {
		c.decoder(f, 8, 0)
		c.MaxPositions = f.count("max_position_embeddings", 4096*32)
		c.activation(f, "hidden_act", "silu")
		c.TiedHead = f.bool("tie_word_embeddings", false)
		c.window(f, 4096)
		for i := range c.Sliding {
			c.Sliding[i] = c.SlidingWindow > 0
		}
		c.rope(f)
	},
}

// window reads sliding_window: absent means def, null none.
func (c *Config) window(f fields, def int) {
	if raw, ok := f.m["sliding_window"]; ok && string(raw) == "null" {
		return
	}
	c.SlidingWindow = f.count("sliding_window", def)
}
