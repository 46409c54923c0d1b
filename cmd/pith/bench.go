package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"pith/eval"
	"pith/internal/human"
)

func benchCommand(s streams) *cobra.Command {
	o := eval.SpeedOptions{}
	var budget, sizes string
	var asJSON bool
	var pair pairFlags
	var atoms string
	c := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Time a model, or the kernels",
		Long: `Times loading, prompt processing (one batch) and decoding (one token at a time) of MODEL on random tokens. The best of the repeats counts.
Memory is that of intermediate results of the prompt, exactly; "matrix by matrix" is what those of one layer would take for the whole prompt.
A stack (pith stack) is taken from size to size of --budgets while it is loaded: how long each switch takes, what it reads from the file and allocates,
and how fast the model decodes then.
"pith bench synthetic" times a model of random weights in any codec, "pith bench kernels" the kernels alone, "pith bench linalg" decompositions of
matrices, on random data.

With --draft, generates after prompts from --text with and without the draft, in turns: the part of its tokens accepted, tokens per pass of
MODEL (τ), the speed-up that bytes alone would allow (MBSU) and the one measured. --sizes tries heads of the draft with that many rows beside the whole,
those most frequent in the first half of the text; prompts come from the second half. Greedy unless --temp is given.`,
		Example: `  pith bench out
  pith bench out --workers 2 --decode 128 --json
  pith bench model.pithstack --budgets 300KB,600KB,900KB
  pith bench out --draft small --text held-out.txt --sizes 4k,8k,16k
  pith bench kernels --workers 1`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if o.Budget, err = parseBudget(budget); err != nil {
				return err
			}
			if o.Sizes, err = parseBudgets(sizes); err != nil {
				return err
			}
			if err := pair.check(); err != nil {
				return err
			}
			if pair.path != "" {
				if sizes != "" {
					return errors.New("--budgets times one model: leave --draft out, or --budgets")
				}
				return benchPair(c, s, args[0], pair, o, asJSON)
			}
			if o.Atoms, err = parseAtoms(atoms); err != nil {
				return err
			}
			r, err := eval.MeasureSpeed(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, r)
			}
			fmt.Fprintf(s.out, "model    %s (%s, %s)\n", r.Model.Path, r.Model.Kind, human.ExactSize(r.Model.Bytes))
			fmt.Fprintf(s.out, "load     %.2f s\n", r.LoadSeconds)
			fmt.Fprintf(s.out, "weights  %s in memory", human.ExactSize(r.Resident.Weights))
			if r.Resident.Made > 0 {
				fmt.Fprintf(s.out, " and %s made of atoms", human.ExactSize(r.Resident.Made))
			}
			fmt.Fprintln(s.out)
			if r.Choice != nil {
				fmt.Fprintf(s.out, "atoms    %s of a layer, %s\n", human.Size(r.AtomBytes), atomsLine(r.Choice))
			}
			fmt.Fprintf(s.out, "prompt   %.1f tokens/s (%d tokens at once)\n", r.PromptTokensPerSecond, r.PromptTokens)
			_, err = fmt.Fprintf(s.out, "decode   %.1f tokens/s (%d tokens, %.2f GB/s of weights)\n", r.DecodeTokensPerSecond, r.DecodeTokens, r.DecodeGBPerSecond)
			fmt.Fprintf(s.out, "memory   %s of activations for the prompt (matrix by matrix: %s), %s of keys and values\n",
				human.Size(r.ActivationBytes), human.Size(r.UnfusedBytes), human.Size(r.CacheBytes))
			if len(r.Sizes) > 0 && err == nil {
				return printSizes(s, r.Sizes)
			}
			return err
		},
	}
	f := c.Flags()
	f.IntVar(&o.Prompt, "prompt", 0, "tokens of a prompt (default 512, or the model's context; with --draft 32)")
	f.IntVar(&o.Decode, "decode", 0, "tokens to decode (default 64)")
	f.IntVar(&o.Repeats, "repeats", 3, "times to measure; the best counts")
	budgetFlag(c, &budget)
	f.StringVar(&sizes, "budgets", "", "of a stack: switch between these sizes, in this order and round again, as in 300KB,600KB,3.5bpw (default: the smallest and the whole)")
	pair.add(c)
	atomsFlag(c, &atoms)
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	c.AddCommand(benchKernelsCommand(s), benchCodecsCommand(s), benchSyntheticCommand(s), benchLinalgCommand(s))
	return c
}

// printSizes prints what switching between sizes takes.
func printSizes(s streams, sizes []eval.SizeSpeed) error {
	t := human.NewTable(">bytes", ">blocks", ">from bytes", ">switch", ">read", ">allocated", ">decode")
	for _, z := range sizes {
		t.Add(strconv.FormatInt(z.Bytes, 10), strconv.Itoa(z.Blocks), strconv.FormatInt(z.FromBytes, 10), fmt.Sprintf("%.3f ms", 1000*z.SwitchSeconds),
			strconv.FormatInt(z.ReadBytes, 10), strconv.FormatInt(z.AllocatedBytes, 10), fmt.Sprintf("%.1f tokens/s", z.DecodeTokensPerSecond))
	}
	return t.Print(s.out)
}

func benchKernelsCommand(s streams) *cobra.Command {
	var workers int
	var asJSON bool
	c := &cobra.Command{
		Use:     "kernels",
		Short:   "Time the kernels on random data",
		Long:    "Times the f32 matrix product and the product of each kind of packed weight with one token, on 2048 × 4096 random weights. PITH_CPU=generic|avx2|avx512 chooses the instructions.",
		Example: "  pith bench kernels --workers 1\n  PITH_CPU=avx2 pith bench kernels --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := eval.MeasureKernels(c.Context(), workers)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, list)
			}
			t := human.NewTable("kernel", ">GFLOP/s", ">GB/s", ">Gweights/s")
			for _, k := range list {
				t.Add(k.Kernel, fmt.Sprintf("%.1f", k.GFLOPS), fmt.Sprintf("%.2f", k.GBs), fmt.Sprintf("%.2f", k.GWeights))
			}
			return t.Print(s.out)
		},
	}
	workersFlag(c, &workers)
	jsonFlag(c, &asJSON)
	return c
}
