package stack

import (
	"path/filepath"
	"testing"

	"pith/checkpoint"
	"pith/codec"
)

// Matrices that a checkpoint stores transposed, or fused, are stacked as the runtime multiplies them: with enough blocks of float32 every architecture
// computes what it did.
func TestStacksOfEveryArchitectureComputeWhatTheModelDoes(t *testing.T) {
	for _, name := range []string{"gpt2", "gpt_neox", "phi3", "gemma2", "qwen3", "llama_bias_tied"} {
		t.Run(name, func(t *testing.T) {
			c := open(t, filepath.Join("..", "model", "testdata", name))
			cfg, err := c.Config()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "a.pithstack")
			f32, err := codec.Parse("f32")
			if err != nil {
				t.Fatal(err)
			}
			build(t, c, path, Options{Levels: 1, Keep: keepAll, MethodName: "f32", Method: always(fitted{f32})})
			want := logits(t, c, cfg)
			for i, v := range logits(t, open(t, path), cfg) {
				if d := v - want[i]; d > 1e-5 || d < -1e-5 {
					t.Fatalf("logit %d is %g, want %g", i, v, want[i])
				}
			}
			if _, err := checkpoint.CutStack(path, filepath.Join(t.TempDir(), "b.pithstack"), 1<<40); err != nil {
				t.Fatal(err)
			}
		})
	}
}
