package compress_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"pith/checkpoint"
	"pith/compress"
	"pith/internal/synth/llama"
	"pith/plan"
)

// A checkpoint is compressed, verified and opened again.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "pith-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	model, out := filepath.Join(dir, "model"), filepath.Join(dir, "model-int4")
	if err := llama.Write(model, llama.Shapes()["tiny"], llama.Options{Seed: 1}); err != nil {
		log.Fatal(err)
	}
	ckpt, err := checkpoint.Open(model)
	if err != nil {
		log.Fatal(err)
	}
	defer ckpt.Close()
	recipe, err := plan.FromCodec("int4-g128", "", false)
	if err != nil {
		log.Fatal(err)
	}
	p, err := plan.Resolve(ckpt, recipe)
	if err != nil {
		log.Fatal(err)
	}
	_, err = compress.Run(context.Background(), ckpt, p, out, compress.Options{Events: func(e compress.Event) {
		if e.Kind == compress.BlockDone {
			fmt.Printf("%-10s %7d weights %7d bytes\n", e.Block, e.Weights, e.Bytes)
		}
	}, Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	v, err := compress.Verify(out)
	if err != nil {
		log.Fatal(err)
	}
	small, err := checkpoint.Open(out)
	if err != nil {
		log.Fatal(err)
	}
	defer small.Close()
	info, err := small.Info("lm_head.weight")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d tensors verified; %s is stored as %s in %d bytes\n", v.Tensors, info.Name, info.Codec, info.Bytes)
	// Output:
	// embedding    65536 weights   33792 bytes
	// layers.0    196864 weights  101888 bytes
	// layers.1    196864 weights  101888 bytes
	// head         65664 weights   34048 bytes
	// 37 tensors verified; lm_head.weight is stored as int4-g128 in 33792 bytes
}
