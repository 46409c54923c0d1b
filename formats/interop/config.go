package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxBlocks is the most layers a file may state; it is llama.cpp's LLAMA_MAX_LAYERS, past which its issue #25821 wrote out of bounds.
const maxBlocks = 512

// synthesis makes a config.json out of a GGUF file's metadata and tensor shapes. The first error sticks.
type synthesis struct {
	metadata
	arch    string                          // general.architecture, the prefix of its keys
	shape   func(gguf string) ([]int, bool) // of a tensor
	floats  func(gguf string) []float64     // the values of a small tensor
	out     map[string]any                  // config.json
	Heads                                   // what row orders need
	layers  int
	failure error
}

func (s *synthesis) fail(err error) {
	if s.failure == nil {
		s.failure = err
	}
}

// key completes a key of this architecture: "block_count" → "llama.block_count".
func (s *synthesis) key(name string) string { return s.arch + "." + name }

// size copies a required positive integer.
func (s *synthesis) size(field, name string) int {
	n, err := s.positive(s.key(name))
	if err != nil {
		s.fail(err)
		return 1
	}
	s.out[field] = n
	return n
}

// number copies a required float.
func (s *synthesis) number(field, name string) {
	if !s.has(s.key(name)) {
		s.fail(s.missing(s.key(name)))
	}
	s.optional(field, name, 0)
}

// optional copies a float, or writes otherwise if the file does not have it.
func (s *synthesis) optional(field, name string, otherwise float32) {
	f, err := s.float(s.key(name), otherwise)
	if err != nil {
		s.fail(err)
	}
	s.out[field] = number(f)
}

// whole returns an integer of the architecture, or otherwise.
func (s *synthesis) whole(name string, otherwise int) int {
	n, err := s.integer(s.key(name), otherwise)
	if err != nil {
		s.fail(err)
	}
	return n
}

// tensor reports whether the file has a tensor of this name.
func (s *synthesis) tensor(gguf string) bool { _, ok := s.shape(gguf); return ok }

// config returns the config.json that describes the file.
func (s *synthesis) config(a *Architecture) ([]byte, error) {
	s.out = map[string]any{"model_type": a.ModelType, "architectures": []string{architectureClass[a.ModelType]}}
	s.dimensions(a)
	if s.failure != nil {
		return nil, s.failure
	}
	switch a.ModelType {
	case "llama", "mistral":
		s.out["hidden_act"] = "silu"
		s.out["attention_bias"] = s.tensor("blk.0.attn_q.bias")
		s.out["mlp_bias"] = s.tensor("blk.0.ffn_up.bias")
		if a.ModelType == "mistral" {
			s.slidingLayers(s.whole("attention.sliding_window", 0), 0)
			delete(s.out, "layer_types")
		}
	case "qwen2", "qwen3":
		s.out["hidden_act"] = "silu"
		s.out["attention_bias"] = s.tensor("blk.0.attn_q.bias")
		window := s.whole("attention.sliding_window", 0)
		s.out["use_sliding_window"] = window > 0
		s.slidingLayers(window, 1)
	case "gemma2", "gemma3_text":
		s.gemma(a)
	case "phi3":
		s.phi3()
	case "gpt2":
		s.gpt2()
	case "gpt_neox":
		s.neox()
	}
	s.specialTokens()
	if s.failure != nil {
		return nil, s.failure
	}
	return json.MarshalIndent(s.out, "", "  ")
}

var architectureClass = map[string]string{
	"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
	"gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM", "phi3": "Phi3ForCausalLM", "gpt2": "GPT2LMHeadModel", "gpt_neox": "GPTNeoXForCausalLM",
}

