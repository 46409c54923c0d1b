package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"pith/eval"
	"pith/internal/human"
	"pith/model"
)

func runCommand(s streams) *cobra.Command {
	var (
		prompt   string
		n        int
		workers  int
		sampling model.Sampling
		budget   string
		asJSON   bool
		draft    draftFlags
		atoms    string
	)
	c := &cobra.Command{
		Use:   "run MODEL --prompt TEXT",
		Short: "Generate text",
		Long: `Continues a prompt, one token at a time, multiplying by the packed weights as they are stored. Greedy unless --temp is given; the
same --seed gives the same text. Text goes to standard output as it is made, the speed to standard error at the end.

With --draft a smaller model of the same vocabulary proposes tokens, several of which MODEL checks in one pass. Greedy text is the same as
without, to the last token; drawn text has the same distribution.`,
		Example: `  pith run out --prompt "Once upon a time" -n 100
  pith run out --prompt "Once upon a time" --temp 0.8 --top-k 40 --top-p 0.95 --seed 7
  pith run out --draft small --prompt "Once upon a time"
  pith run model.pithstack --budget 900MiB --prompt "Once upon a time"`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s takes one MODEL, not %d: give the text with --prompt, in quotes", c.CommandPath(), len(args))
			}
			return one("MODEL")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			within, err := parseBudget(budget)
			if err != nil {
				return err
			}
			if err := draft.check(); err != nil {
				return err
			}
			policy, err := parseAtoms(atoms)
			if err != nil {
				return err
			}
			m, err := eval.OpenWithin(args[0], workers, within)
			if err != nil {
				return err
			}
			choice, err := m.SetAtoms(policy)
			if err != nil {
				return err
			}
			asked := c.Flags().Changed("atoms") && choice.Direct.Held > 0
			if asked && !asJSON {
				fmt.Fprintf(s.err, "atoms %s\n", atomsLine(&choice))
			}
			g := eval.Generation{Prompt: prompt, Tokens: n, Sampling: sampling, DraftLength: draft.length, Adaptive: draft.adaptive}
			if draft.path != "" {
				if g.Draft, err = m.WithDraft(draft.path, workers); err != nil {
					return err
				}
			}
			if !asJSON {
				fmt.Fprint(s.out, prompt)
				g.Emit = func(text string) error {
					_, err := io.WriteString(s.out, text)
					return err
				}
			}
			r, err := m.Generate(c.Context(), g)
			if asked {
				r.Atoms = &choice
			}
			if asJSON && err == nil {
				return printJSON(s.out, r)
			}
			if !asJSON {
				fmt.Fprintln(s.out)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "%d tokens of prompt in %s, %d generated in %s: %.1f tokens/s\n", r.PromptTokens, human.Duration(seconds(r.PromptSeconds)),
				r.Tokens, human.Duration(seconds(r.Seconds)), r.TokensPerSecond)
			if d := r.Draft; d != nil {
				fmt.Fprintf(s.err, "%d of %d proposed tokens accepted, %.2f tokens a pass\n", d.Accepted, d.Drafted, d.BlockEfficiency())
			}
			if r.Stop == "context" {
				fmt.Fprintln(s.err, "stopped at the end of the model's context")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&prompt, "prompt", "p", "", "text to continue")
	f.IntVarP(&n, "tokens", "n", 64, "most tokens to generate; it stops earlier at the end-of-text token and at the end of the model's context")
	f.Float64Var(&sampling.Temperature, "temp", 0, "temperature; 0 is greedy")
	f.IntVar(&sampling.TopK, "top-k", 0, "draw from the k most likely tokens only; 0 is all")
	f.Float64Var(&sampling.TopP, "top-p", 0, "draw from the most likely tokens that make up this probability only; 0 is all")
	f.Float64Var(&sampling.MinP, "min-p", 0, "draw from tokens at least this fraction as likely as the most likely only; 0 is all")
	f.Uint64Var(&sampling.Seed, "seed", 0, "seed of the draws")
	budgetFlag(c, &budget)
	draft.add(c)
	atomsFlag(c, &atoms)
	workersFlag(c, &workers)
	jsonFlag(c, &asJSON)
	return c
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
