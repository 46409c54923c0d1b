package model

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// edited returns a golden's config with some fields set; nil removes one.
func edited(t testing.TB, name string, set map[string]any) []byte {
	t.Helper()
	_, config, _ := openGolden(t, name)
	var m map[string]any
	if err := json.Unmarshal(config, &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range set {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type object = map[string]any

func TestConfigValuesThatCannotBeHonouredAreErrorsNamingTheField(t *testing.T) {
	yarn := object{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
	with := func(o object, k string, v any) object {
		o = maps.Clone(o)
		o[k] = v
		return o
	}
	for _, c := range []struct {
		golden string
		set    object
		want   string
	}{
		{"llama", object{"hidden_size": nil}, "hidden_size: is missing"},
		{"llama", object{"hidden_size": 0}, "hidden_size: expected a whole number"},
		{"llama", object{"hidden_size": -32}, "hidden_size: expected a whole number"},
		{"llama", object{"hidden_size": 1e18}, "hidden_size: expected a whole number"},
		{"llama", object{"hidden_size": 32.5}, "hidden_size: expected a whole number"},
		{"llama", object{"hidden_size": "32"}, `hidden_size: expected a number, found "32"`},
		{"llama", object{"num_attention_heads": 3, "head_dim": nil}, "num_attention_heads: 3 does not divide hidden_size 32"},
		{"llama", object{"num_key_value_heads": 3}, "num_key_value_heads: 3 does not divide 4"},
		{"llama", object{"num_hidden_layers": 100000}, "num_hidden_layers: 100000 layers"},
		{"llama", object{"num_attention_heads": 1 << 20, "num_key_value_heads": 1 << 20}, "head_dim"},
		{"llama", object{"head_dim": 7}, "an even number is needed"},
		{"llama", object{"hidden_act": "relu"}, `hidden_act: activation "relu" is not supported`},
		{"llama", object{"rms_norm_eps": -1}, "rms_norm_eps: expected a number above 0"},
		{"llama", object{"rms_norm_eps": 0}, "rms_norm_eps: expected a number above 0"},
		{"llama", object{"attention_bias": 1}, "attention_bias: expected true or false"},
		{"llama", object{"eos_token_id": "x"}, "eos_token_id: expected a token id"},
		{"llama", object{"rope_parameters": 7}, "rope_parameters: expected an object"},
		{"llama", object{"rope_parameters": object{"rope_type": "mrope"}}, `rope_parameters.rope_type: "mrope" is not supported`},
		{"llama", object{"rope_parameters": object{"rope_type": "default", "mrope_section": []int{1, 1}}}, "rope_parameters.mrope_section: is not supported"},
		{"llama", object{"rope_parameters": object{"rope_type": "linear"}}, "rope_parameters.factor: is missing"},
		{"llama", object{"rope_parameters": object{"rope_type": "linear", "factor": 0}}, "rope_parameters.factor: expected a number above 0"},
		{"llama", object{"rope_parameters": object{"rope_theta": -1}}, "rope_parameters.rope_theta: expected"},
		{"llama", object{"rope_scaling": with(yarn, "rope_theta", 1.0)}, "yarn needs a base above 1"},
		{"llama", object{"rope_scaling": with(yarn, "original_max_position_embeddings", 0)}, "original_max_position_embeddings"},
		{"llama", object{"rope_scaling": object{"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}}, "high_freq_factor: 4 is not above"},
		{"phi3", object{"rope_scaling": object{"type": "longrope", "short_factor": []int{1}, "long_factor": []int{1}}}, "_factor: 1 factors; 8 rotated features need 4"},
		{"phi3", object{"rope_scaling": object{"type": "longrope", "short_factor": []int{1, 1, 1, 0}, "long_factor": []int{1, 1, 1, 0}}}, "factors must be above 0"},
		{"phi3", object{"partial_rotary_factor": 1.5, "rope_parameters": nil}, "1.5 of 8 features"},
		{"phi3", object{"partial_rotary_factor": 1e300, "rope_parameters": nil}, "at most 1 is possible"},
		{"llama", object{"rope_parameters": object{"partial_rotary_factor": 1e30}}, "at most 1 is possible"},
		{"llama", object{"max_position_embeddings": 0}, "json: max_position_embeddings: a context of 0 tokens is too short"},
		{"qwen2", object{"layer_types": []string{"full_attention"}}, "layer_types: 1 entries for 2 layers"},
		{"qwen2", object{"layer_types": []string{"full_attention", "linear_attention"}}, `layer_types: "linear_attention" is not supported`},
		{"qwen2", object{"use_sliding_window": false}, "sliding_window: is missing"},
		{"gemma2", object{"use_bidirectional_attention": true}, "use_bidirectional_attention: true is not supported"},
		{"gemma3_text", object{"attn_logit_softcapping": 5}, "attn_logit_softcapping"},
		{"gemma2", object{"query_pre_attn_scalar": 0}, "query_pre_attn_scalar"},
		{"gpt2", object{"add_cross_attention": true}, "add_cross_attention: true is not supported"},
		{"gpt2", object{"n_head": 5}, "n_head: 5 does not divide"},
		{"gpt2", object{"n_positions": 1 << 40}, "n_positions"},
	} {
		_, err := ParseConfig(edited(t, c.golden, c.set))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "config.json: ") {
			t.Errorf("%s with %v: %v; want %q", c.golden, c.set, err, c.want)
		}
	}
}

func TestUnknownArchitecturesAreToldApartFromBadConfigs(t *testing.T) {
	_, err := ParseConfig([]byte(`{"model_type": "mamba"}`))
	if !errors.Is(err, ErrUnknownArchitecture) || !strings.Contains(err.Error(), "mamba") || !strings.Contains(err.Error(), "llama") {
		t.Error(err)
	}
	for _, bad := range []string{``, `[]`, `{`, `{}`, `{"model_type": 3}`, `null`, `{"model_type": null}`, `{"model_type": "llama"}`} {
		if _, err := ParseConfig([]byte(bad)); err == nil || errors.Is(err, ErrUnknownArchitecture) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestAbsentFieldsTakeTransformersDefaults(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type": "mistral", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
		"num_attention_heads": 16, "vocab_size": 32, "eos_token_id": [2, 7]}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.KVHeads != 8 || c.HeadDim != 4 || c.SlidingWindow != 4096 || !c.Sliding[1] || c.NormEps != 1e-6 || c.Rope.Theta != 10000 ||
		c.MaxPositions != 131072 || c.TiedHead || !slices.Equal(c.EOS, []int32{2, 7}) {
		t.Errorf("%+v", c)
	}
	c, err = ParseConfig(edited(t, "mistral", object{"sliding_window": json.RawMessage("null"), "num_key_value_heads": json.RawMessage("null")}))
	if err != nil || c.SlidingWindow != 0 || c.Sliding[0] || c.KVHeads != 4 {
		t.Errorf("null fields: %+v, %v", c, err)
	}
	c, err = ParseConfig(edited(t, "gemma3_text", object{"rope_parameters": nil, "layer_types": nil, "num_hidden_layers": 12}))
	if err != nil || c.Rope.Theta != 1e6 || c.RopeLocal.Theta != 1e4 || c.Sliding[5] || !c.Sliding[4] || c.Sliding[11] || c.LogitSoftcap != 0 {
		t.Errorf("gemma3: %+v, %v", c, err)
	}
	c, err = ParseConfig(edited(t, "gemma2", object{"attn_logit_softcapping": nil, "final_logit_softcapping": json.RawMessage("null"), "layer_types": nil}))
	if err != nil || c.AttentionSoftcap != 50 || c.LogitSoftcap != 0 || !c.Sliding[0] || c.Sliding[1] {
		t.Errorf("gemma2: %+v, %v", c, err)
	}
}

func TestBlocksHoldEveryNameOnceInTheOrderOfTheForwardPass(t *testing.T) {
	_, config, file := openGolden(t, "gpt_neox")
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	extra := []string{"gpt_neox.layers.1.attention.bias", "gpt_neox.layers.1.attention.rotary_emb.inv_freq", "gpt_neox.layers.9.x.weight", "a.stray"}
	names := append(file.Names(), extra...)
	slices.Reverse(names)
	blocks := Blocks(c, names)
	var order, all []string
	for _, b := range blocks {
		order = append(order, b.Name)
		all = append(all, b.Weights...)
	}
	if want := []string{"embedding", "layers.0", "layers.1", "head", "a.stray", "gpt_neox.layers.9.x.weight"}; !slices.Equal(order, want) {
		t.Errorf("blocks %v, want %v", order, want)
	}
	slices.Sort(all)
	slices.Sort(names)
	if !slices.Equal(all, names) {
		t.Errorf("names %v, want %v", all, names)
	}
	if !slices.Contains(blocks[3].Weights, "gpt_neox.final_layer_norm.bias") || !slices.Contains(blocks[2].Weights, extra[0]) {
		t.Errorf("head %v, layer %v", blocks[3].Weights, blocks[2].Weights)
	}
	for _, name := range extra {
		if role := Role(c, name); role != "other" {
			t.Errorf("role of %s is %q", name, role)
		}
	}
	unknown := Blocks(Config{}, names)
	if len(unknown) != len(names) || unknown[0].Name != names[0] || Role(Config{}, "lm_head.weight") != "other" {
		t.Errorf("unknown architecture: %v", unknown)
	}
}

func FuzzParseConfig(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/config*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if c.Hidden < 1 || c.Heads < 1 || c.KVHeads < 1 || c.HeadDim < 1 || c.Vocab < 1 || c.Intermediate < 1 || len(c.Sliding) != c.Layers || c.Layers > 4096 {
			t.Fatalf("%+v", c)
		}
		if c.Layers > 64 {
			c.Layers = 64
		}
		for _, s := range Specs(c) {
			if s.Name == "" || len(s.Shape) == 0 {
				t.Fatalf("spec %+v", s)
			}
		}
		for _, r := range []Rope{c.Rope, c.RopeLocal} {
			for _, length := range []int{1, 100, 1 << 20} {
				_, scale := r.Frequencies(length)
				if math.IsNaN(scale) {
					t.Fatalf("scale of %+v", r)
				}
			}
		}
	})
}