// dimensions copies what every architecture has and checks it against the tensors' shapes as far as row orders rely on it.
func (s *synthesis) dimensions(a *Architecture) {
	hidden := s.size("hidden_size", "embedding_length")
	s.size("max_position_embeddings", "context_length")
	s.layers = s.size("num_hidden_layers", "block_count")
	if s.layers > maxBlocks {
		s.fail(fmt.Errorf("%s: %s = %d; at most %d layers are supported", s.file, s.key("block_count"), s.layers, maxBlocks))
	}
	heads, err := s.uniform(s.key("attention.head_count"), 0)
	if err == nil && heads == 0 {
		err = s.missing(s.key("attention.head_count"))
	}
	if err != nil {
		s.fail(err)
		return
	}
	kv, err := s.uniform(s.key("attention.head_count_kv"), heads)
	if err == nil && (kv == 0 || heads%kv != 0) {
		err = fmt.Errorf("%s: %d heads cannot share %d key/value heads", s.file, heads, kv)
	}
	if err != nil {
		s.fail(err)
		return
	}
	dim := s.whole("attention.key_length", hidden/heads)
	if v := s.whole("attention.value_length", dim); v != dim || dim == 0 {
		s.fail(fmt.Errorf("%s: keys of %d and values of %d features per head are not supported", s.file, dim, v))
		return
	}
	ff, err := s.uniform(s.key("feed_forward_length"), 4*hidden)
	if err != nil {
		s.fail(err)
	}
	s.Heads = Heads{Query: heads, Key: kv, Dim: dim}
	s.out["num_attention_heads"], s.out["num_key_value_heads"], s.out["head_dim"], s.out["intermediate_size"] = heads, kv, dim, ff
	if shape, ok := s.shape("token_embd.weight"); ok && len(shape) == 2 {
		s.out["vocab_size"] = shape[0]
	} else {
		s.fail(fmt.Errorf("%s: tensor token_embd.weight is missing or not a matrix", s.file))
	}
	s.out["tie_word_embeddings"] = !s.tensor("output.weight")
	if a.ModelType == "gpt2" || a.ModelType == "gpt_neox" {
		s.number("layer_norm_eps", "attention.layer_norm_epsilon")
		return
	}
	s.number("rms_norm_eps", "attention.layer_norm_rms_epsilon")
	s.optional("rope_theta", "rope.freq_base", 10000)
	if a.ModelType == "phi3" {
		return
	}
	if n := s.whole("rope.dimension_count", dim); n != dim {
		s.fail(fmt.Errorf("%s: %s = %d, but all %d features of a head are rotated in this architecture", s.file, s.key("rope.dimension_count"), n, dim))
	}
	if scaling := s.ropeScaling(); scaling != nil {
		s.out["rope_scaling"] = scaling
	}
}

// gemma adds gemma2's and gemma3's fields. llama.cpp scales attention by the head size, but by hidden/heads in the 27B models, which it
// knows by their number of layers.
func (s *synthesis) gemma(a *Architecture) {
	gemma2, large := a.ModelType == "gemma2", 62
	if gemma2 {
		large = 46
	}
	s.out["hidden_activation"] = "gelu_pytorch_tanh"
	s.out["attention_bias"] = s.tensor("blk.0.attn_q.bias")
	s.out["tie_word_embeddings"] = true
	scalar := s.Dim
	if s.layers == large {
		scalar = s.out["hidden_size"].(int) / s.Query
	}
	s.out["query_pre_attn_scalar"] = scalar
	window := s.whole("attention.sliding_window", 0)
	period := 6
	if gemma2 {
		period = 2
		if window == 0 {
			window = 4096
		}
		s.softcap("attn_logit_softcapping")
	} else {
		s.optional("rope_local_base_freq", "rope.freq_base_swa", 10000)
	}
	s.softcap("final_logit_softcapping")
	s.slidingLayers(window, period)
}

// softcap copies an optional cap; 0 and absent mean none.
func (s *synthesis) softcap(name string) {
	f, err := s.float(s.key(name), 0)
	if err != nil {
		s.fail(err)
	}
	s.out[name] = nil
	if f != 0 {
		s.out[name] = number(f)
	}
}

// slidingLayers writes layer_types: every period-th layer sees everything, unless attention.sliding_window_pattern says otherwise.
func (s *synthesis) slidingLayers(window, period int) {
	types := make([]string, s.layers)
	var pattern []bool
	key := s.key("attention.sliding_window_pattern")
	switch v := s.values[key].(type) {
	case nil:
	case []bool:
		if pattern = v; len(pattern) != s.layers {
			s.fail(fmt.Errorf("%s: %s has %d entries for %d layers", s.file, key, len(pattern), s.layers))
			return
		}
	default:
		n, err := s.integer(key, period)
		if err != nil {
			s.fail(err)
		}
		period = n
	}
	for i := range types {
		slides := window > 0 && (pattern != nil && pattern[i] || pattern == nil && period > 1 && (i+1)%period != 0)
		types[i] = "full_attention"
		if slides {
			types[i] = "sliding_attention"
		}
	}
	s.out["layer_types"] = types
	s.out["sliding_window"] = nil
	if window > 0 {
		s.out["sliding_window"] = window
	}
}

func (s *synthesis) phi3() {
	s.out["hidden_act"] = "silu"
	hidden := s.out["hidden_size"].(int)
	rotated := s.whole("rope.dimension_count", s.Dim)
	if rotated <= 0 || rotated > s.Dim || rotated%2 != 0 {
		s.fail(fmt.Errorf("%s: %s = %d of %d features", s.file, s.key("rope.dimension_count"), rotated, s.Dim))
		return
	}
	if hidden != s.Query*s.Dim {
		s.fail(fmt.Errorf("%s: %d heads of %d features do not make %d, which phi3 needs", s.file, s.Query, s.Dim, hidden))
	}
	s.out["partial_rotary_factor"] = json.Number(strconv.FormatFloat(float64(rotated)/float64(s.Dim), 'g', -1, 64))
	s.out["sliding_window"] = nil
	if w := s.whole("attention.sliding_window", 0); w > 0 {
		s.out["sliding_window"] = w
	}
	context := s.out["max_position_embeddings"].(int)
	s.out["original_max_position_embeddings"] = s.whole("rope.scaling.original_context_length", context)
	if scaling := s.ropeScaling(); scaling != nil {
		delete(scaling, "original_max_position_embeddings") // phi3 keeps it outside
		s.out["rope_scaling"] = scaling
	}
}

