package interop

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"pith/formats"
	"pith/model"
)

// parameters collects an architecture's metadata. llama.cpp works some settings out by itself; where it would not compute what the
// config says, fail (nothing would be right) or warn (some inputs would not be) records why.
type parameters struct {
	arch    string
	list    []formats.KV
	warn    func(string)
	failure error
}

func (p *parameters) add(name string, value any) {
	p.list = append(p.list, formats.KV{Key: p.arch + "." + name, Value: value})
}

// size adds a u32.
func (p *parameters) size(name string, n int) {
	if n < 0 || int64(n) > math.MaxUint32 {
		p.fail("%s = %d does not fit in 32 bits", name, n)
	}
	p.add(name, uint32(n))
}

func (p *parameters) number(name string, f float64) { p.add(name, float32(f)) }

func (p *parameters) fail(format string, args ...any) {
	if p.failure == nil {
		p.failure = fmt.Errorf("GGUF cannot express this model for llama.cpp: "+format, args...)
	}
}

func (p *parameters) warnf(format string, args ...any) {
	if p.warn != nil {
		p.warn(fmt.Sprintf(format, args...))
	}
}

// modelParameters returns the "{arch}." part of the metadata, in the order in which llama.cpp's converter writes it.
func modelParameters(a *Architecture, c model.Config, warn func(string)) ([]formats.KV, error) {
	if c.Layers > maxBlocks {
		return nil, fmt.Errorf("%d layers; llama.cpp supports at most %d", c.Layers, maxBlocks)
	}
	if c.MaxPositions <= 0 {
		return nil, errors.New("config.json states no context length (max_position_embeddings), which GGUF requires")
	}
	p := &parameters{arch: a.GGUF, warn: warn}
	p.size("block_count", c.Layers)
	p.size("context_length", c.MaxPositions)
	p.size("embedding_length", c.Hidden)
	p.size("feed_forward_length", c.Intermediate)
	p.size("attention.head_count", c.Heads)
	if a.ModelType != "gpt2" && a.ModelType != "gpt_neox" {
		p.size("attention.head_count_kv", c.KVHeads)
	}
	if !c.LearnedPositions {
		p.rope(a, c)
	}
	switch c.Norm {
	case model.LayerNorm:
		p.number("attention.layer_norm_epsilon", c.NormEps)
	default:
		p.number("attention.layer_norm_rms_epsilon", c.NormEps)
	}
	if a.ModelType != "gpt2" && a.ModelType != "gpt_neox" {
		p.size("attention.key_length", c.HeadDim)
		p.size("attention.value_length", c.HeadDim)
	}
	p.size("vocab_size", c.Vocab)
	p.specific(a, c)
	p.check(a, c)
	return p.list, p.failure
}

// specific adds what single architectures need.
func (p *parameters) specific(a *Architecture, c model.Config) {
	switch a.ModelType {
	case "mistral":
		if c.SlidingWindow > 0 {
			p.size("attention.sliding_window", c.SlidingWindow) // for readers other than llama.cpp
			if c.SlidingWindow < c.MaxPositions {
				p.warnf("llama.cpp has no sliding window for mistral: it attends to everything, and beyond %d tokens its results differ", c.SlidingWindow)
			}
		}
	case "qwen2", "qwen3":
		if c.SlidingWindow > 0 && slices.Contains(c.Sliding, true) {
			p.slidingLayers(c, 1) // for readers other than llama.cpp
			if c.SlidingWindow < c.MaxPositions {
				p.warnf("llama.cpp has no sliding window for %s: beyond %d tokens its results differ", a.GGUF, c.SlidingWindow)
			}
		}
	case "gemma2":
		p.number("attn_logit_softcapping", c.AttentionSoftcap)
		p.number("final_logit_softcapping", c.LogitSoftcap)
		p.slidingLayers(c, 2)
	case "gemma3_text":
		if c.LogitSoftcap != 0 {
			p.number("final_logit_softcapping", c.LogitSoftcap)
		}
		if c.RopeLocal.Theta != 10000 {
			p.number("rope.freq_base_swa", c.RopeLocal.Theta)
		}
		p.slidingLayers(c, 6)
	case "phi3":
		p.size("attention.sliding_window", c.SlidingWindow)
		if c.SlidingWindow > 0 && c.SlidingWindow < c.MaxPositions {
			p.warnf("llama.cpp ignores phi3's sliding window: beyond %d tokens its results differ", c.SlidingWindow)
		}
	case "gpt_neox":
		p.add("use_parallel_residual", c.ParallelResidual)
		if c.Activation == model.GELU {
			p.warnf("llama.cpp computes gpt_neox's GELU by the tanh approximation: expect small differences")
		}
	}
}

// slidingLayers adds the window, and the layers that have it unless they are all but every period-th.
func (p *parameters) slidingLayers(c model.Config, period int) {
	p.size("attention.sliding_window", c.SlidingWindow)
	usual := true
	for i, slides := range c.Sliding {
		usual = usual && slides == ((i+1)%period != 0)
	}
	if !usual && c.SlidingWindow > 0 {
		p.add("attention.sliding_window_pattern", c.Sliding)
	}
}

