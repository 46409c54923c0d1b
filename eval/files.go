package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"pith/checkpoint"
	"pith/model"
	"pith/tokenizer"
)

// Opened is a model read into memory and ready to run.
type Opened struct {
	Subject
	Config    model.Config
	Model     *model.Model
	Tokenizer *tokenizer.Tokenizer
	files     []string
	stack     *checkpoint.Stack // nil: the size cannot be chosen
	sizing    sync.Mutex
}

// Open reads the model at path (whatever checkpoint.Open takes) into memory, as packed as it is stored.
func Open(path string, workers int) (*Opened, error) { return OpenWithin(path, workers, Budget{}) }

// OpenWithin is Open of the largest size of a stack within a budget.
func OpenWithin(path string, workers int, budget Budget) (*Opened, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := budget.apply(c); err != nil {
		return nil, err
	}
	cfg, err := c.Config()
	if err != nil {
		return nil, err
	}
	tok, err := c.Tokenizer()
	if err != nil {
		return nil, err
	}
	m, err := model.New(cfg, c, workers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o := &Opened{Config: cfg, Model: m, Tokenizer: tok, files: c.Files(), stack: c.Stack()}
	o.Subject = Subject{Path: path, Kind: string(c.Kind), Parameters: c.NumWeights(), Bytes: c.Bytes()}
	return o, nil
}

// BitsPerWeight is 8 · tensor bytes / parameters.
func (s *Subject) BitsPerWeight() float64 {
	if s.Parameters == 0 {
		return 0
	}
	return 8 * float64(s.Bytes) / float64(s.Parameters)
}

// Identify reads the weight files and sets their digest and size.
func (o *Opened) Identify(ctx context.Context) error {
	if o.stack != nil {
		return o.identifyPrefix(ctx)
	}
	h := sha256.New()
	o.FileBytes = 0
	for _, f := range o.files {
		d, err := checkpoint.DigestFile(ctx, f)
		if err != nil {
			return err
		}
		o.FileBytes += d.Bytes
		fmt.Fprintf(h, "%s %d %s\n", d.Name, d.Bytes, d.SHA256)
		o.SHA256 = d.SHA256
	}
	if len(o.files) != 1 {
		o.SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return nil
}

// Files evaluates the model at path, against the one at base unless that is empty.
func Files(ctx context.Context, path, base string, text []byte, o Options) (Result, error) {
	cand, err := OpenWithin(path, o.Workers, o.Budget)
	if err != nil {
		return Result{}, err
	}
	var b *Opened
	if base != "" {
		if b, err = Open(base, o.Workers); err != nil {
			return Result{}, fmt.Errorf("base: %w", err)
		}
	}
	return Compare(ctx, cand, b, text, o)
}

// Compare is Files for models that are already open; base may be nil.
func Compare(ctx context.Context, cand, base *Opened, text []byte, o Options) (Result, error) {
	for _, m := range []*Opened{cand, base} {
		if m != nil && m.Model.DraftIDs() != nil {
			return Result{}, fmt.Errorf("%s: is a draft model: its head knows %d of %d tokens, so texts have no probability under it; see pith bench --draft", m.Path, m.Config.DraftVocab, m.Config.Vocab)
		}
	}
	o.MaxCtx = cand.Config.MaxPositions
	if err := checkPositions(cand.Model.MaxTokens(), o); err != nil {
		return Result{}, fmt.Errorf("%s: %w", cand.Path, err)
	}
	var b Model
	note := ""
	if base != nil {
		b = base.Model
		ids, err := trimmedFrom(cand, base)
		switch {
		case err != nil:
			return Result{}, err
		case ids != nil:
			b, note = mapped{base.Model, ids}, mappedNote(cand, base, text)
		default:
			if err := sameTokens(cand, base, text); err != nil {
				return Result{}, err
			}
		}
	}
	r, err := Run(ctx, cand.Model, b, cand.Tokenizer, text, o)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", cand.Path, err)
	}
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	for _, m := range []*Opened{cand, base} {
		if m == nil {
			continue
		}
		if err := m.Identify(ctx); err != nil {
			return Result{}, err
		}
	}
	r.Model = &cand.Subject
	if base != nil {
		r.Base = &base.Subject
	}
	r.FileBytes, r.BitsPerWeight = cand.FileBytes, cand.Subject.BitsPerWeight()
	return r, nil
}

// checkPositions returns an error if windows are longer than a model of limit learned positions (0: any number) can take.
func checkPositions(limit int, o Options) error {
	p, err := ParseProtocol(string(o.Protocol))
	if err != nil {
		return err
	}
	if ctx, _, err := p.context(o); err != nil || limit == 0 || ctx <= limit {
		return err
	}
	return fmt.Errorf("the model has embeddings for %d positions only: use --ctx %d or less", limit, limit)
}

// sameTokens returns an error unless both models' tokenizers agree on the beginning of text.
func sameTokens(a, b *Opened, text []byte) error {
	head := string(text[:min(len(text), 1<<16)])
	o := tokenizer.EncodeOptions{AddSpecial: true}
	if a.Tokenizer.Size() != b.Tokenizer.Size() || !slices.Equal(a.Tokenizer.Encode(head, o), b.Tokenizer.Encode(head, o)) {
		return fmt.Errorf("%s and its base %s tokenize the text differently: only models of one vocabulary can be compared", a.Path, b.Path)
	}
	return nil
}