// gpt2 renames the fields to GPT-2's own.
func (s *synthesis) gpt2() {
	for was, is := range map[string]string{"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
		"intermediate_size": "n_inner", "max_position_embeddings": "n_positions", "layer_norm_eps": "layer_norm_epsilon"} {
		s.out[is] = s.out[was]
		delete(s.out, was)
	}
	delete(s.out, "num_key_value_heads")
	delete(s.out, "head_dim")
	s.out["n_ctx"] = s.out["n_positions"]
	s.out["activation_function"] = "gelu_new"
}

func (s *synthesis) neox() {
	s.out["hidden_act"] = "gelu"
	s.optional("rotary_emb_base", "rope.freq_base", 10000)
	rotated := s.whole("rope.dimension_count", s.Dim)
	if rotated <= 0 || rotated > s.Dim || rotated%2 != 0 {
		s.fail(fmt.Errorf("%s: %s = %d of %d features", s.file, s.key("rope.dimension_count"), rotated, s.Dim))
		return
	}
	s.out["rotary_pct"] = json.Number(strconv.FormatFloat(float64(rotated)/float64(s.Dim), 'g', -1, 64))
	delete(s.out, "num_key_value_heads")
	delete(s.out, "head_dim")
	parallel, err := s.flag(s.key("use_parallel_residual"), true)
	if err != nil {
		s.fail(err)
	}
	s.out["use_parallel_residual"] = parallel
	s.out["attention_bias"] = s.tensor("blk.0.attn_qkv.bias")
	if s.Key != s.Query {
		s.fail(fmt.Errorf("%s: gptneox with %d key/value heads for %d heads is not supported", s.file, s.Key, s.Query))
	}
}

// specialTokens copies the ids that config.json repeats from the tokenizer.
func (s *synthesis) specialTokens() {
	for field, name := range map[string]string{"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"} {
		key := "tokenizer.ggml." + name + "_token_id"
		if !s.has(key) {
			continue
		}
		id, err := s.integer(key, 0)
		if err != nil {
			s.fail(err)
			return
		}
		if id < s.out["vocab_size"].(int) {
			s.out[field] = id
		}
	}
}

// checkLayers returns an error if a tensor belongs to a layer that block_count says does not exist.
func (s *synthesis) checkLayers(names []string) error {
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, "blk.")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(digits); err != nil || n < 0 || n >= s.layers {
			return fmt.Errorf("%s: tensor %s is outside the %d layers of %s", s.file, name, s.layers, s.key("block_count"))
		}
	}
	return nil
}

// ropeScaling returns config.json's rope_scaling, or nil.
func (s *synthesis) ropeScaling() map[string]any {
	context, _ := s.out["max_position_embeddings"].(int)
	original := s.whole("rope.scaling.original_context_length", context)
	attention, err := s.float(s.key("rope.scaling.attn_factor"), 1)
	if err != nil {
		s.fail(err)
	}
	if long, short := s.floats("rope_factors_long.weight"), s.floats("rope_factors_short.weight"); long != nil || short != nil {
		if long == nil || short == nil {
			s.fail(fmt.Errorf("%s: only one of rope_factors_long.weight and rope_factors_short.weight is there", s.file))
		}
		return map[string]any{"rope_type": "longrope", "long_factor": numbers(long), "short_factor": numbers(short),
			"attention_factor": number(attention), "original_max_position_embeddings": original}
	}
	if factors := s.floats("rope_freqs.weight"); factors != nil {
		return factorScaling(factors, s.out["rope_theta"], s.Dim, context)
	}
	kind, err := s.str(s.key("rope.scaling.type"))
	if err != nil {
		s.fail(err)
	}
	name := "rope.scaling.factor"
	if !s.has(s.key(name)) {
		name = "rope.scale_linear" // what files before 2023-10 call it
	}
	factor, err := s.float(s.key(name), 1)
	if err != nil {
		s.fail(err)
	}
	switch {
	case kind == "yarn":
		return s.yarn(factor, attention, original)
	case (kind == "linear" || kind == "") && factor != 1 && factor != 0:
		return map[string]any{"rope_type": "linear", "factor": number(factor)}
	case !slices.Contains([]string{"", "none", "linear", "longrope"}, kind):
		s.fail(fmt.Errorf("%s: %s = %q is not supported; none, linear, yarn and longrope are", s.file, s.key("rope.scaling.type"), kind))
	}
	return nil
}
