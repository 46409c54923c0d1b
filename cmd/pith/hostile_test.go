package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/formats"
	"pith/tensor"
)

// changedModel returns a copy of a model of F32 tensors in which change has edited the tensors of these names.
func changedModel(t *testing.T, dir string, change map[string]func(shape []int, values []float32)) string {
	t.Helper()
	src, err := formats.OpenSafetensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var list []formats.LazyTensor
	changed := 0
	for _, info := range src.Tensors() {
		data := make([]byte, info.Bytes)
		if err := src.ReadAt(info.Name, data, 0); err != nil {
			t.Fatal(err)
		}
		if f := change[info.Name]; f != nil {
			values := make([]float32, info.Bytes/4)
			tensor.Decode(values, tensor.F32, data, 0)
			f(info.Shape, values)
			tensor.Encode(data, tensor.F32, values)
			changed++
		}
		list = append(list, formats.LazyTensor{Info: info, Data: func() ([]byte, error) { return data, nil }})
	}
	if changed != len(change) {
		t.Fatalf("%d of %d tensors to change are there", changed, len(change))
	}
	out := t.TempDir()
	if err := formats.WriteSafetensors(filepath.Join(out, "model.safetensors"), list, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(out, name), data)
	}
	return out
}

type changes = map[string]func(shape []int, values []float32)

// set returns a change that sets element i, or with a stride elements i, i+stride …
func set(i int, stride int, v float32) func([]int, []float32) {
	return func(_ []int, values []float32) {
		for ; i < len(values); i += max(stride, 1) {
			values[i] = v
			if stride == 0 {
				return
			}
		}
	}
}

// zero sets everything to zero.
func zero(_ []int, values []float32) { clear(values) }

const layer0 = "model.layers.0."

// degenerate is an edit, and what compress notes about it.
type degenerate struct {
	note   string
	change changes
}

// degenerateModels are edits of a model that leave layers which break quantizers: dead inputs with outliers in the columns that read them,
// activations that overflow, weights that are all zero or all but one.
func degenerateModels() map[string]degenerate {
	const zeros, limited, dead = "always zero are stored as zeros", "outlying weights limited", "inputs that are all zero"
	return map[string]degenerate{
		"a dead input and outliers that read it": {zeros, changes{
			layer0 + "input_layernorm.weight":  set(7, 0, 0),
			layer0 + "self_attn.q_proj.weight": set(7, tinyHidden, 1e4),
			layer0 + "self_attn.k_proj.weight": set(7, tinyHidden, -3e4),
		}},
		"an input that is hardly alive and outliers": {limited, changes{
			layer0 + "post_attention_layernorm.weight": set(9, 0, 1e-7),
			layer0 + "mlp.up_proj.weight":              set(9, tinyHidden, 1e4),
		}},
		"one outlier":                   {"", changes{layer0 + "mlp.down_proj.weight": set(5, 0, 30)}},
		"every input of a site is dead": {dead, changes{layer0 + "input_layernorm.weight": zero}},
		"weights of zeros": {zeros, changes{
			layer0 + "self_attn.v_proj.weight":               zero,
			layer0 + "mlp.gate_proj.weight":                  zero,
			"model.layers.1.self_attn.o_proj.weight":         zero,
			"model.layers.1.mlp.down_proj.weight":            func(_ []int, v []float32) { clear(v[1:]) },
			"model.layers.1.post_attention_layernorm.weight": set(3, 0, 0),
		}},
		"a head with a dead input": {zeros, changes{"model.norm.weight": set(11, 0, 0), "lm_head.weight": set(11, tinyHidden, 2e4)}},
		"huge norms":               {"", changes{layer0 + "input_layernorm.weight": set(0, 1, 1e12)}},
	}
}

// TestDegenerateLayersGiveAResult compresses models with such layers and evaluates what comes out: it stays near the original, and what was
// done is noted. Four bits cost these models a KL of 0.003 to 0.05; one ruined weight costs 0.4 and more.
func TestDegenerateLayersGiveAResult(t *testing.T) {
	src, text := tinyModel(t), tinyText(t)
	for what, m := range degenerateModels() {
		model := changedModel(t, src, m.change)
		for codec, method := range map[string]string{"tcq-lut7-4-had": "ldlq", "int4-g32": "gptq"} {
			out := filepath.Join(t.TempDir(), "out")
			printed := ok(t, "compress", model, "-o", out, "--text", text, "--ctx", "32", "--chunks", "33", "--codec", codec, "--method", method)
			if !strings.Contains(printed, m.note) {
				t.Errorf("%s, %s: no note of %q:\n%s", what, codec, m.note, printed)
			}
			var r struct {
				KL float64 `json:"kl_mean"`
			}
			got := ok(t, "eval", out, "--base", model, "--text", text, "--ctx", "32", "--chunks", "8", "--json")
			if err := json.Unmarshal([]byte(got), &r); err != nil {
				t.Fatal(err)
			}
			if !(r.KL < 0.1) {
				t.Errorf("%s, %s: KL %g", what, codec, r.KL)
			}
		}
	}
}

// TestOverflowIsNamed: tokens that overflow are left out of the statistics, which is noted; weights that no codec can hold are named.
func TestOverflowIsNamed(t *testing.T) {
	src, text := tinyModel(t), tinyText(t)
	compressed := func(change changes, codec string) (int, string) {
		out := filepath.Join(t.TempDir(), "out")
		code, printed, errs := cli("compress", changedModel(t, src, change), "-o", out, "--text", text, "--ctx", "32", "--codec", codec, "--method", "ldlq")
		return code, printed + errs
	}
	all := changes{layer0 + "post_attention_layernorm.weight": set(0, 1, 3e38)}
	if code, printed := compressed(all, "tcq-lut7-3-had"); code != exitOK || !strings.Contains(printed, "rounded to nearest: statistics of 0 tokens") {
		t.Errorf("every token overflows: exit code %d: %s", code, printed)
	}
	one := changes{"model.layers.1.input_layernorm.weight": set(5, 0, 3e38)}
	if code, printed := compressed(one, "int4-g32"); code != exitOK || !strings.Contains(printed, "tokens of calibration are left out: their activations are not finite") {
		t.Errorf("some tokens overflow: exit code %d: %s", code, printed)
	}
	weight := changes{layer0 + "mlp.up_proj.weight": set(70, 0, -3e38)}
	for _, codec := range []string{"int4-g32", "int4-g32-had", "tcq-lut7-3-had", "tcq-lut7-3"} {
		if code, printed := compressed(weight, codec); code != exitBadInput || !strings.Contains(printed, "row 1, column 6 is -3e+38") || !strings.Contains(printed, "use bf16") {
			t.Errorf("%s: exit code %d: %s", codec, code, printed)
		}
	}
}
