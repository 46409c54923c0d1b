package interop

// Architectures is the table of everything this package can translate. Sources: the tensor names of llama.cpp's src/llama-arch.cpp,
// the layouts of its conversion/*.py, and the modules of transformers' modeling_*.py.
var Architectures = []Architecture{
	{ModelType: "llama", GGUF: "llama", LayerHF: "model.layers.{}.", Modules: decoderModules, Layer: rotatedLayer, Ignored: noWeights, Aliases: bareDecoder},
	{ModelType: "mistral", GGUF: "llama", LayerHF: "model.layers.{}.", Modules: decoderModules, Layer: rotatedLayer, Ignored: noWeights, Aliases: bareDecoder},
	{ModelType: "qwen2", GGUF: "qwen2", LayerHF: "model.layers.{}.", Modules: decoderModules, Layer: plainLayer, Ignored: noWeights, Aliases: bareDecoder},
	{ModelType: "qwen3", GGUF: "qwen3", LayerHF: "model.layers.{}.", Modules: decoderModules, Layer: qwen3Layer, Ignored: noWeights, Aliases: bareDecoder},
	{ModelType: "gemma2", GGUF: "gemma2", LayerHF: "model.layers.{}.", Modules: gemma2Modules, Layer: gemma2Layer, Ignored: noWeights, Aliases: bareDecoder},
	{ModelType: "gemma3_text", Nested: "gemma3", GGUF: "gemma3", LayerHF: "model.layers.{}.", Modules: gemma3Modules, Layer: gemma3Layer, Ignored: noWeights,
		Foreign: []string{"vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."}, Aliases: nestedDecoder},
	{ModelType: "phi3", GGUF: "phi3", LayerHF: "model.layers.{}.", Modules: decoderModules, Layer: phi3Layer, Ignored: noWeights, Aliases: bareDecoder},
	{ModelType: "gpt2", GGUF: "gpt2", LayerHF: "transformer.h.{}.", Modules: gpt2Modules, Layer: gpt2Layer, Ignored: noWeights,
		Aliases: []Alias{{"wte.", "transformer.wte."}, {"wpe.", "transformer.wpe."}, {"ln_f.", "transformer.ln_f."}, {"h.", "transformer.h."}}},
	{ModelType: "gpt_neox", GGUF: "gptneox", LayerHF: "gpt_neox.layers.{}.", Modules: neoxModules, Layer: neoxLayer, Ignored: noWeights,
		Aliases: []Alias{{"embed_in.", "gpt_neox.embed_in."}, {"final_layer_norm.", "gpt_neox.final_layer_norm."}, {"layers.", "gpt_neox.layers."}}},
}

// bareDecoder: checkpoints saved from the model without its head lack the first part of every name.
var bareDecoder = []Alias{{"embed_tokens.", "model.embed_tokens."}, {"norm.", "model.norm."}, {"layers.", "model.layers."}}

// nestedDecoder: the text model inside a multimodal checkpoint, in the spellings of transformers 4 and 5.
var nestedDecoder = append([]Alias{{"language_model.model.", "model."}, {"model.language_model.", "model."}, {"language_model.lm_head.", "lm_head."}}, bareDecoder...)

// noWeights are buffers that older checkpoints carry beside their weights: causal masks and inverse RoPE frequencies.
var noWeights = []string{".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"}

var decoderModules = []Module{
	{"model.embed_tokens", "token_embd", AsIs},
	{"model.norm", "output_norm", AsIs},
	{"lm_head", "output", AsIs},
}

// gemma2Modules have no head: it is tied to the embedding, and llama.cpp does not accept one.
var gemma2Modules = []Module{
	{"model.embed_tokens", "token_embd", AsIs},
	{"model.norm", "output_norm", PlusOne},
}

var gemma3Modules = []Module{
	{"model.embed_tokens", "token_embd", AsIs},
	{"model.norm", "output_norm", PlusOne},
	{"lm_head", "output", AsIs},
}

// rotatedLayer is llama's: q and k are stored for RoPE on neighbouring pairs.
var rotatedLayer = []Module{
	{"input_layernorm", "attn_norm", AsIs},
	{"self_attn.q_proj", "attn_q", RotaryQ},
	{"self_attn.k_proj", "attn_k", RotaryK},
	{"self_attn.v_proj", "attn_v", AsIs},
	{"self_attn.o_proj", "attn_output", AsIs},
	{"post_attention_layernorm", "ffn_norm", AsIs},
	{"mlp.gate_proj", "ffn_gate", AsIs},
	{"mlp.up_proj", "ffn_up", AsIs},
	{"mlp.down_proj", "ffn_down", AsIs},
}

// plainLayer is qwen2's: as llama's, but q and k keep their rows, and q, k and v have biases.
var plainLayer = []Module{
	{"input_layernorm", "attn_norm", AsIs},
	{"self_attn.q_proj", "attn_q", AsIs},
	{"self_attn.k_proj", "attn_k", AsIs},
	{"self_attn.v_proj", "attn_v", AsIs},
	{"self_attn.o_proj", "attn_output", AsIs},
	{"post_attention_layernorm", "ffn_norm", AsIs},
	{"mlp.gate_proj", "ffn_gate", AsIs},
	{"mlp.up_proj", "ffn_up", AsIs},
	{"mlp.down_proj", "ffn_down", AsIs},
}

