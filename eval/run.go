package eval

import (
	"context"
	"errors"

	"pith/tokenizer"
)

// Run evaluates cand on text, and against base in lock-step unless base is nil. tok belongs to both. The result's file sizes and
// subjects are left empty; Files fills them in.
func Run(ctx context.Context, cand, base Model, tok *tokenizer.Tokenizer, text []byte, o Options) (Result, error) {
	protocol, err := ParseProtocol(string(o.Protocol))
	if err != nil {
		return Result{}, err
	}
	length, note, err := protocol.context(o)
	if err != nil {
		return Result{}, err
	}
	if len(text) == 0 {
		return Result{}, errors.New("the text is empty")
	}
	bos, hasBOS := tok.BOS()
	v := vocabulary{bos: bos, hasBOS: hasBOS, addBOS: hasBOS && tok.AddBOS(), bytes: func(id int32) int { return len(tok.TokenBytes(id)) }}
	ids := tok.Encode(string(text), tokenizer.EncodeOptions{AddSpecial: protocol.addSpecial()})
	ws, err := protocol.windows(ids, length, o.Chunks, v)
	if err != nil {
		return Result{}, err
	}
	res, err := evaluate(ctx, cand, base, ws, o)
	if err != nil {
		return Result{}, err
	}
	if protocol == BitsPerByte && res.Tokens == len(ids) {
		// Every token was scored: the text's own length is exact where a tokenizer's pieces are not (added spaces, unknown characters).
		res.BitsPerByte *= float64(res.Bytes) / float64(len(text))
		res.Bytes = len(text)
	}
	res.Protocol, res.Ctx, res.TextSHA256, res.TextTokens = protocol, length, digest(text), len(ids)
	if note != "" {
		res.Notes = append(res.Notes, note)
	}
	return res, nil
}
