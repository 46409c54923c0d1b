package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pith/model"
	"pith/tokenizer"
)

// Generation says what to generate.
type Generation struct {
	Prompt   string
	Tokens   int // at most
	Sampling model.Sampling
	Emit     func(text string) error // called with text as it is made, whole characters; may be nil

	Draft       *Pair // with a draft for this model; nil: without
	DraftLength int   // tokens that it proposes at a time; 0: model.DefaultDraft
	Adaptive    bool  // as model.SpeculateOptions says
}

// Generated is what Generate made.
type Generated struct {
	Prompt          string  `json:"prompt"`
	Text            string  `json:"text"` // without the prompt
	IDs             []int32 `json:"ids"`
	Stop            string  `json:"stop"` // "length" as asked for, "end" of text, or "context": the model's positions are used up
	PromptTokens    int     `json:"prompt_tokens"`
	Tokens          int     `json:"tokens"`
	PromptSeconds   float64 `json:"prompt_seconds"` // until the first token
	Seconds         float64 `json:"seconds"`        // after the first token
	TokensPerSecond float64 `json:"tokens_per_second"`

	Draft *model.Speculation `json:"draft,omitempty"` // how the draft's proposals did
	Atoms *model.Choice      `json:"atoms,omitempty"` // how combinations of atoms were multiplied, where that was asked for
}

// Generate continues a prompt with a KV cache, multiplying by the packed weights.
func (o *Opened) Generate(ctx context.Context, g Generation) (Generated, error) {
	ids, err := o.promptIDs(g.Prompt)
	if err != nil {
		return Generated{}, err
	}
	r := Generated{Prompt: g.Prompt, PromptTokens: len(ids), Stop: "end"}
	if g.Tokens < 1 {
		r.Stop = "length"
		return r, nil
	}
	room := g.Tokens
	if o.Config.MaxPositions > 0 {
		room = min(room, o.Config.MaxPositions-len(ids))
	}
	if room < 1 {
		return r, fmt.Errorf("the prompt has %d tokens and the model a context of %d: give a shorter prompt", len(ids), o.Config.MaxPositions)
	}
	stop := slices.Clone(o.Config.EOS)
	if eos, ok := o.Tokenizer.EOS(); ok {
		stop = append(stop, eos)
	}
	start := time.Now()
	first := start
	var text strings.Builder
	var failed error
	decoder := o.Tokenizer.NewDecoder()
	for _, id := range ids {
		decoder.Next(id) // so that a space between prompt and answer stays
	}
	decoder.Flush()
	emit := func(s string) bool {
		text.WriteString(s)
		if g.Emit != nil && s != "" {
			failed = g.Emit(s)
		}
		return failed == nil
	}
	each := func(id int32) bool {
		if len(r.IDs) == 0 {
			first = time.Now()
		}
		r.IDs = append(r.IDs, id)
		return emit(decoder.Next(id))
	}
	options := model.GenerateOptions{Sample: g.Sampling, MaxTokens: room, Stop: stop}
	if session := o.Model.NewSession(len(ids) + room); g.Draft == nil {
		_, err = model.Generate(ctx, session, ids, options, each)
	} else {
		r.Draft = new(model.Speculation)
		*r.Draft, err = model.Speculate(ctx, session, g.Draft.draft(len(ids)+room, nil), ids,
			model.SpeculateOptions{GenerateOptions: options, Length: g.DraftLength, Adaptive: g.Adaptive}, each)
	}
	emit(decoder.Flush())
	r.Text, r.Tokens = text.String(), len(r.IDs)
	r.PromptSeconds, r.Seconds = first.Sub(start).Seconds(), time.Since(first).Seconds()
	switch r.Tokens {
	case g.Tokens:
		r.Stop = "length"
	case room:
		r.Stop = "context"
	}
	if r.Tokens > 1 && r.Seconds > 0 {
		r.TokensPerSecond = float64(r.Tokens-1) / r.Seconds
	}
	return r, errors.Join(err, failed)
}

// promptIDs returns the tokens of a prompt: with BOS if the tokenizer adds it, without an EOS.
func (o *Opened) promptIDs(prompt string) ([]int32, error) {
	ids := o.Tokenizer.Encode(prompt, tokenizer.EncodeOptions{AddSpecial: true})
	if eos, ok := o.Tokenizer.EOS(); ok && o.Tokenizer.AddEOS() && len(ids) > 0 && ids[len(ids)-1] == eos {
		ids = ids[:len(ids)-1]
	}
	if len(ids) > 0 {
		return ids, nil
	}
	bos, ok := o.Tokenizer.BOS()
	if !ok {
		return nil, errors.New("the prompt is empty and the model has no token to begin a text with: give --prompt")
	}
	return []int32{bos}, nil
}
