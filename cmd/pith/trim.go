package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/compress"
	"pith/internal/human"
	"pith/plan"
	"pith/vocab"
)

// trimFlags are what pith trim is told.
type trimFlags struct {
	vocabularyFlags
	texts       calibrationFlags
	o           compress.ConvertOptions
	out, dtype  string
	head        bool
	target      string
	workers     int
	asJSON      bool
	sourceBytes int64
}

func trimCommand(s streams) *cobra.Command {
	var f trimFlags
	c := &cobra.Command{
		Use:   "trim MODEL -o OUT",
		Short: "Leave out the tokens that a domain does not need",
		Long: `Writes MODEL with fewer tokens: rows of the embedding and of the head, tokenizer files, configs and special ids follow, and vocab_map.bin says for each
new id which it was. Tokens are kept by how often they are seen, with all that they are made of, so that a text of kept tokens has the same ids, renumbered, and the
same logits; any other text is written with smaller pieces, which the model predicts worse:
compare bits per byte, pith eval --protocol bpb, with the original's. Weights are not changed: pith compress takes the same flags and any codec.

With --head, MODEL is a draft for speculative decoding and only its head is trimmed: a separate language model, or heads as those of EAGLE, Medusa
and Hydra; --target names the model that it drafts for, if the draft has no tokenizer or no head of its own. d2t and t2d say which tokens
the rows stand for, as vLLM and SGLang read them.`,
		Example: `  pith trim MODEL --text domain.txt --vocab-coverage 0.999 -o trimmed
  pith trim MODEL --vocab-counts counts.safetensors --vocab-size 32000 -o trimmed.gguf
  pith trim DRAFT --head --target MODEL --vocab-counts counts.safetensors --vocab-size 32000 -o draft-32k`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c.Context(), s, args[0]) },
	}
	p := c.Flags()
	p.StringVarP(&f.out, "output", "o", "", "directory or .gguf file to write (required)")
	p.StringVar(&f.o.Format, "format", "", "hf or gguf (default: gguf if OUT ends in .gguf, else hf)")
	p.StringVar(&f.dtype, "dtype", "", "f32, f16 or bf16 for all matrices (default: as stored)")
	p.BoolVar(&f.o.Overwrite, "overwrite", false, "replace OUT")
	p.StringArrayVar(&f.texts.texts, "text", nil, "text whose tokens are counted (may be given more than once)")
	p.BoolVar(&f.head, "head", false, "trim the head of a draft only")
	p.StringVar(&f.target, "target", "", "with --head: the model that MODEL drafts for")
	f.vocabularyFlags.add(c)
	workersFlag(c, &f.workers)
	jsonFlag(c, &f.asJSON)
	offer(c, "format", "hf", "gguf")
	offer(c, "dtype", "f32", "f16", "bf16")
	return c
}

// trimmed is what trim --json prints.
type trimmed struct {
	converted
	SourceBytes  int64   `json:"source_tensor_bytes"`
	Bytes        int64   `json:"tensor_bytes"`
	SourceTokens int     `json:"source_tokens"`
	Tokens       int     `json:"tokens"`
	Coverage     float64 `json:"coverage"`
}

func (f *trimFlags) run(ctx context.Context, s streams, path string) error {
	if err := f.prepare(); err != nil {
		return err
	}
	ckpt, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer ckpt.Close()
	f.sourceBytes = ckpt.Bytes()
	var shown *checkpoint.Checkpoint
	var v *plan.Vocabulary
	if f.head {
		shown, v, err = f.headView(ctx, ckpt)
	} else {
		shown, v, err = f.view(ctx, ckpt, &f.texts, f.workers)
	}
	if err != nil {
		return err
	}
	r := trimmed{SourceBytes: f.sourceBytes, SourceTokens: v.SourceTokens, Tokens: v.Tokens, Coverage: v.Coverage}
	r.Notes = append([]string{}, f.notes...)
	f.o.Warn = func(note string) { r.Notes = append(r.Notes, note) }
	if r.Path, r.FileBytes, err = compress.Convert(shown, f.out, f.o); err != nil {
		return err
	}
	if r.Bytes, err = writtenBytes(r.Path); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(s.out, r)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(s.out, "note        %s\n", n)
	}
	fmt.Fprintf(s.out, "vocabulary  %s\n", tokensLeft(v))
	fmt.Fprintf(s.out, "tensors     %s, %.1f %% of before\n", human.ExactSize(r.Bytes), 100*float64(r.Bytes)/float64(max(1, r.SourceBytes)))
	_, err = fmt.Fprintf(s.out, "written     %s, %s\n", r.Path, human.ExactSize(r.FileBytes))
	return err
}

// writtenBytes returns what the tensors of a file take: packed ones are decoded when they are written.
func writtenBytes(path string) (int64, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.Bytes(), nil
}

// prepare checks what can be said without a model.
func (f *trimFlags) prepare() (err error) {
	if f.out == "" {
		return errNoOutput
	}
	if err := f.check(); err != nil {
		return err
	}
	if !f.given() {
		return errors.New("say how many tokens stay: --vocab-size, --vocab-coverage or --vocab-bytes")
	}
	if f.target != "" && !f.head {
		return errors.New("--target goes with --head")
	}
	if f.o.DType, err = parseDType(f.dtype); err != nil {
		return err
	}
	if f.o.Format == "" {
		f.o.Format = "hf"
		if filepath.Ext(f.out) == ".gguf" {
			f.o.Format = "gguf"
		}
	}
	if f.o.Format != "hf" && f.o.Format != "gguf" {
		return fmt.Errorf("--format %q: choose hf or gguf", f.o.Format)
	}
	return nil
}

// headView trims the head of a draft. Its tokens are those of the target, or of its own tokenizer.
func (f *trimFlags) headView(ctx context.Context, draft *checkpoint.Checkpoint) (*checkpoint.Checkpoint, *plan.Vocabulary, error) {
	of, size := draft, 0
	var target *checkpoint.Checkpoint
	if f.target != "" {
		var err error
		if target, err = checkpoint.Open(f.target); err != nil {
			return nil, nil, err
		}
		config, err := target.Config()
		if err != nil {
			return nil, nil, err
		}
		of, size = target, config.Vocab
	}
	h, err := vocab.OpenHeads(draft, size, target)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (--target)", err)
	}
	tokens, err := vocab.Open(of)
	if err != nil {
		return nil, nil, err
	}
	counts, err := f.count(ctx, tokens, &f.texts, f.workers)
	if err != nil {
		return nil, nil, err
	}
	classes, err := vocab.ParseClasses(f.keep)
	if err != nil {
		return nil, nil, err
	}
	must, err := tokens.Must(classes)
	if err != nil {
		return nil, nil, err
	}
	r, err := vocab.RankHead(tokens.Tokenizer, counts, must, min(h.Vocab, tokens.Size()))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", of.Path, err)
	}
	chosen, err := f.choose(r, h.RowBytes())
	if err != nil {
		return nil, nil, err
	}
	shown, err := h.View(chosen.IDs)
	return shown, plan.NewVocabulary(chosen.IDs, h.Vocab, chosen.Coverage()), err
}
