package model

// gpt2: LayerNorm, learned positions, fused q/k/v, plain MLP; all linears have biases and are stored (in, out) (Radford et al. 2019).
var gpt2 = architecture{
	types: []string{"gpt2"},
	roots: []string{"transformer.", ""},
	heads: []string{"lm_head"},

	embed: "wte", position: "wpe", finalNorm: "ln_f", layer: "h.%d.", count: "n_layer",
	attnNorm: "ln_1", mlpNorm: "ln_2",
	qkv: "attn.c_attn", o: "attn.c_proj",
	up: "mlp.c_fc", down: "mlp.c_proj",
	transposed: true,

	configure: func(f fields, c *Config) {
		c.Hidden = f.size("n_embd", 768)
		c.Layers = f.size("n_layer", 12)
		c.Heads = f.size("n_head", 12)
		c.Vocab = f.size("vocab_size", 50257)
		c.MaxPositions = f.size("n_positions", 1024)
		c.Intermediate = f.size("n_inner", 4*c.Hidden)
		c.KVHeads = c.Heads
		if c.Hidden%c.Heads != 0 {
			f.fail("n_head", "%d does not divide n_embd %d", c.Heads, c.Hidden)
		}
		c.HeadDim = max(1, c.Hidden/c.Heads)
		c.Sliding = make([]bool, c.Layers)
		c.Norm = LayerNorm
		c.NormEps = f.positive("layer_norm_epsilon", 1e-5)
		c.activation(f, "activation_function", "gelu_new")
		c.Gated = false
		c.QKVBias, c.OutBias, c.MLPBias = true, true, true
		c.LearnedPositions = true
		c.TiedHead = f.bool("tie_word_embeddings", true)
		c.QueryScale = 1
		if f.bool("scale_attn_weights", true) {
			c.QueryScale = invSqrt(float64(c.HeadDim))
		}
		c.ScaleByLayer = f.bool("scale_attn_by_inverse_layer_idx", false)
		f.only("add_cross_attention", false)
	},
}
