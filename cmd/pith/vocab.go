package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/eval"
	"pith/internal/human"
	"pith/observe"
	"pith/vocab"
)

func vocabCommand(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "vocab",
		Short: "Count tokens, and show what fewer of them would save",
		Long: `Counts the tokens of texts, or of what a model writes, into a file that pith trim, plan and compress choose tokens by (--vocab-counts); shows how many
tokens make up how much of what was counted, and the bytes that they take.`,
		Example: "  pith vocab count MODEL --text domain.txt -o counts.safetensors\n  pith vocab show MODEL --counts counts.safetensors",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(vocabCountCommand(s), vocabMergeCommand(s), vocabShowCommand(s))
	return c
}

// countFlags are what pith vocab count is told.
type countFlags struct {
	out     string
	texts   []string
	g       vocab.Generating
	draft   string
	workers int
	asJSON  bool
}

func vocabCountCommand(s streams) *cobra.Command {
	var f countFlags
	c := &cobra.Command{
		Use:   "count MODEL --text FILE -o COUNTS",
		Short: "Count the tokens of texts, or of what a model writes",
		Long: `Counts, with MODEL's tokenizer, the tokens of the texts; or, with --generate N, N tokens that MODEL writes after beginnings taken from the texts, sampled with
--temp and --seed; or, with --draft too, that another model of the same vocabulary writes. Special tokens in a text are plain text.`,
		Example: `  pith vocab count MODEL --text domain.txt -o counts.safetensors
  pith vocab count MODEL --text prompts.txt --generate 100000 -o written.safetensors`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.out == "" {
				return errNoOutput
			}
			if len(f.texts) == 0 {
				return errors.New("--text is missing: name a file to count, or to take prompts from")
			}
			if f.draft != "" && f.g.Tokens == 0 {
				return errors.New("--draft goes with --generate N: text is the same whoever reads it")
			}
			if err := f.g.Sample.Check(); err != nil {
				return err
			}
			if err := vocab.CheckOutput(f.out); err != nil {
				return err
			}
			counts, err := f.count(c.Context(), args[0])
			if err != nil {
				return err
			}
			if err := counts.Save(f.out); err != nil {
				return err
			}
			return printCounts(s, counts, f.out, f.asJSON)
		},
	}
	p := c.Flags()
	p.StringVarP(&f.out, "output", "o", "", "file of counts to write (required)")
	p.StringArrayVar(&f.texts, "text", nil, "text to count, or to take prompts from (may be given more than once)")
	p.IntVar(&f.g.Tokens, "generate", 0, "count this many tokens that the model writes")
	p.StringVar(&f.draft, "draft", "", "with --generate: the drafter that writes")
	p.IntVar(&f.g.Each, "length", 0, "with --generate: tokens after one prompt (default 256)")
	p.Float64Var(&f.g.Sample.Temperature, "temp", 1, "with --generate: temperature; 0 is greedy")
	p.Uint64Var(&f.g.Sample.Seed, "seed", 0, "with --generate: seed of the draws")
	workersFlag(c, &f.workers)
	jsonFlag(c, &f.asJSON)
	return c
}

func (f *countFlags) count(ctx context.Context, path string) (*vocab.Counts, error) {
	texts, err := readTexts(f.texts)
	if err != nil {
		return nil, err
	}
	if f.g.Tokens != 0 {
		return f.generated(ctx, path, texts)
	}
	ckpt, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer ckpt.Close()
	m, err := vocab.Open(ckpt)
	if err != nil {
		return nil, err
	}
	return countTexts(ctx, m, texts, f.workers)
}

// generated counts what the model, or its drafter, writes.
func (f *countFlags) generated(ctx context.Context, path string, texts []observe.Text) (*vocab.Counts, error) {
	writer := path
	if f.draft != "" {
		writer, f.g.Drafted = f.draft, true
	}
	m, err := eval.Open(writer, 1)
	if err != nil {
		return nil, err
	}
	tok := m.Tokenizer
	if f.g.Drafted {
		ckpt, err := checkpoint.Open(path)
		if err != nil {
			return nil, err
		}
		defer ckpt.Close()
		if tok, err = ckpt.Tokenizer(); err != nil {
			return nil, err
		}
		if vocab.Digest(tok) != vocab.Digest(m.Tokenizer) {
			return nil, fmt.Errorf("%s: has another tokenizer than %s, so its tokens cannot be counted for that", f.draft, path)
		}
	}
	var text []byte
	for _, t := range texts {
		text = append(text, t.Data...)
	}
	return vocab.Generated(ctx, m.Model, tok, text, f.g, f.workers)
}

