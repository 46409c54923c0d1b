package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"pith/calib"
	"pith/formats"
	"pith/internal/lock"
	"pith/model"
	"pith/tokenizer"
)

// SampleOptions say what a model writes of itself.
type SampleOptions struct {
	Tokens   int // to be written, at least; the last text is whole
	Length   int // tokens of one text, at most; 0: 512, or as many as the model's positions allow
	Draw     model.Sampling
	Workers  int
	Progress func(done, of int) // tokens; may be nil
}

// Sampled is what was written.
type Sampled struct {
	Texts   int   `json:"texts"`
	Tokens  int   `json:"tokens"`
	Bytes   int64 `json:"bytes"`
	Resumed int   `json:"resumed_texts"` // that an earlier run had finished
}

const (
	sampleLength = 512
	sampleBatch  = 4   // texts that are written, and kept, at a time, if there are no more workers
	emptyTexts   = 100 // in a row: the model writes nothing
)

// WriteSample saves to path texts that m draws, each from nothing but the token that begins a text: what the network itself holds for likely, to calibrate
// on where there is no text of the kind that it will read (as Williams, Chrysostomou and Aletras, arXiv 2410.17170, and for training Liu et al., arXiv
// 2305.17888). A text ends at an end-of-text token or at its length, and is followed by a newline. m, of identity id, should use one worker. Finished texts are kept in path+".work": whatever stops
// WriteSample, the same call goes on, with the same bytes in the end for any number of workers.
func WriteSample(ctx context.Context, m *model.Model, t *tokenizer.Tokenizer, id calib.Model, path string, o SampleOptions) (s Sampled, err error) {
	if o, err = completeSample(m, o); err != nil {
		return s, err
	}
	first, err := firstToken(m, t)
	if err != nil {
		return s, err
	}
	if err := formats.CheckFileName(path); err != nil {
		return s, err
	}
	if _, err := os.Lstat(path); err == nil {
		return s, fmt.Errorf("%s: exists; remove it or choose another output", path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", path, formats.WithRemedy(err))
	}
	dir, err := lock.TakeDir(path + ".work")
	if errors.Is(err, lock.ErrHeld) {
		return s, fmt.Errorf("%s: another run is writing this; wait for it, or choose another file", path)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, formats.WithRemedy(err))
	}
	defer dir.Release(true)
	kept, err := openSampleLog(filepath.Join(path+".work", "texts.jsonl"), sampleHead{id, o.Length, o.Draw})
	if err != nil {
		return s, err
	}
	defer kept.close()
	s.Resumed = len(kept.texts)
	g := model.GenerateOptions{Sample: o.Draw, MaxTokens: o.Length, Stop: stopTokens(m, t)}
	for s.Tokens < o.Tokens {
		if s.Texts == len(kept.texts) {
			g.Sample.Seed = o.Draw.Seed + uint64(s.Texts)
			prompts := slices.Repeat([][]int32{{first}}, max(sampleBatch, o.Workers))
			written, err := model.Continuations(ctx, m, prompts, g, o.Workers)
			if err != nil {
				if ctx.Err() != nil {
					err = fmt.Errorf("%w: %d texts are finished; run the same command again to resume", ErrInterrupted, len(kept.texts))
				}
				return s, err
			}
			if err := kept.add(t, written); err != nil {
				return s, fmt.Errorf("%s: %w", kept.path, formats.WithRemedy(err))
			}
		}
		s.Tokens += kept.texts[s.Texts].Tokens
		if s.Texts++; s.Texts >= emptyTexts && s.Tokens == 0 {
			return s, fmt.Errorf("%s: the model ends each of %d texts at once; calibrate on texts from elsewhere", path, s.Texts)
		}
		if o.Progress != nil {
			o.Progress(min(s.Tokens, o.Tokens), o.Tokens)
		}
	}
	err = formats.WriteFileAtomic(path, func(w io.Writer) error {
		for _, text := range kept.texts[:s.Texts] {
			n, err := io.WriteString(w, text.Text+"\n")
			if s.Bytes += int64(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = kept.remove()
	}
	s.Resumed = min(s.Resumed, s.Texts)
	return s, err
}

// completeSample returns o with its defaults.
func completeSample(m *model.Model, o SampleOptions) (SampleOptions, error) {
	if o.Tokens < 1 || o.Length < 0 {
		return o, errors.New("the numbers of tokens, in all and of a text, must be above zero")
	}
	if o.Draw.Temperature == 0 {
		return o, errors.New("at temperature 0 all texts are the same: choose one above it, 1 for what the model holds for likely")
	}
	if o.Length == 0 {
		o.Length = sampleLength
	}
	if limit := m.Config().MaxPositions; limit > 0 {
		o.Length = max(1, min(o.Length, limit-1))
	}
	return o, o.Draw.Check()
}

// firstToken returns the token that texts begin with: BOS, or, of models without, the one that ends the text before.
func firstToken(m *model.Model, t *tokenizer.Tokenizer) (int32, error) {
	if bos, ok := t.BOS(); ok && m.CheckTokens([]int32{bos}) == nil {
		return bos, nil
	}
	if stop := stopTokens(m, t); len(stop) > 0 {
		return stop[0], nil
	}
	return 0, errors.New("the model has no token that texts begin or end with, to draw texts from; calibrate on texts from elsewhere")
}

// stopTokens returns the tokens that end a text: those that the config names and the tokenizer's, as far as the model has them.
func stopTokens(m *model.Model, t *tokenizer.Tokenizer) []int32 {
	stop := slices.Clone(m.Config().EOS)
	if eos, ok := t.EOS(); ok && !slices.Contains(stop, eos) {
		stop = append(stop, eos)
	}
	return slices.DeleteFunc(stop, func(id int32) bool { return m.CheckTokens([]int32{id}) != nil })
}
