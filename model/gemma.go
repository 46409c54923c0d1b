package model

import "math"

// gemma2: norms of 1 + w before and after attention and MLP, soft-capped scores and logits, every other layer sliding
// (Gemma Team 2024, arXiv 2408.00118).
var gemma2 = architecture{
	types: []string{"gemma2"},
	roots: llama.roots,
	heads: llama.heads,

	embed: llama.embed, finalNorm: llama.finalNorm, layer: llama.layer,
	attnNorm: "input_layernorm", postAttnNorm: "post_attention_layernorm",
	mlpNorm: "pre_feedforward_layernorm", postMLPNorm: "post_feedforward_layernorm",
	q: llama.q, k: llama.k, v: llama.v, o: llama.o,
	gate: llama.gate, up: llama.up, down: llama.down,

	configure: func(f fields, c *Config) {
		c.decoder(f, 4, 256)
		c.MaxPositions = f.count("max_position_embeddings", 8192)
		c.gemma(f)
		c.AttentionSoftcap = softcap(f, "attn_logit_softcapping", 50)
		c.LogitSoftcap = softcap(f, "final_logit_softcapping", 30)
		c.layerTypes(f, func(i int) bool { return i%2 == 0 })
		c.rope(f)
	},
}

// gemma3: gemma2 with normed queries and keys, five sliding layers to each full one and a rotary base for each kind; no
// attention soft-cap (Gemma Team 2025, arXiv 2503.19786). Of a multimodal checkpoint the text model is taken.
var gemma3 = architecture{
	types:  []string{"gemma3_text", "gemma3"},
	nested: true,
	roots:  []string{"model.", "language_model.model.", "model.language_model.", ""},
	heads:  []string{"lm_head", "language_model.lm_head"},

	embed: gemma2.embed, finalNorm: gemma2.finalNorm, layer: gemma2.layer,
	attnNorm: gemma2.attnNorm, postAttnNorm: gemma2.postAttnNorm,
	mlpNorm: gemma2.mlpNorm, postMLPNorm: gemma2.postMLPNorm,
	q: llama.q, k: llama.k, v: llama.v, o: llama.o, qNorm: "self_attn.q_norm", kNorm: "self_attn.k_norm",
	gate: llama.gate, up: llama.up, down: llama.down,

	configure: func(f fields, c *Config) {
		gemma3Defaults(f)
		c.decoder(f, 4, 256)
		c.MaxPositions = f.count("max_position_embeddings", 131072)
		c.gemma(f)
		c.QKNorm = true
		c.LogitSoftcap = softcap(f, "final_logit_softcapping", 0)
		// transformers reads attn_logit_softcapping and never applies it.
		if softcap(f, "attn_logit_softcapping", 0) != 0 {
			f.fail("attn_logit_softcapping", "is not part of gemma3; only null is supported")
		}
		pattern := f.size("sliding_window_pattern", 6)
		c.layerTypes(f, func(i int) bool { return (i+1)%pattern != 0 })
		c.ropePerLayerType(f, 1e6, 1e4)
	},
}

// gemma3Defaults adds the sizes that the text_config of published multimodal checkpoints leaves to transformers.
func gemma3Defaults(f fields) {
	for name, value := range map[string]string{
		"vocab_size": "262208", "hidden_size": "2304", "intermediate_size": "9216", "num_hidden_layers": "26", "num_attention_heads": "8",
	} {
		if !f.has(name) {
			f.m[name] = []byte(value)
		}
	}
}

func (c *Config) gemma(f fields) {
	c.Norm = RMSNorm1
	c.PostNorms = true
	f.only("use_bidirectional_attention", false)
	act := "hidden_activation"
	if !f.has(act) && f.has("hidden_act") {
		act = "hidden_act"
	}
	c.activation(f, act, "gelu_pytorch_tanh")
	c.QKVBias = f.bool("attention_bias", false)
	c.OutBias = c.QKVBias
	c.TiedHead = f.bool("tie_word_embeddings", true)
	c.EmbedScale = math.Sqrt(float64(c.Hidden))
	c.QueryScale = invSqrt(f.positive("query_pre_attn_scalar", 256))
	c.window(f, 4096)
}

// softcap reads a cap: absent means def, null none.
func softcap(f fields, name string, def float64) float64 {
	raw, ok := f.m[name]
	switch {
	case !ok:
		return def
	case string(raw) == "null":
		return 0
	}
	return f.positive(name, 1)
}
