package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/compress"
	"pith/internal/human"
	"pith/tensor"
)

func convertCommand(s streams) *cobra.Command {
	var (
		o          compress.ConvertOptions
		out, dtype string
		asJSON     bool
		structure  structureFlags
		texts      calibrationFlags
		workers    int
		reorder    permuteFlags
	)
	c := &cobra.Command{
		Use:   "convert MODEL -o OUT",
		Short: "Write a checkpoint in another format",
		Long: `Writes MODEL (Hugging Face directory, GGUF file or Pith artifact) as a GGUF file or a Hugging Face directory. Weights keep their
values: without --dtype they are stored as they are, or, where the other format has no layout for them, decoded. Layers can be left out.
With --permute N:M the inner features of each MLP are reordered, which changes no output, so that pruning to N:M keeps more of the
down projections afterwards.`,
		Example: "  pith convert MODEL -o model-f16.gguf --dtype f16\n  pith convert model-q4_k.gguf --format hf -o model-hf --dtype bf16\n  pith convert MODEL --format hf --drop-layers 2 --text calibration.txt -o shallow\n  pith convert MODEL --format hf --permute 2:4 --stats stats.safetensors -o reordered",
		Args:    one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return errNoOutput
			}
			var err error
			if o.DType, err = parseDType(dtype); err != nil {
				return err
			}
			if o.Format != "gguf" && o.Format != "hf" {
				return fmt.Errorf("--format %q: choose gguf or hf", o.Format)
			}
			ckpt, err := checkpoint.Open(args[0])
			if err != nil {
				return err
			}
			defer ckpt.Close()
			if ckpt, _, err = structure.view(c.Context(), ckpt, &texts, workers, quietly(s.err, asJSON)); err != nil {
				return err
			}
			if structure.unsliced != nil {
				if err := structure.checkSmaller(ckpt, structure.unsliced.Bytes(), ckpt.Bytes()); err != nil {
					return err
				}
			}
			if ckpt, err = reorder.view(ckpt, structure.given(), workers); err != nil {
				return err
			}
			v := converted{Notes: []string{}}
			o.Warn = func(note string) { v.Notes = append(v.Notes, note) }
			if v.Path, v.FileBytes, err = compress.Convert(ckpt, out, o); err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, v)
			}
			for _, n := range v.Notes {
				fmt.Fprintf(s.out, "note     %s\n", n)
			}
			_, err = fmt.Fprintf(s.out, "written  %s, %s\n", v.Path, human.ExactSize(v.FileBytes))
			return err
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", ".gguf file, or directory, to write (required)")
	f.StringVar(&o.Format, "format", "gguf", "gguf or hf")
	f.StringVar(&dtype, "dtype", "", "f32, f16 or bf16 for all matrices (default: as stored)")
	f.BoolVar(&o.Overwrite, "overwrite", false, "replace OUT")
	f.StringSliceVar(&texts.texts, "text", nil, "with --drop-layers or --slice: text to choose layers and directions on (may be given more than once)")
	reorder.add(c)
	structure.ownText = true
	structure.add(c)
	workersFlag(c, &workers)
	jsonFlag(c, &asJSON)
	offer(c, "format", "gguf", "hf")
	offer(c, "dtype", "f32", "f16", "bf16")
	return c
}

// converted is what convert --json prints.
type converted struct {
	Path      string   `json:"path"`
	FileBytes int64    `json:"file_bytes"`
	Notes     []string `json:"notes"`
}

func parseDType(name string) (tensor.DType, error) {
	switch name {
	case "":
		return tensor.Invalid, nil
	case "f32":
		return tensor.F32, nil
	case "f16":
		return tensor.F16, nil
	case "bf16":
		return tensor.BF16, nil
	}
	return tensor.Invalid, fmt.Errorf("--dtype %q: choose f32, f16 or bf16", name)
}