var qwen3Layer = []Module{
	{"input_layernorm", "attn_norm", AsIs},
	{"self_attn.q_proj", "attn_q", AsIs},
	{"self_attn.k_proj", "attn_k", AsIs},
	{"self_attn.v_proj", "attn_v", AsIs},
	{"self_attn.o_proj", "attn_output", AsIs},
	{"self_attn.q_norm", "attn_q_norm", AsIs},
	{"self_attn.k_norm", "attn_k_norm", AsIs},
	{"post_attention_layernorm", "ffn_norm", AsIs},
	{"mlp.gate_proj", "ffn_gate", AsIs},
	{"mlp.up_proj", "ffn_up", AsIs},
	{"mlp.down_proj", "ffn_down", AsIs},
}

// gemma2Layer: norms before and after both halves; GGUF holds 1 + weight.
var gemma2Layer = []Module{
	{"input_layernorm", "attn_norm", PlusOne},
	{"self_attn.q_proj", "attn_q", AsIs},
	{"self_attn.k_proj", "attn_k", AsIs},
	{"self_attn.v_proj", "attn_v", AsIs},
	{"self_attn.o_proj", "attn_output", AsIs},
	{"post_attention_layernorm", "post_attention_norm", PlusOne},
	{"pre_feedforward_layernorm", "ffn_norm", PlusOne},
	{"post_feedforward_layernorm", "post_ffw_norm", PlusOne},
	{"mlp.gate_proj", "ffn_gate", AsIs},
	{"mlp.up_proj", "ffn_up", AsIs},
	{"mlp.down_proj", "ffn_down", AsIs},
}

var gemma3Layer = []Module{
	{"input_layernorm", "attn_norm", PlusOne},
	{"self_attn.q_proj", "attn_q", AsIs},
	{"self_attn.k_proj", "attn_k", AsIs},
	{"self_attn.v_proj", "attn_v", AsIs},
	{"self_attn.o_proj", "attn_output", AsIs},
	{"self_attn.q_norm", "attn_q_norm", PlusOne},
	{"self_attn.k_norm", "attn_k_norm", PlusOne},
	{"post_attention_layernorm", "post_attention_norm", PlusOne},
	{"pre_feedforward_layernorm", "ffn_norm", PlusOne},
	{"post_feedforward_layernorm", "post_ffw_norm", PlusOne},
	{"mlp.gate_proj", "ffn_gate", AsIs},
	{"mlp.up_proj", "ffn_up", AsIs},
	{"mlp.down_proj", "ffn_down", AsIs},
}

// phi3Layer: q‖k‖v in one matrix, gate‖up in another (which GGUF calls ffn_up), both in the same order on both sides.
var phi3Layer = []Module{
	{"input_layernorm", "attn_norm", AsIs},
	{"self_attn.qkv_proj", "attn_qkv", AsIs},
	{"self_attn.o_proj", "attn_output", AsIs},
	{"post_attention_layernorm", "ffn_norm", AsIs},
	{"mlp.gate_up_proj", "ffn_up", AsIs},
	{"mlp.down_proj", "ffn_down", AsIs},
}

var gpt2Modules = []Module{
	{"transformer.wte", "token_embd", AsIs},
	{"transformer.wpe", "position_embd", AsIs},
	{"transformer.ln_f", "output_norm", AsIs},
	{"lm_head", "output", AsIs},
}

// gpt2Layer: the four projections are Conv1D modules, stored (in, out) in a checkpoint and (out, in) in GGUF.
var gpt2Layer = []Module{
	{"ln_1", "attn_norm", AsIs},
	{"attn.c_attn", "attn_qkv", Transposed},
	{"attn.c_proj", "attn_output", Transposed},
	{"ln_2", "ffn_norm", AsIs},
	{"mlp.c_fc", "ffn_up", Transposed},
	{"mlp.c_proj", "ffn_down", Transposed},
}

var neoxModules = []Module{
	{"gpt_neox.embed_in", "token_embd", AsIs},
	{"gpt_neox.final_layer_norm", "output_norm", AsIs},
	{"embed_out", "output", AsIs},
}

// neoxLayer: a checkpoint keeps q, k and v of one head together; GGUF has all of q, then all of k, then all of v.
var neoxLayer = []Module{
	{"input_layernorm", "attn_norm", AsIs},
	{"attention.query_key_value", "attn_qkv", InterleavedQKV},
	{"attention.dense", "attn_output", AsIs},
	{"post_attention_layernorm", "ffn_norm", AsIs},
	{"mlp.dense_h_to_4h", "ffn_up", AsIs},
	{"mlp.dense_4h_to_h", "ffn_down", AsIs},
}
