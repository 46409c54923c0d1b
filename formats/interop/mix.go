package interop

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pith/model"
	"pith/tensor"
)

// mixes are the presets of llama-quantize that need no importance matrix, and the type each starts from (src/llama-quant.cpp of version 0.5.0).
var mixes = map[string]tensor.DType{
	"f32": tensor.F32, "f16": tensor.F16, "bf16": tensor.BF16,
	"q4_0": tensor.Q4_0, "q4_1": tensor.Q4_1, "q5_0": tensor.Q5_0, "q5_1": tensor.Q5_1, "q8_0": tensor.Q8_0,
	"q2_k": tensor.Q2_K, "q3_k_s": tensor.Q3_K, "q3_k_m": tensor.Q3_K, "q3_k_l": tensor.Q3_K,
	"q4_k_s": tensor.Q4_K, "q4_k_m": tensor.Q4_K, "q5_k_s": tensor.Q5_K, "q5_k_m": tensor.Q5_K, "q6_k": tensor.Q6_K,
}

// Mixes lists the presets Mix knows, sorted.
func Mixes() []string { return slices.Sorted(maps.Keys(mixes)) }

// Mix returns the type that llama-quantize's preset (q4_k_m, …) gives to each matrix it quantizes, by checkpoint name. names are the
// checkpoint's tensors and shape tells their shapes. Tensors that stay as they are (vectors, norms, position embeddings) are left out.
func Mix(preset string, c model.Config, names []string, shape func(name string) ([]int, error)) (map[string]tensor.DType, error) {
	base, ok := mixes[strings.ToLower(preset)]
	if !ok {
		return nil, fmt.Errorf("unknown mix %q; known: %s", preset, strings.Join(Mixes(), ", "))
	}
	a, err := Find(c.ModelType)
	if err != nil {
		return nil, err
	}
	m := mixture{preset: strings.ToLower(preset), base: base, config: c, tied: true}
	var list []mixed
	for _, hf := range names {
		gguf, layout, ok := a.ToGGUF(hf)
		if !ok {
			continue
		}
		s, err := shape(hf)
		if err != nil {
			return nil, err
		}
		m.tied = m.tied && gguf != "output.weight"
		if strings.Contains(gguf, "attn_v.weight") || strings.Contains(gguf, "attn_qkv.weight") {
			m.attentionValues++
		}
		if len(s) < 2 || !strings.HasSuffix(gguf, ".weight") || strings.HasSuffix(gguf, "_norm.weight") || gguf == "position_embd.weight" {
			continue
		}
		cols := s[len(s)-1]
		if layout == Transposed {
			cols = s[0]
		}
		list = append(list, mixed{hf, gguf, cols})
	}
	// The choice depends on how many values and down projections came before, in llama-quantize's order.
	slices.SortFunc(list, func(a, b mixed) int {
		return cmp.Or(cmp.Compare(layerOf(a.gguf), layerOf(b.gguf)), strings.Compare(a.gguf, b.gguf))
	})
	types := map[string]tensor.DType{}
	for _, t := range list {
		dt := base
		if !base.Scalar() {
			dt = fallback(m.choose(t), t.cols)
		}
		types[t.hf] = dt
	}
	return types, nil
}

type mixed struct {
	hf, gguf string
	cols     int
}

// mixture is the state of llama-quantize's choice.
type mixture struct {
	preset          string
	base            tensor.DType
	config          model.Config
	tied            bool
	attentionValues int // how many attention-value matrices there are
	values, downs   int // how many came before
}

// moreBits says which layers the "_M" mixes give more bits: the first and last eighth, and every third between.
func moreBits(i, n int) bool { return i < n/8 || i >= 7*n/8 || (i-n/8)%3 == 2 }

func (m *mixture) choose(t mixed) tensor.DType {
	switch name := t.gguf; {
	case name == "output.weight", m.tied && name == "token_embd.weight":
		block, _ := m.base.Block()
		if t.cols%block != 0 || m.base == tensor.Q8_0 {
			return tensor.Q8_0
		}
		return tensor.Q6_K
	case name == "token_embd.weight":
		return m.base
	case strings.HasSuffix(name, "attn_v.weight"), strings.HasSuffix(name, "attn_qkv.weight"):
		m.values++
		return m.value(m.values - 1)
	case strings.HasSuffix(name, "ffn_down.weight"):
		m.downs++
		return m.down(m.downs-1, m.config.Layers)
	case strings.HasSuffix(name, "attn_output.weight"):
		switch m.preset {
		case "q2_k":
			return tensor.Q3_K
		case "q3_k_m":
			return tensor.Q4_K
		case "q3_k_l":
			return tensor.Q5_K
		}
	}
	return m.base
}

// value is the type of the i-th attention-value (or fused q/k/v) matrix.
func (m *mixture) value(i int) tensor.DType {
	dt, shared := m.base, m.config.Heads/max(1, m.config.KVHeads)
	switch m.preset {
	case "q2_k":
		dt = tensor.Q3_K
		if shared >= 4 {
			dt = tensor.Q4_K
		}
	case "q3_k_m":
		dt = tensor.Q4_K
		if i < 2 {
			dt = tensor.Q5_K
		}
	case "q3_k_l":
		dt = tensor.Q5_K
	case "q4_k_m", "q5_k_m":
		if moreBits(i, m.attentionValues) {
			dt = tensor.Q6_K
		}
	case "q4_k_s":
		if i < 4 {
			dt = tensor.Q5_K
		}
	}
	large := m.config.Layers == 80 && (m.config.ModelType == "llama" && shared > 1 || m.config.ModelType == "mistral" && shared > 1 || m.config.ModelType == "qwen2")
	if large && (dt == tensor.Q3_K || dt == tensor.Q4_K) { // the 70B models, whose value matrices are small for their size
		return tensor.Q5_K
	}
	return dt
}

// down is the type of the i-th of n down projections.
func (m *mixture) down(i, n int) tensor.DType {
	switch m.preset {
	case "q2_k":
		return tensor.Q3_K
	case "q3_k_m":
		if i < n/16 {
			return tensor.Q5_K
		}
		return tensor.Q4_K
	case "q3_k_l":
		return tensor.Q5_K
	case "q4_k_m", "q5_k_m":
		if moreBits(i, n) {
			return tensor.Q6_K
		}
	case "q4_k_s":
		if i < n/8 {
			return tensor.Q5_K
		}
	}
	return m.base
}

// fallback is the type used instead when a row is not a whole number of blocks.
func fallback(dt tensor.DType, cols int) tensor.DType {
	fits := func(d tensor.DType) bool { block, _ := d.Block(); return cols%block == 0 }
	if fits(dt) {
		return dt
	}
	smaller := map[tensor.DType]tensor.DType{tensor.Q2_K: tensor.Q4_0, tensor.Q3_K: tensor.Q4_0, tensor.Q4_K: tensor.Q5_0, tensor.Q5_K: tensor.Q5_1, tensor.Q6_K: tensor.Q8_0}
	if s, ok := smaller[dt]; ok && fits(s) {
		return s
	}
	return tensor.F16
}
