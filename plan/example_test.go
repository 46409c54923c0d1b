package plan_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"pith/checkpoint"
	"pith/internal/synth/llama"
	"pith/plan"
)

// A recipe of three rules, resolved against a small checkpoint.
func ExampleResolve() {
	dir, err := os.MkdirTemp("", "pith-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	model := filepath.Join(dir, "model")
	if err := llama.Write(model, llama.Shapes()["tiny"], llama.Options{Seed: 1}); err != nil {
		log.Fatal(err)
	}
	ckpt, err := checkpoint.Open(model)
	if err != nil {
		log.Fatal(err)
	}
	defer ckpt.Close()

	recipe, err := plan.ParseRecipe("mixed.yaml", []byte(`
rules:
  - match: [embedding, head]
    codec: q8_0
  - match: "*.v_proj.weight"
    keep: true
  - match: linear
    codec: int4-g128
`))
	if err != nil {
		log.Fatal(err)
	}
	p, err := plan.Resolve(ckpt, recipe)
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range p.Blocks[1].Lines {
		fmt.Printf("%-48s %-8s %-10s %6d\n", l.Weight, l.Method, l.Codec, l.Bytes)
	}
	fmt.Printf("%d weights, %d bytes, %.2f bits a weight\n", p.Totals.Weights, p.Totals.Bytes, p.Totals.BitsPerWeight)
	// Output:
	// model.layers.0.input_layernorm.weight            keep     f16           256
	// model.layers.0.mlp.down_proj.weight              nearest  int4-g128   25344
	// model.layers.0.mlp.gate_proj.weight              nearest  int4-g128   25344
	// model.layers.0.mlp.up_proj.weight                nearest  int4-g128   25344
	// model.layers.0.post_attention_layernorm.weight   keep     f16           256
	// model.layers.0.self_attn.k_proj.weight           nearest  int4-g128    4224
	// model.layers.0.self_attn.o_proj.weight           nearest  int4-g128    8448
	// model.layers.0.self_attn.q_proj.weight           nearest  int4-g128    8448
	// model.layers.0.self_attn.v_proj.weight           keep     f16         16384
	// 524928 weights, 367616 bytes, 5.60 bits a weight
}

// A mistake in a recipe is reported with its line and column.
func ExampleParseRecipe() {
	_, err := plan.ParseRecipe("mixed.yaml", []byte("rules:\n  - match: embeding\n    codec: q8_0\n"))
	fmt.Println(err)
	// Output:
	// mixed.yaml:2:12: rule 1: "embeding" is neither a role (attention, attn_k, attn_output, attn_q, attn_qkv, attn_v, bias, embedding, ffn, ffn_down, ffn_gate, ffn_gate_up, ffn_up, head, linear, norm, other, position) nor a glob over weight names (*.mlp.*)
}
