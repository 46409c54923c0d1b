package model

import (
	"context"
	"fmt"
	"slices"
)

// GenerateOptions say how a continuation is made.
type GenerateOptions struct {
	Sample    Sampling
	MaxTokens int     // to generate; 0: as many as the session holds
	Stop      []int32 // tokens that end generation; nil: the config's EOS
}

// Generate feeds prompt to session and calls each with one new token at a time, until a stop token (which is not passed on),
// MaxTokens, the end of the session's cache, or each returns false. It returns the number of tokens generated and ctx's error if
// that ended it.
func Generate(ctx context.Context, session *Session, prompt []int32, o GenerateOptions, each func(token int32) bool) (int, error) {
	if err := o.Sample.Check(); err != nil {
		return 0, err
	}
	if o.MaxTokens < 0 {
		return 0, fmt.Errorf("max tokens %d: expected 0 (as many as fit) or more", o.MaxTokens)
	}
	if o.Stop == nil {
		o.Stop = session.m.config.EOS
	}
	logits, err := session.Feed(prompt)
	if err != nil {
		return 0, err
	}
	sampler := NewSampler(o.Sample)
	next := make([]int32, 1)
	for n := 0; ; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		next[0] = sampler.Next(logits)
		if session.m.draftIDs != nil {
			next[0] = session.m.draftIDs[next[0]]
		}
		if slices.Contains(o.Stop, next[0]) {
			return n, nil
		}
		n++
		if !each(next[0]) || n == o.MaxTokens || session.Len() == session.Max() {
			return n, nil
		}
		if logits, err = session.Feed(next); err != nil {
			return n, err
		}
	}
}
