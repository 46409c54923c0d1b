// Package model holds the language-model architectures as tables of names and options, and one forward pass that follows
// them. Weights are codec.Weight, sums of terms, so what is evaluated is what is stored; names and layouts are Hugging Face's.
package model

import (
	"errors"
	"fmt"
)

// ErrUnknownArchitecture is wrapped by ParseConfig's error for a model_type without a table. Such a checkpoint can still be
// compressed without data: Blocks gives one weight per block.
var ErrUnknownArchitecture = errors.New("unknown architecture")

// NormKind is a normalisation formula.
type NormKind uint8

// The norms: RMSNorm x/√(mean x² + ε)·w; RMSNorm1 multiplies by 1 + w (gemma); LayerNorm (x−mean)/√(var + ε)·w + b.
const (
	RMSNorm NormKind = iota
	RMSNorm1
	LayerNorm
)

// Activation is the non-linearity of the MLP.
type Activation uint8

// The activations: x·sigmoid(x); x·Φ(x) with erf; the tanh approximation of the latter (gelu_new, gelu_pytorch_tanh).
const (
	SiLU Activation = iota
	GELU
	GELUTanh
)

// Config is what an architecture's config.json says, independent of its spelling. ParseConfig makes it; the zero value is of no use.
type Config struct {
	ModelType                           string // config.json's model_type: "llama", "gemma3_text", …
	Hidden, Intermediate, Layers, Vocab int
	Heads, KVHeads, HeadDim             int // query heads, key/value heads, features of each
	MaxPositions                        int // context length the model was made for, in tokens
	Norm                                NormKind
	NormEps                             float64
	Activation                          Activation
	Gated                               bool // MLP is down(act(gate)·up) rather than down(act(up))
	QKVBias, OutBias, MLPBias, HeadBias bool
	QKNorm                              bool    // RMS norm of each query and key head before rotation
	PostNorms                           bool    // norms after attention and MLP too (gemma2, gemma3)
	ParallelResidual                    bool    // x + attention(norm1 x) + mlp(norm2 x) (gpt_neox)
	LearnedPositions                    bool    // position embeddings added to token embeddings (gpt2)
	TiedHead                            bool    // the head is the embedding unless the checkpoint has a head of its own
	QueryScale                          float64 // attention scores are QueryScale·q·k
	ScaleByLayer                        bool    // … divided by 1 + the layer's index (gpt2)
	EmbedScale                          float64 // token embeddings are multiplied by this
	AttentionSoftcap, LogitSoftcap      float64 // s → c·tanh(s/c); 0: none
	SlidingWindow                       int     // positions a sliding layer sees, the current one included; 0: none
	Sliding                             []bool  // per layer
	Rope                                Rope    // Dim 0: no rotation
	RopeLocal                           Rope    // of sliding layers
	BOS, EOS                            []int32
	Shortcuts                           Shortcuts // Pith's own: matrices on the residual stream
	DraftVocab                          int       // rows of a draft model's trimmed head; 0: the head has a row for every token

	arch *architecture
}

// ParseConfig reads a config.json. An unknown model_type gives an error wrapping ErrUnknownArchitecture; a value that cannot
// be honoured gives an error naming the field.
func ParseConfig(configJSON []byte) (Config, error) {
	f, err := parseFields(configJSON)
	if err != nil {
		return Config{}, err
	}
	kind := f.string("model_type", "")
	if *f.err != nil {
		return Config{}, *f.err
	}
	if kind == "" {
		return Config{}, errors.New("config.json: model_type: is missing; it names the architecture")
	}
	base, ours := splitType(kind)
	a := lookup(base)
	if a == nil {
		return Config{}, fmt.Errorf("config.json: model_type: %w %q; known are %v", ErrUnknownArchitecture, kind, ModelTypes())
	}
	c := Config{ModelType: kind, arch: a, Gated: true, EmbedScale: 1}
	if text, ok := f.object("text_config"); ok && a.nested {
		for _, k := range []string{"tie_word_embeddings", "eos_token_id", "bos_token_id"} {
			if !text.has(k) && f.has(k) {
				text.m[k] = f.m[k]
			}
		}
		f = text
	}
	a.configure(f, &c)
	c.BOS, c.EOS = f.tokens("bos_token_id"), f.tokens("eos_token_id")
	if c.RopeLocal.Dim == 0 {
		c.RopeLocal = c.Rope
	}
	c.checkHeads(f)
	c.draft(f)
	c.shortcuts(f, ours)
	return c, *f.err
}