func printCounts(s streams, c *vocab.Counts, path string, asJSON bool) error {
	seen := 0
	for _, n := range c.Of {
		if n > 0 {
			seen++
		}
	}
	if asJSON {
		return printJSON(s.out, struct {
			Path    string         `json:"path"`
			Counted uint64         `json:"counted"`
			Seen    int            `json:"tokens_seen"`
			Tokens  int            `json:"tokens"`
			Sources []vocab.Source `json:"sources"`
		}{path, c.Tokens(), seen, len(c.Of), c.Sources})
	}
	_, err := fmt.Fprintf(s.out, "written  %s: %s tokens counted, %d of %d different ones seen\n", path, human.Count(int64(c.Tokens())), seen, len(c.Of))
	return err
}

func vocabMergeCommand(s streams) *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:     "merge COUNTS… -o COUNTS",
		Short:   "Add up counts of the same tokenizer",
		Example: "  pith vocab merge text.safetensors written.safetensors -o both.safetensors",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s takes files that pith vocab count wrote: see %s --help", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return errNoOutput
			}
			all, err := openCounts(args)
			if err != nil {
				return err
			}
			if err := all.Save(out); err != nil {
				return err
			}
			return printCounts(s, all, out, asJSON)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file of counts to write (required)")
	jsonFlag(c, &asJSON)
	return c
}

func vocabShowCommand(s streams) *cobra.Command {
	var counts, texts []string
	var keep string
	var workers int
	var asJSON bool
	c := &cobra.Command{
		Use:   "show MODEL --counts COUNTS",
		Short: "Show how many tokens cover how much, and what they take",
		Long: `Prints selections of growing coverage: how many tokens they have, with what those are made of and what must stay, and the bytes of embedding and head, as
they are stored now. With --text, tokens are counted first.`,
		Example: "  pith vocab show MODEL --counts counts.safetensors\n  pith vocab show MODEL --text domain.txt",
		Args:    one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			ckpt, err := checkpoint.Open(args[0])
			if err != nil {
				return err
			}
			defer ckpt.Close()
			f := vocabularyFlags{counts: counts}
			m, err := vocab.Open(ckpt)
			if err != nil {
				return err
			}
			all, err := f.count(c.Context(), m, &calibrationFlags{texts: texts}, workers)
			if err != nil {
				return err
			}
			classes, err := vocab.ParseClasses(keep)
			if err != nil {
				return fmt.Errorf("--keep %w", err)
			}
			r, err := m.Rank(all, classes)
			if err != nil {
				return err
			}
			return printMenu(s, m, r, all, asJSON)
		},
	}
	p := c.Flags()
	p.StringArrayVar(&counts, "counts", nil, "counts that pith vocab count wrote (may be given more than once)")
	p.StringArrayVar(&texts, "text", nil, "text to count (may be given more than once)")
	p.StringVar(&keep, "keep", "", "tokens that stay however rare: "+classNames()+", or none (default all of these)")
	workersFlag(c, &workers)
	jsonFlag(c, &asJSON)
	return c
}

func printMenu(s streams, m *vocab.Model, r *vocab.Ranking, counts *vocab.Counts, asJSON bool) error {
	menu := r.Menu(m.RowBytes)
	if asJSON {
		return printJSON(s.out, struct {
			Tokens  int            `json:"tokens"`
			Must    int            `json:"must"`
			Counted uint64         `json:"counted"`
			Menu    []vocab.Choice `json:"menu"`
		}{m.Size(), r.Must(), counts.Tokens(), menu})
	}
	t := human.NewTable(">tokens", ">coverage", ">embedding and head", ">of now")
	for _, c := range menu {
		t.Add(fmt.Sprint(c.Tokens), fmt.Sprintf("%.3f %%", 100*c.Coverage), human.ExactSize(c.Bytes), fmt.Sprintf("%.1f %%", 100*float64(c.Tokens)/float64(m.Size())))
	}
	if err := t.Print(s.out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "\ncounted     %s tokens; %d of %d must stay\n", human.Count(int64(counts.Tokens())), r.Must(), m.Size())
	return err
}
