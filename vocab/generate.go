package vocab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"pith/model"
	"pith/tokenizer"
)

// Generating says how a model writes what is counted.
type Generating struct {
	Tokens  int            // to count, at least 1
	Each    int            // at most, after one prompt; 0: 256
	Prompt  int            // tokens of a prompt; 0: 64
	Sample  model.Sampling // Seed, raised by one for each prompt; temperature 0 repeats itself soon
	Drafted bool           // the model is the drafter of the one whose tokens are counted
}

// Generated counts what a model writes after the beginnings of windows spread over a text: for a drafter's head, tokens that the target writes are the
// best guide, then the drafter's own, then text (VocabTrim, arXiv 2506.22694). The model should use one worker: several prompts run at a time.
// The counts do not depend on how many.
func Generated(ctx context.Context, m *model.Model, t *tokenizer.Tokenizer, text []byte, g Generating, workers int) (*Counts, error) {
	if g.Tokens < 1 {
		return nil, errors.New("the number of tokens to generate is not positive")
	}
	if g.Each == 0 {
		g.Each = 256
	}
	if g.Prompt == 0 {
		g.Prompt = 64
	}
	if limit := m.Config().MaxPositions; limit > 0 {
		g.Prompt = max(1, min(g.Prompt, limit/2))
		g.Each = max(1, min(g.Each, limit-g.Prompt))
	}
	ids := t.Encode(string(text), tokenizer.EncodeOptions{})
	if len(ids) < g.Prompt {
		return nil, errors.New("the text is shorter than one prompt; give a longer one")
	}
	c := NewCounts(t)
	bos, hasBOS := t.BOS()
	runs := (g.Tokens + g.Each - 1) / g.Each
	prompts := make([][]int32, runs)
	for run := range prompts {
		at := int(int64(len(ids)-g.Prompt) * int64(run) / int64(runs))
		prompts[run] = ids[at : at+g.Prompt : at+g.Prompt]
		if hasBOS && t.AddBOS() {
			prompts[run] = append([]int32{bos}, prompts[run][1:]...)
		}
	}
	written, err := model.Continuations(ctx, m, prompts, model.GenerateOptions{Sample: g.Sample, MaxTokens: g.Each}, workers)
	if err != nil {
		return nil, err
	}
	last := written[runs-1]
	written[runs-1] = last[:min(len(last), g.Tokens-(runs-1)*g.Each)]
	for _, own := range written {
		for _, id := range own {
			if int(id) < len(c.Of) {
				c.Of[id]++
			}
		}
	}
	sum := sha256.Sum256(text)
	kind := "generated"
	if g.Drafted {
		kind = "drafted"
	}
	c.Sources = []Source{{Kind: kind, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(text)), Tokens: c.Tokens(), Seed: g.Sample.Seed}}
	return c, nil
}