// check compares the config with what llama.cpp assumes of the architecture.
func (p *parameters) check(a *Architecture, c model.Config) {
	scale := 1 / math.Sqrt(float64(c.HeadDim))
	if layers, ok := map[string]int{"gemma2": 46, "gemma3_text": 62}[a.ModelType]; ok && layers == c.Layers {
		scale = 1 / math.Sqrt(float64(c.Hidden/c.Heads))
	}
	if math.Abs(c.QueryScale-scale) > 1e-6*scale {
		p.fail("attention scores are scaled by %g (query_pre_attn_scalar), and llama.cpp would scale them by %g", c.QueryScale, scale)
	}
	if c.ScaleByLayer {
		p.fail("scale_attn_by_inverse_layer_idx is not known to it")
	}
	wantActivation := map[string]model.Activation{"gemma2": model.GELUTanh, "gemma3_text": model.GELUTanh, "gpt2": model.GELUTanh, "gpt_neox": model.GELU}
	if c.Activation != wantActivation[a.ModelType] && !(a.ModelType == "gpt_neox" && c.Activation == model.GELUTanh) {
		p.fail("its %s has another activation function", a.GGUF)
	}
	biased := a.ModelType == "gpt2" || a.ModelType == "gpt_neox"
	switch {
	case c.HeadBias:
		p.fail("a head with a bias")
	case c.OutBias && !biased && a.GGUF != "llama", c.MLPBias && !biased && a.GGUF != "llama":
		p.fail("its %s has no biases on the attention output or the MLP", a.GGUF)
	case a.ModelType == "gpt_neox" && !c.QKVBias:
		p.fail("its gptneox needs attention biases")
	}
	if (a.ModelType == "qwen2" || a.ModelType == "phi3") && c.Heads*c.HeadDim != c.Hidden {
		p.fail("its %s needs heads × head_dim = hidden_size (%d × %d ≠ %d)", a.GGUF, c.Heads, c.HeadDim, c.Hidden)
	}
}

// rope adds the rotary embedding's keys; the factors of llama3 and longrope go into tensors (ropeTensors).
func (p *parameters) rope(a *Architecture, c model.Config) {
	r := c.Rope
	switch r.Type {
	case "linear":
		p.add("rope.scaling.type", "linear")
		p.number("rope.scaling.factor", r.Factor)
	case "yarn":
		p.yarn(r)
	case "longrope":
		if !sameFactors(r) || a.ModelType == "phi3" {
			p.size("rope.scaling.original_context_length", r.OriginalMax)
			p.number("rope.scaling.attn_factor", longropeAttention(r))
			if a.ModelType != "phi3" {
				p.add("rope.scaling.type", "longrope")
			}
		}
		if a.GGUF != "llama" && a.ModelType != "phi3" {
			p.fail("rope type longrope for %s", a.ModelType)
		}
	case "llama3":
		if a.GGUF != "llama" {
			p.fail("rope type llama3 for %s", a.ModelType)
		}
	case "dynamic":
		p.warnf("llama.cpp has no dynamic rope scaling: beyond %d tokens its results differ", r.MaxPositions)
	}
	p.number("rope.freq_base", r.Theta)
	p.size("rope.dimension_count", r.Dim)
	if r.Dim != c.HeadDim && a.ModelType != "phi3" && a.ModelType != "gpt_neox" {
		p.fail("its %s rotates all features of a head, the config %d of %d", a.GGUF, r.Dim, c.HeadDim)
	}
	if a.ModelType == "gemma3_text" && c.RopeLocal.Type != "default" {
		p.fail("scaled rotary positions in gemma3's sliding layers")
	}
}

func (p *parameters) yarn(r model.Rope) {
	p.add("rope.scaling.type", "yarn")
	p.number("rope.scaling.factor", r.Factor)
	p.size("rope.scaling.original_context_length", r.OriginalMax)
	p.number("rope.scaling.yarn_beta_fast", r.BetaFast)
	p.number("rope.scaling.yarn_beta_slow", r.BetaSlow)
	if r.MScale != 0 || r.MScaleAllDim != 0 {
		p.fail("yarn with mscale")
	}
	if !r.Truncate {
		p.fail("yarn with truncate: false")
	}
	if r.AttentionFactor != 0 && r.Factor > 1 {
		p.number("rope.scaling.attn_factor", r.AttentionFactor/(1+0.1*math.Log(r.Factor)))
	}
}

// longropeAttention is the factor on cos and sin of a longrope config (transformers' _compute_longrope_parameters).
func longropeAttention(r model.Rope) float64 {
	switch {
	case r.AttentionFactor != 0:
		return r.AttentionFactor
	case r.Factor <= 1:
		return 1
	}
	return math.Sqrt(1 + math.Log(r.Factor)/math.Log(float64(r.OriginalMax)))
}

// sameFactors reports whether a longrope config divides by the same factors at every length and scales nothing: what rope_freqs.weight says.
func sameFactors(r model.Rope) bool {
	for i := range r.ShortFactor {
		if r.ShortFactor[i] != r.LongFactor[i] {
			return false
		}
	}
	return longropeAttention(r) == 1
}

// ropeTensors returns the float32 tensors that carry rotary factors, by name.
func ropeTensors(a *Architecture, c model.Config) map[string][]float64 {
	switch r := c.Rope; {
	case r.Type == "llama3":
		return map[string][]float64{"rope_freqs.weight": llama3Scaling(r.Theta, r.Dim, r.Factor, r.LowFreq, r.HighFreq, r.OriginalMax)}
	case r.Type == "longrope" && sameFactors(r) && a.ModelType != "phi3":
		return map[string][]float64{"rope_freqs.weight": r.ShortFactor}
	case r.Type == "longrope":
		return map[string][]float64{"rope_factors_long.weight": r.LongFactor, "rope_factors_short.weight": r.ShortFactor}
	}
	return nil
}
