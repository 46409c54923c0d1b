package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// TestEveryArchitectureCompressesOnAText takes models with tied heads, biases, fused and transposed matrices and rows of 24 to 64 through
// statistics, rotation, error feedback, trellis codes and an artifact: at 7 bits a weight little changes.
func TestEveryArchitectureCompressesOnAText(t *testing.T) {
	text := tinyText(t)
	for _, name := range []string{"gemma2", "gpt2", "gpt2_scaled", "gpt_neox", "llama_bias_tied", "phi3", "qwen3"} {
		model, out := byteLevelModel(t, name, "gpt-2"), filepath.Join(t.TempDir(), "out")
		ok(t, "compress", model, "-o", out, "--text", text, "--ctx", "32", "--chunks", "20", "--codec", "tcq-lut9-7-had", "--method", "ldlq")
		var r struct {
			KL float64 `json:"kl_mean"`
		}
		got := ok(t, "eval", out, "--base", model, "--text", text, "--ctx", "32", "--chunks", "20", "--json")
		if err := json.Unmarshal([]byte(got), &r); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: KL %.5f", name, r.KL)
		if !(r.KL < 0.1) { // as of a ruined weight: above 0.4
			t.Errorf("%s: KL %g", name, r.KL)
		}
	}
}
