package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/eval"
	"pith/internal/human"
	"pith/observe"
)

func sampleCommand(s streams) *cobra.Command {
	var o observe.SampleOptions
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "sample MODEL -o FILE",
		Short: "Let a model write the text that it is calibrated on",
		Long: `Writes texts that MODEL draws, each from nothing but the token that begins a text, to FILE: for --text of calibrate, compress and stack, where
there is no text of the kind that MODEL will read. What a model writes is what it was trained on, in its own proportions; other text may be
worse for calibration than none (docs/methods/calibration.md). Not for judging: evaluate on text from elsewhere.

Finished texts are kept in FILE.work until the end; the same command resumes, with the same bytes in the end. The same --seed gives the same text.`,
		Example: `  pith sample MODEL -o own.txt
  pith compress MODEL --bpw 2.5 --text own.txt -o out
  pith sample MODEL --tokens 200000 --seed 7 -o own7.txt`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return errNoOutput
			}
			return sample(c.Context(), s, args[0], out, o, asJSON)
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", "file to write (required)")
	f.IntVarP(&o.Tokens, "tokens", "n", 1<<16, "tokens to write")
	f.IntVar(&o.Length, "length", 0, "most tokens of a text (default: 512, or the model's context if that is shorter)")
	f.Float64Var(&o.Draw.Temperature, "temp", 1, "temperature; 1 is what the model holds for likely")
	f.IntVar(&o.Draw.TopK, "top-k", 0, "draw from the k most likely tokens only; 0 is all")
	f.Float64Var(&o.Draw.TopP, "top-p", 0, "draw from the most likely tokens that make up this probability only; 0 is all")
	f.Uint64Var(&o.Draw.Seed, "seed", 0, "seed of the draws")
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	return c
}

func sample(ctx context.Context, s streams, path, out string, o observe.SampleOptions, asJSON bool) error {
	start := time.Now()
	m, err := eval.Open(path, 1)
	if err != nil {
		return err
	}
	ckpt, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	id, err := observe.Identify(ctx, ckpt, m.Config)
	ckpt.Close()
	if err != nil {
		return err
	}
	bar := newMeter(s.err, "sample", asJSON)
	defer bar.finish()
	o.Progress = func(done, of int) { bar.update(int64(done), int64(of), "tokens") }
	r, err := observe.WriteSample(ctx, m.Model, m.Tokenizer, id, out, o)
	if err != nil {
		return err
	}
	bar.finish()
	taken := time.Since(start)
	if asJSON {
		return printJSON(s.out, struct {
			Path string `json:"path"`
			observe.Sampled
			Seconds float64 `json:"seconds"`
		}{out, r, taken.Seconds()})
	}
	_, err = fmt.Fprintf(s.out, "%s: %s in %d texts, %d tokens, %s", out, human.ExactSize(r.Bytes), r.Texts, r.Tokens, human.Duration(taken))
	if r.Resumed > 0 {
		fmt.Fprintf(s.out, " (%d texts were finished before)", r.Resumed)
	}
	fmt.Fprintln(s.out)
	return err
}
