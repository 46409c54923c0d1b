package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pith/eval"
	"pith/internal/human"
)

func evalCommand(s streams) *cobra.Command {
	var (
		o          eval.Options
		protocol   string
		text, base string
		budget     string
		asJSON     bool
	)
	c := &cobra.Command{
		Use:   "eval MODEL --text FILE",
		Short: "Measure perplexity, and KL divergence to a base model",
		Long: `Evaluates MODEL (Hugging Face directory, GGUF file or Pith artifact) on a text. With --base it runs both models in lock-step and
reports the KL divergence from the base, top-1 agreement and the change of the correct token's probability (Δp).

Protocols (figures of different protocols, or of different --ctx, are not comparable):
  llamacpp  as llama.cpp's llama-perplexity: windows of 512 tokens, the second half of each scored
  gptq      as the GPTQ paper: windows of 2048 tokens, or the model's context, all but the first token of each scored
  bpb       every token of the text scored once, for bits per byte: windows of 512 with BOS in front of each

Errors (±) take scored tokens as independent, as llama.cpp does; --json also gives errors clustered by window.`,
		Example: `  pith eval MODEL --text wiki.test.raw
  pith eval out --base MODEL --text wiki.test.raw --protocol gptq --ctx 2048 --json`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if o.Protocol, err = eval.ParseProtocol(protocol); err != nil {
				return err
			}
			if text == "" {
				return errors.New("--text is missing: name a file to evaluate on, held out from training")
			}
			if o.Ctx < 0 || o.Chunks < 0 {
				return errors.New("--ctx and --chunks are numbers of tokens and windows; 0 is the default")
			}
			if o.Budget, err = parseBudget(budget); err != nil {
				return err
			}
			data, err := readText(text)
			if err != nil {
				return err
			}
			m := newMeter(s.err, "eval", asJSON)
			defer m.finish()
			o.Progress = func(p eval.Progress) {
				m.update(int64(p.Chunks), int64(p.Total), fmt.Sprintf("perplexity %.4f", p.Perplexity))
			}
			r, err := eval.Files(c.Context(), args[0], base, data, o)
			if err != nil {
				return err
			}
			m.finish()
			if asJSON {
				return printJSON(s.out, r)
			}
			return printEval(s.out, r)
		},
	}
	f := c.Flags()
	f.StringVar(&text, "text", "", "file to evaluate on (required)")
	f.StringVar(&base, "base", "", "model to compare with in lock-step, usually the original")
	f.StringVar(&protocol, "protocol", string(eval.LlamaCpp), "llamacpp, gptq or bpb")
	f.IntVar(&o.Ctx, "ctx", 0, "tokens in a window (default: the protocol's)")
	f.IntVar(&o.Chunks, "chunks", 0, "windows to evaluate (default: all)")
	budgetFlag(c, &budget)
	workersFlag(c, &o.Workers)
	offer(c, "protocol", "llamacpp", "gptq", "bpb")
	jsonFlag(c, &asJSON)
	return c
}

// maxText bounds an evaluation text; the tokens of one take several times its bytes.
const maxText = 1 << 30

// readText reads an evaluation text from a file or a pipe.
func readText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--text: %w; give a text file", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("--text: %w", err)
	}
	if info.IsDir() || info.Mode()&os.ModeDevice != 0 {
		return nil, fmt.Errorf("--text %s: is a directory or a device; give a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("--text: %w", err)
	}
	if len(data) > maxText {
		return nil, fmt.Errorf("--text %s: more than %s; cut it, or give a sample of it", path, human.Size(maxText))
	}
	return data, nil
}

// printEval writes a result for people.
func printEval(w io.Writer, r eval.Result) error {
	p := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-22s"+format+"\n", append([]any{name}, args...)...)
	}
	p("model", "%s (%s, %s, %.3f bits per weight)", r.Model.Path, r.Model.Kind, human.ExactSize(r.FileBytes), r.BitsPerWeight)
	p("protocol", "%s, windows of %d, %s of them, %s tokens scored", r.Protocol, r.Ctx, human.Count(r.Chunks), human.Count(r.Tokens))
	for _, n := range r.Notes {
		p("note", "%s", n)
	}
	p("perplexity", "%.4f ± %.4f", r.Perplexity, r.PerplexityStderr)
	p("nll per token", "%.5f ± %.5f", r.NLLPerToken, r.NLLStderr)
	p("bits per byte", "%.4f", r.BitsPerByte)
	if c := r.Comparison; c != nil {
		p("base", "%s (%s, %s)", r.Base.Path, r.Base.Kind, human.ExactSize(r.Base.FileBytes))
		p("base perplexity", "%.4f ± %.4f", c.BasePerplexity, c.BasePerplexityStderr)
		p("ln perplexity ratio", "%.5f ± %.5f", c.LogRatio, c.LogRatioStderr)
		p("KL mean", "%.6f ± %.6f", c.KLMean, c.KLStderr)
		p("KL median, 90, 99 %", "%.6f, %.6f, %.6f", c.KLMedian, c.KL90, c.KL99)
		p("KL 99.9 %, max", "%.6f, %.6f", c.KL999, c.KLMax)
		p("top-1 agreement", "%.3f ± %.3f %%", 100*c.Agreement, 100*c.AgreementStderr)
		p("Δp mean", "%.3f ± %.3f %%", 100*c.DeltaPMean, 100*c.DeltaPStderr)
		p("Δp rms", "%.3f ± %.3f %%", 100*c.DeltaPRMS, 100*c.DeltaPRMSStderr)
		p("Δp 1, 50, 99 %", "%.3f, %.3f, %.3f %%", 100*c.DeltaP1, 100*c.DeltaPMedian, 100*c.DeltaP99)
	}
	_, err := fmt.Fprintf(w, "%-22s%.0f tokens/s\n", "speed", r.TokensPerSecond)
	return err
}
