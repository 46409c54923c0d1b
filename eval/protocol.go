package eval

import (
	"fmt"
	"strings"
)

// Protocol is how a text becomes windows and which positions are scored. Figures of different protocols are not comparable.
type Protocol string

// The protocols.
const (
	// LlamaCpp is llama.cpp's llama-perplexity: the text with its special tokens is cut into windows of ctx (512); the first token of each
	// is overwritten by BOS if the tokenizer adds one; the predictions made at positions ctx/2 … ctx-2 are scored.
	LlamaCpp Protocol = "llamacpp"
	// GPTQ is the GPTQ paper's (Frantar et al., 2022, arXiv 2210.17323; its published code): the text with its special tokens is cut into
	// windows of ctx (2048, or the model's context); all ctx-1 predictions inside a window are scored; perplexity is the exponential of the
	// mean of window means.
	GPTQ Protocol = "gptq"
	// BitsPerByte scores every token of the text exactly once: windows of ctx-1 (511) text tokens, BOS in front of each. A tokenizer without BOS
	// gets the token before the window instead, so that only the very first token of the text goes unscored.
	BitsPerByte Protocol = "bpb"
)

// Protocols lists all protocols.
func Protocols() []Protocol { return []Protocol{LlamaCpp, GPTQ, BitsPerByte} }

// ParseProtocol returns the protocol called name; empty means LlamaCpp.
func ParseProtocol(name string) (Protocol, error) {
	if name == "" {
		return LlamaCpp, nil
	}
	var known []string
	for _, p := range Protocols() {
		if string(p) == name {
			return p, nil
		}
		known = append(known, string(p))
	}
	return "", fmt.Errorf("unknown protocol %q: use one of %s", name, strings.Join(known, ", "))
}

// addSpecial reports whether the text is tokenized with the tokenizer's BOS in front.
func (p Protocol) addSpecial() bool { return p != BitsPerByte }

// maxWindow bounds the tokens of a window: attention's cost grows with its square, and no model is evaluated beyond it.
const maxWindow = 1 << 17

// context returns the window length that o asks for, and a note if it is not the protocol's own.
func (p Protocol) context(o Options) (ctx int, note string, err error) {
	ctx = o.Ctx
	if ctx == 0 {
		ctx = 512
		if p == GPTQ {
			ctx = 2048
		}
		// llama-perplexity runs past the training context with a warning, and its figure is what llamacpp must equal.
		if o.MaxCtx > 0 && ctx > o.MaxCtx && p != LlamaCpp {
			note = fmt.Sprintf("windows of %d tokens, the model's context, instead of %d", o.MaxCtx, ctx)
			ctx = o.MaxCtx
		}
	}
	if ctx < 4 {
		return 0, "", fmt.Errorf("a window of %d tokens is too short: use --ctx 4 or more", ctx)
	}
	if ctx > maxWindow {
		return 0, "", fmt.Errorf("a window of %d tokens is too long: use --ctx %d or less", ctx, maxWindow)
	}
	if o.MaxCtx > 0 && ctx > o.MaxCtx {
		note = fmt.Sprintf("windows of %d tokens are longer than the model's context of %d", ctx, o.MaxCtx)
	}
	return ctx, note, nil
}

// window is one independent sequence: tokens go in, and the prediction made at each position p ≥ first is scored against targets[p].
type window struct {
	tokens, targets []int32
	bytes           []int // bytes of text that targets[p] stands for
	first           int
	start           int // index in the text's tokens of targets[0]
}

// vocabulary is what windows are made of.
type vocabulary struct {
	bos    int32
	hasBOS bool // there is a BOS token
	addBOS bool // the tokenizer puts it in front of a text
	bytes  func(id int32) int
}

// windows cuts ids as p says. chunks > 0 keeps the first chunks windows only.
func (p Protocol) windows(ids []int32, ctx, chunks int, v vocabulary) ([]window, error) {
	need := ctx
	switch p {
	case LlamaCpp:
		need = 2 * ctx
	case BitsPerByte:
		need = 2
	}
	if len(ids) < need {
		return nil, fmt.Errorf("the text has %d tokens, protocol %s needs at least %d with windows of %d: use a longer text or a smaller --ctx", len(ids), p, need, ctx)
	}
	var ws []window
	if p == BitsPerByte {
		ws = v.everyToken(ids, ctx)
	} else {
		for start := 0; start+ctx <= len(ids); start += ctx {
			w := window{tokens: ids[start : start+ctx-1], targets: ids[start+1 : start+ctx], start: start + 1}
			if p == LlamaCpp {
				w.first = ctx / 2
				if v.addBOS {
					w.tokens = append([]int32{v.bos}, w.tokens[1:]...)
				}
			}
			ws = append(ws, w)
		}
	}
	if chunks > 0 && chunks < len(ws) {
		ws = ws[:chunks]
	}
	for i := range ws {
		ws[i].bytes = make([]int, len(ws[i].targets))
		for j, id := range ws[i].targets {
			ws[i].bytes[j] = v.bytes(id)
		}
	}
	return ws, nil
}

// everyToken cuts ids into windows of ctx-1 targets such that each token is a target once.
func (v vocabulary) everyToken(ids []int32, ctx int) []window {
	var ws []window
	start := 0
	if !v.hasBOS {
		start = 1
	}
	for ; start < len(ids); start += ctx - 1 {
		targets := ids[start:min(start+ctx-1, len(ids))]
		var before int32
		if v.hasBOS {
			before = v.bos
		} else {
			before = ids[start-1]
		}
		tokens := append([]int32{before}, targets[:len(targets)-1]...)
		ws = append(ws, window{tokens: tokens, targets: targets, start: start})
	}
	return ws
}
