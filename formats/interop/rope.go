package interop

import (
	"encoding/json"
	"math"
	"strconv"
)

// llama3Scaling returns the factors by which Llama 3.1 divides the dim/2 rotary frequencies: 1 for wavelengths below original/high, factor
// for those above original/low, and a ramp between (llama.cpp conversion/llama.py, transformers' _compute_llama3_parameters).
func llama3Scaling(theta float64, dim int, factor, low, high float64, original int) []float64 {
	factors := make([]float64, dim/2)
	for i := range factors {
		frequency := 1 / math.Pow(theta, float64(2*i)/float64(dim))
		wavelength := 2 * math.Pi / frequency
		switch context := float64(original); {
		case wavelength < context/high:
			factors[i] = 1
		case wavelength > context/low:
			factors[i] = factor
		default:
			smooth := (context/wavelength - low) / (high - low)
			factors[i] = 1 / ((1-smooth)/factor + smooth)
		}
	}
	return factors
}

// factorScaling returns a rope_scaling that means "divide frequency i by factors[i]". The parameters of the published Llama 3 models are
// recognised; anything else is spelled as longrope with equal factors for short and long sequences, which has the same meaning.
func factorScaling(factors []float64, theta any, dim, context int) map[string]any {
	base, _ := strconv.ParseFloat(string(theta.(json.Number)), 64)
	for _, original := range []int{8192, 4096, 2048} {
		if len(factors) == 0 || len(factors) != dim/2 {
			break
		}
		known := llama3Scaling(base, dim, factors[len(factors)-1], 1, 4, original)
		same := factors[len(factors)-1] > 1
		for i, f := range known {
			same = same && math.Abs(f-factors[i]) <= 1e-5*f
		}
		if same {
			return map[string]any{"rope_type": "llama3", "factor": number(float32(factors[len(factors)-1])), "low_freq_factor": 1.0, "high_freq_factor": 4.0,
				"original_max_position_embeddings": original}
		}
	}
	return map[string]any{"rope_type": "longrope", "long_factor": numbers(factors), "short_factor": numbers(factors),
		"attention_factor": 1.0, "original_max_position_embeddings": context}
}

// yarn returns the rope_scaling of a file with rope.scaling.type = yarn. llama.cpp multiplies cos and sin by (1 + 0.1·ln factor)·attn_factor,
// which transformers calls attention_factor.
func (s *synthesis) yarn(factor, attention float32, original int) map[string]any {
	out := map[string]any{"rope_type": "yarn", "factor": number(factor), "original_max_position_embeddings": original}
	for field, name := range map[string]string{"beta_fast": "rope.scaling.yarn_beta_fast", "beta_slow": "rope.scaling.yarn_beta_slow"} {
		if s.has(s.key(name)) {
			f, err := s.float(s.key(name), 1)
			if err != nil {
				s.fail(err)
			}
			out[field] = number(f)
		}
	}
	if attention != 1 && factor > 1 {
		out["attention_factor"] = (1 + 0.1*math.Log(float64(factor))) * float64(attention)
	}
	return out
}

// numbers writes float32 values with as many digits as tell them apart.
func numbers(values []float64) []json.Number {
	out := make([]json.Number, len(values))
	for i, v := range values {
		out[i] = number(float32(v))
	}
	return out
}
