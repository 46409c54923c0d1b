package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"pith/codec"
	"pith/eval"
	"pith/internal/human"
)

func benchSyntheticCommand(s streams) *cobra.Command {
	var o eval.SyntheticOptions
	var names, policies []string
	var asJSON bool
	var workers int
	c := &cobra.Command{
		Use:   "synthetic",
		Short: "Time a Llama of random weights stored by several codecs, low-rank ones beside dense ones",
		Long: `Makes a Llama of random weights in memory, TinyLlama's sizes with 8 of its 22 layers unless flags say otherwise, and times it with all of its
linears, head included, stored by each of the codecs. Models take turns, and the fastest token counts, so that other work on the machine disturbs
comparisons little; on one worker, and on all. Of codecs of atoms (atoms2-int8-g64) all layers have the atoms in common, and each of --atoms is measured. Beside a low-rank codec (lr0.5-f32: factors of half the numbers) its factors' codec is measured without being named.
Nothing is fitted: the table says how fast weights are, not how good.`,
		Example: "  pith bench synthetic --codec lr0.5-f32 --codec lr0.5-int8-g64\n  pith bench synthetic --codec int4-g128 --codec int3-g128+lr16-int8-g64 --prompt 512 --json\n  pith bench synthetic --codec atoms1-int8-g64,atoms4-int8-g64 --atoms direct,fold",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range names {
				if _, err := codec.Parse(name); err != nil {
					return err
				}
			}
			for _, text := range policies {
				p, err := parseAtoms(text)
				if err != nil {
					return err
				}
				o.Atoms = append(o.Atoms, p)
			}
			o.Workers = []int{1}
			if workers > 1 {
				o.Workers = append(o.Workers, workers)
			}
			m := newMeter(s.err, "bench", asJSON)
			rows, err := eval.MeasureSynthetic(c.Context(), eval.WithDense(names), o, func(done, all int, what string) { m.update(int64(done), int64(all), what) })
			m.finish()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, rows)
			}
			t := human.NewTable("codec", ">workers", ">bytes", ">products a token", ">decode tokens/s", ">× dense", ">prompt tokens/s", ">activations")
			for _, r := range rows {
				dense, prompt := "", ""
				if r.VsDense > 0 {
					dense = fmt.Sprintf("%.2f", r.VsDense)
				}
				if r.PromptTokensPerSecond > 0 {
					prompt = fmt.Sprintf("%.1f", r.PromptTokensPerSecond)
				}
				t.Add(r.Name(), fmt.Sprint(r.Workers), human.Size(r.Bytes), fmt.Sprintf("%.3g M", float64(r.MultiplyAdds)/1e6), fmt.Sprintf("%.2f", r.DecodeTokensPerSecond), dense, prompt, human.Size(r.ActivationBytes))
			}
			return t.Print(s.out)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&policies, "atoms", nil, "how codecs of atoms (atoms2-int8-g64) are multiplied, as in pith bench; may be given more than once (default direct)")
	f.StringSliceVar(&names, "codec", []string{"lr0.5-f32", "lr0.5-int8-g64"}, "codec of the linears; may be given more than once")
	f.IntVar(&o.Hidden, "hidden", 0, "features of the residual stream (default 2048)")
	f.IntVar(&o.Intermediate, "intermediate", 0, "features within an MLP (default 5632)")
	f.IntVar(&o.Layers, "layers", 0, "layers (default 8)")
	f.IntVar(&o.Heads, "heads", 0, "query heads (default 32)")
	f.IntVar(&o.KVHeads, "kv-heads", 0, "key and value heads (default 4)")
	f.IntVar(&o.Vocab, "vocab", 0, "tokens of the vocabulary (default 32000)")
	f.IntVar(&o.Decode, "decode", 0, "tokens to decode in a repeat (default 16)")
	f.IntVar(&o.Prompt, "prompt", 0, "tokens of a prompt to time too")
	f.IntVar(&o.Repeats, "repeats", 0, "times to measure; the best counts (default 5)")
	workersFlag(c, &workers)
	jsonFlag(c, &asJSON)
	offer(c, "codec", codec.Names()...)
	return c
}
