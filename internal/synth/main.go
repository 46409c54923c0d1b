// Command synth writes a synthetic Llama checkpoint: the names, shapes and bytes of a real one, with Gaussian weights. It is what
// speed and memory are measured on where no model of that size is at hand:
//
//	go run ./internal/synth -shape tinyllama -dtype f16 -o DIR
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"pith/internal/synth/llama"
	"pith/tensor"
)

func main() {
	shapes := llama.Shapes()
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	shape := flag.String("shape", "tinyllama", "one of: "+strings.Join(names, ", "))
	dtype := flag.String("dtype", "f16", "element type: f16, bf16 or f32")
	seed := flag.Uint64("seed", 1, "seed of the weights")
	shard := flag.Int64("shard", 0, "largest bytes of tensors in one file; 0 writes a single file")
	text := flag.String("text", "", "file whose token frequencies the generated text is to have")
	out := flag.String("o", "", "directory to write (created; required)")
	flag.Parse()
	if err := run(shapes, *shape, *dtype, *out, *text, llama.Options{Seed: *seed, ShardBytes: *shard}); err != nil {
		fmt.Fprintln(os.Stderr, "synth:", err)
		os.Exit(2)
	}
}

func run(shapes map[string]llama.Shape, shape, dtype, out, text string, o llama.Options) error {
	s, ok := shapes[shape]
	if !ok {
		return fmt.Errorf("unknown shape %q; see -help", shape)
	}
	dt, err := tensor.ParseDType(strings.ToUpper(dtype))
	if err != nil {
		return err
	}
	if out == "" {
		return fmt.Errorf("give the directory to write: -o DIR")
	}
	o.DType = dt
	if text != "" {
		data, err := os.ReadFile(text)
		if err != nil {
			return err
		}
		o.Text = string(data)
	}
	if err := llama.Write(out, s, o); err != nil {
		return err
	}
	fmt.Printf("%s: %d weights, %s\n", out, s.NumWeights(), dt)
	return nil
}