func (c *Config) checkHeads(f fields) {
	if *f.err != nil {
		return
	}
	if c.Heads%c.KVHeads != 0 {
		f.fail("num_key_value_heads", "%d does not divide %d attention heads", c.KVHeads, c.Heads)
	}
	if c.Rope.Dim%2 != 0 || c.Rope.Dim > c.HeadDim {
		f.fail("partial_rotary_factor", "%d rotated features of %d per head; an even number is needed", c.Rope.Dim, c.HeadDim)
	}
	if c.Layers > 4096 {
		f.fail("num_hidden_layers", "%d layers; at most 4096 are supported", c.Layers)
	}
	if int64(c.Heads)*int64(c.HeadDim) > maxDimension {
		f.fail("head_dim", "%d heads of %d features; at most %d together", c.Heads, c.HeadDim, maxDimension)
	}
}

// decoder reads the fields that nearly all decoders of today spell alike.
func (c *Config) decoder(f fields, kvHeads, headDim int) {
	c.Hidden = f.size("hidden_size", 0)
	c.Intermediate = f.size("intermediate_size", 0)
	c.Layers = f.size("num_hidden_layers", 0)
	c.Heads = f.size("num_attention_heads", 0)
	c.Vocab = f.size("vocab_size", 0)
	if raw, ok := f.m["num_key_value_heads"]; kvHeads == 0 || ok && string(raw) == "null" {
		kvHeads = c.Heads
	}
	c.KVHeads = f.size("num_key_value_heads", kvHeads)
	if headDim == 0 {
		if !f.has("head_dim") && c.Hidden%c.Heads != 0 {
			f.fail("num_attention_heads", "%d does not divide hidden_size %d", c.Heads, c.Hidden)
		}
		headDim = max(1, c.Hidden/c.Heads)
	}
	c.HeadDim = f.size("head_dim", headDim)
	c.NormEps = f.positive("rms_norm_eps", 1e-6)
	c.QueryScale = invSqrt(float64(c.HeadDim))
	c.Sliding = make([]bool, c.Layers)
}

// activation reads the named field; act is its default.
func (c *Config) activation(f fields, name, act string) {
	switch act = f.string(name, act); act {
	case "silu", "swish":
		c.Activation = SiLU
	case "gelu":
		c.Activation = GELU
	case "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast":
		c.Activation = GELUTanh
	default:
		f.fail(name, "activation %q is not supported; silu, gelu, gelu_new and gelu_pytorch_tanh are", act)
	}
}

// layerTypes fills Sliding from layer_types, or from slides where the config does not list them.
func (c *Config) layerTypes(f fields, slides func(layer int) bool) {
	types := f.strings("layer_types")
	if types != nil && len(types) != c.Layers {
		f.fail("layer_types", "%d entries for %d layers", len(types), c.Layers)
		return
	}
	for i := range c.Sliding {
		c.Sliding[i] = slides(i)
		if types == nil {
			continue
		}
		switch types[i] {
		case "sliding_attention":
			c.Sliding[i] = true
		case "full_attention":
			c.Sliding[i] = false
		default:
			f.fail("layer_types", "%q is not supported; full_attention and sliding_attention are", types[i])
		}
		if c.Sliding[i] && c.SlidingWindow == 0 {
			f.fail("sliding_window", "is missing, and layer_types has sliding_attention")
		}
	}
}
