package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pith/eval"
	"pith/internal/human"
	"pith/model"
	"pith/vocab"
)

// draftFlags say which draft proposes tokens, and how many.
type draftFlags struct {
	path     string
	length   int
	adaptive bool
}

func (d *draftFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.path, "draft", "", "a smaller model of the same vocabulary that proposes tokens")
	f.IntVar(&d.length, "draft-length", model.DefaultDraft, fmt.Sprintf("tokens that the draft proposes at a time, 1 to %d", model.MaxDraft))
	f.BoolVar(&d.adaptive, "draft-adaptive", false, "propose fewer tokens after a rejection and more after none, --draft-length at most")
}

func (d *draftFlags) check() error {
	switch {
	case d.length < 1 || d.length > model.MaxDraft:
		return fmt.Errorf("--draft-length %d: 1 to %d are possible, since a pass checks %d tokens", d.length, model.MaxDraft, model.MaxVerify)
	case d.path == "" && (d.adaptive || d.length != model.DefaultDraft):
		return errors.New("--draft-length and --draft-adaptive need --draft MODEL")
	}
	return nil
}

// pairFlags say how to measure a pair.
type pairFlags struct {
	draftFlags
	text, sizes string
	counts      []string
	prompts     int
	sampling    model.Sampling
}

func (p *pairFlags) add(c *cobra.Command) {
	p.draftFlags.add(c)
	f := c.Flags()
	f.StringVar(&p.text, "text", "", "with --draft: text to take prompts from")
	f.StringVar(&p.sizes, "sizes", "", "with --draft: rows of the draft's head to try, as in 8k,16k,32k (k is 1024)")
	f.StringArrayVar(&p.counts, "vocab-counts", nil, "with --sizes: counts that pith vocab count wrote (default: the tokens of the first half of --text)")
	f.IntVar(&p.prompts, "prompts", 4, "with --draft: how many prompts")
	f.Float64Var(&p.sampling.Temperature, "temp", 0, "with --draft: temperature; 0 is greedy")
	f.Uint64Var(&p.sampling.Seed, "seed", 0, "with --draft: seed of the draws")
}

func (p *pairFlags) check() error {
	switch {
	case p.sizes == "" && len(p.counts) > 0:
		return errors.New("--vocab-counts chooses the rows of --sizes: give both")
	case p.path == "" && (p.text != "" || p.sizes != ""):
		return errors.New("--text and --sizes measure a draft: give --draft MODEL, too")
	case p.path != "" && p.text == "":
		return errors.New("--text is missing: prompts for a draft are taken from a text")
	case p.prompts < 1:
		return fmt.Errorf("--prompts %d: at least 1 is needed", p.prompts)
	}
	if _, err := parseSizes(p.sizes); err != nil {
		return err
	}
	if err := p.sampling.Check(); err != nil {
		return err
	}
	return p.draftFlags.check()
}

// parseSizes reads "8k,16k,1000".
func parseSizes(list string) (sizes []int, err error) {
	if list == "" {
		return nil, nil
	}
	for _, item := range strings.Split(list, ",") {
		digits, thousands := strings.CutSuffix(strings.ToLower(strings.TrimSpace(item)), "k")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 1<<24 {
			return nil, fmt.Errorf("--sizes: %q is not a number of rows; 8k,16k,32k would be", item)
		}
		if thousands {
			n *= 1024
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}

// benchPair measures a target with a draft.
func benchPair(c *cobra.Command, s streams, target string, f pairFlags, o eval.SpeedOptions, asJSON bool) error {
	text, err := os.ReadFile(f.text)
	if err != nil {
		return err
	}
	m, err := eval.OpenWithin(target, o.Workers, o.Budget)
	if err != nil {
		return err
	}
	p, err := m.WithDraft(f.path, o.Workers)
	if err != nil {
		return err
	}
	sizes, err := parseSizes(f.sizes)
	if err != nil {
		return err
	}
	options := eval.PairOptions{Text: text, Prompts: f.prompts, PromptTokens: o.Prompt, Tokens: o.Decode, Length: f.length, Adaptive: f.adaptive,
		Sampling: f.sampling, Sizes: sizes, Repeats: o.Repeats, Must: vocab.Kept(m.Tokenizer, vocab.Classes())}
	if len(f.counts) > 0 {
		counts, err := openCounts(f.counts)
		if err == nil {
			err = counts.Check(m.Tokenizer)
		}
		if err != nil {
			return err
		}
		options.Counts = counts.Of
	}
	r, err := p.Measure(c.Context(), options)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.out, r)
	}
	return printPair(s, r)
}

func printPair(s streams, r eval.PairSpeed) error {
	fmt.Fprintf(s.out, "target   %s (%s, %s; a step reads %s in %.3g ms)\n", r.Target.Path, r.Target.Kind, human.ExactSize(r.Target.Bytes), human.Size(r.TargetBytes), 1e3*r.StepSeconds)
	fmt.Fprintf(s.out, "draft    %s (%s, %s; a step reads %s, of them %s head, in %.3g ms)\n", r.Draft.Path, r.Draft.Kind, human.ExactSize(r.Draft.Bytes),
		human.Size(r.DraftBodyBytes+r.DraftHeadBytes), human.Size(r.DraftHeadBytes), 1e3*r.DraftSeconds)
	fmt.Fprintf(s.out, "plain    %.1f tokens/s (%d tokens after %d prompts of %d tokens)\n", r.PlainSpeed, r.Tokens, r.Prompts, r.PromptTokens)
	same := "the same tokens"
	if !r.SameTokens {
		same = "other draws of the same distribution"
	}
	processor := ""
	if r.Processor > 0 {
		processor = fmt.Sprintf(" (%.2f times by the time of processors)", r.PlainProcessor/r.Processor)
	}
	fmt.Fprintf(s.out, "drafted  %.1f tokens/s, %.2f times as fast%s; %s\n", r.Speed, r.Speedup, processor, same)
	fmt.Fprintf(s.out, "accepted %.1f %% of %d proposed tokens; %.2f tokens a pass of the target (τ)\n", 100*r.AcceptanceRate, r.Drafted, r.BlockEfficiency)
	fmt.Fprintf(s.out, "speed-up %.2f if bytes were all that counts (MBSU); %.2f by the times of single passes (a pass that checks %d tokens: %.3g ms)\n",
		r.MBSU, r.Predicted, r.DraftLength+1, 1e3*r.VerifySeconds)
	if len(r.Sizes) == 0 {
		return nil
	}
	fmt.Fprintln(s.out)
	t := human.NewTable(">head rows", ">covers", ">accepted", ">τ", ">draft step", ">processor", ">by bytes", ">MBSU", ">speed-up", "")
	for _, h := range r.Sizes {
		best := ""
		switch {
		case h.Best && h.BestMBSU:
			best = "best"
		case h.Best:
			best = "best by times"
		case h.BestMBSU:
			best = "best by bytes"
		}
		t.Add(strconv.Itoa(h.Rows), fmt.Sprintf("%.1f %%", 100*h.Coverage), fmt.Sprintf("%.1f %%", 100*h.AcceptanceRate), fmt.Sprintf("%.3f", h.BlockEfficiency),
			fmt.Sprintf("%.4g ms", 1e3*h.DraftSeconds), fmt.Sprintf("%.4g ms", 1e3*h.DraftProcessor), fmt.Sprintf("%.4g ms", 1e3*h.BytesProcessor), fmt.Sprintf("%.3f", h.MBSU), fmt.Sprintf("%.3f", h.Predicted), best)
	}
	return t.Print(s.out)
}
