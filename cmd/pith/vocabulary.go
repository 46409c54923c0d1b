package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/internal/human"
	"pith/observe"
	"pith/plan"
	"pith/vocab"
)

// vocabularyFlags say which tokens a model keeps.
type vocabularyFlags struct {
	size     int
	coverage float64
	bytes    string
	counts   []string
	keep     string
	changed  func(flag string) bool
	notes    []string // set by view: what could not be taken along
}

func (f *vocabularyFlags) add(c *cobra.Command) {
	p := c.Flags()
	f.changed = p.Changed
	p.IntVar(&f.size, "vocab-size", 0, "keep this many tokens at most: those most frequent in --vocab-counts, or --text, and what they are made of")
	p.Float64Var(&f.coverage, "vocab-coverage", 0, "keep as few tokens as make up this part of the counted ones, as 0.999")
	p.StringVar(&f.bytes, "vocab-bytes", "", "keep as many tokens as embedding and head have room for in this size, as they are stored now, as 20MiB")
	p.StringArrayVar(&f.counts, "vocab-counts", nil, "counts that pith vocab count wrote (may be given more than once; default: the tokens of --text)")
	p.StringVar(&f.keep, "vocab-keep", "", "tokens that stay however rare: "+classNames()+", or none (default all of these)")
}

func classNames() string {
	var names []string
	for _, c := range vocab.Classes() {
		names = append(names, string(c))
	}
	return strings.Join(names, ",")
}

// given reports whether tokens are to be left out.
func (f *vocabularyFlags) given() bool {
	return f.changed("vocab-size") || f.changed("vocab-coverage") || f.changed("vocab-bytes")
}

// check looks at what can be said without a model.
func (f *vocabularyFlags) check() error {
	n := 0
	for _, flag := range []string{"vocab-size", "vocab-coverage", "vocab-bytes"} {
		if f.changed(flag) {
			n++
		}
	}
	switch {
	case n > 1:
		return errors.New("give only one of --vocab-size, --vocab-coverage and --vocab-bytes")
	case n == 0 && (len(f.counts) > 0 || f.changed("vocab-keep")):
		return errors.New("--vocab-counts and --vocab-keep go with --vocab-size, --vocab-coverage or --vocab-bytes")
	}
	_, err := vocab.ParseClasses(f.keep)
	if err != nil {
		return fmt.Errorf("--vocab-keep %w", err)
	}
	return nil
}

// view returns the checkpoint with the tokens that the flags ask for, and what the plan records of that; nil if all stay.
func (f *vocabularyFlags) view(ctx context.Context, c *checkpoint.Checkpoint, texts *calibrationFlags, workers int) (*checkpoint.Checkpoint, *plan.Vocabulary, error) {
	if err := f.check(); err != nil || !f.given() {
		return c, nil, err
	}
	if texts.stats != "" {
		return nil, nil, errors.New("--stats are of the whole vocabulary: calibrate what is left with --text, or write it first (pith trim) and run pith calibrate on that")
	}
	m, err := vocab.Open(c)
	if err != nil {
		return nil, nil, err
	}
	counts, err := f.count(ctx, m, texts, workers)
	if err != nil {
		return nil, nil, err
	}
	classes, err := vocab.ParseClasses(f.keep)
	if err != nil {
		return nil, nil, err
	}
	r, err := m.Rank(counts, classes)
	if err != nil {
		return nil, nil, err
	}
	s, err := f.choose(r, m.RowBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	shown, notes, err := m.View(s.IDs)
	if err != nil {
		return nil, nil, err
	}
	f.notes = notes
	return shown, plan.NewVocabulary(s.IDs, m.Size(), s.Coverage()), nil
}

// choose returns the selection that the flags ask for.
func (f *vocabularyFlags) choose(r *vocab.Ranking, rowBytes int64) (vocab.Selection, error) {
	switch {
	case f.changed("vocab-coverage"):
		s, err := r.Coverage(f.coverage)
		if err != nil {
			err = fmt.Errorf("--vocab-coverage: %w", err)
		}
		return s, err
	case f.changed("vocab-bytes"):
		n, err := human.ParseSize(f.bytes)
		if err != nil {
			return vocab.Selection{}, fmt.Errorf("--vocab-bytes: %w", err)
		}
		s, err := r.Size(int(min(n/max(1, rowBytes), 1<<30)))
		if err != nil {
			err = fmt.Errorf("--vocab-bytes %s, of which a token takes %d: %w", f.bytes, rowBytes, err)
		}
		return s, err
	}
	s, err := r.Size(f.size)
	if err != nil {
		err = fmt.Errorf("--vocab-size: %w", err)
	}
	return s, err
}

// count returns the counts to choose by.
func (f *vocabularyFlags) count(ctx context.Context, m *vocab.Model, texts *calibrationFlags, workers int) (*vocab.Counts, error) {
	counts, err := f.counted(ctx, m, texts, workers)
	if err == nil && counts.Tokens() == 0 {
		return nil, errors.New("no tokens were counted, and tokens are chosen by how often they are seen: give a --text, or --vocab-counts, that has some")
	}
	return counts, err
}

func (f *vocabularyFlags) counted(ctx context.Context, m *vocab.Model, texts *calibrationFlags, workers int) (*vocab.Counts, error) {
	if len(f.counts) > 0 {
		return openCounts(f.counts)
	}
	if len(texts.texts) == 0 {
		return nil, errors.New("tokens are chosen by how often they are seen: give --vocab-counts (pith vocab count makes them), or --text")
	}
	data, err := texts.contents()
	if err != nil {
		return nil, err
	}
	return countTexts(ctx, m, data, workers)
}

func countTexts(ctx context.Context, m *vocab.Model, texts []observe.Text, workers int) (*vocab.Counts, error) {
	all := vocab.NewCounts(m.Tokenizer)
	for _, t := range texts {
		c, err := vocab.Text(ctx, m.Tokenizer, bytes.NewReader(t.Data), workers)
		if err != nil {
			return nil, err
		}
		if err := all.Merge(c); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// openCounts reads files of counts and adds them up.
func openCounts(paths []string) (all *vocab.Counts, err error) {
	for _, path := range paths {
		c, err := vocab.OpenCounts(path)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = c
		} else if err := all.Merge(c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return all, nil
}

// viewOf returns the checkpoint as a saved plan wants it.
func (f *vocabularyFlags) viewOf(c *checkpoint.Checkpoint, v *plan.Vocabulary) (*checkpoint.Checkpoint, error) {
	if f.given() {
		return nil, errors.New("--vocab-size, --vocab-coverage and --vocab-bytes go into pith plan --save; --plan has them already")
	}
	if v == nil {
		return c, nil
	}
	ids, err := v.IDs()
	if err != nil {
		return nil, err
	}
	m, err := vocab.Open(c)
	if err != nil {
		return nil, err
	}
	if m.Size() != v.SourceTokens {
		return nil, fmt.Errorf("the plan is for a model of %d tokens, and this one has %d", v.SourceTokens, m.Size())
	}
	shown, _, err := m.View(ids)
	return shown, err
}

// tokensLeft says what a plan keeps of the vocabulary.
func tokensLeft(v *plan.Vocabulary) string {
	return fmt.Sprintf("%d of %d tokens, %.4g %% of those counted", v.Tokens, v.SourceTokens, 100*v.Coverage)
}
