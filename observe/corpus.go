package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"pith/calib"
	"pith/checkpoint"
	"pith/model"
	"pith/tokenizer"
)

// Text is one file of a calibration corpus.
type Text struct {
	Name string // for records and errors, without directory
	Data []byte
}

// Windows shorter than minContext would be multiplied by kernels that round activations to int8, as decoding does for speed.
const (
	defaultContext = 512
	minContext     = 16
	maxContext     = 1 << 17
)

// Windows tokenizes texts for a model and cuts them into windows as New does; length and limit 0 are the default length and all windows.
func Windows(ckpt *checkpoint.Checkpoint, texts []Text, length, limit int) ([][]int32, calib.Corpus, error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, calib.Corpus{}, err
	}
	tok, err := ckpt.Tokenizer()
	if err != nil {
		return nil, calib.Corpus{}, err
	}
	if length, err = windowLength(config, length); err != nil {
		return nil, calib.Corpus{}, err
	}
	return cut(tok, texts, length, limit)
}

// sampledBytes is how much of each text Estimate tokenizes.
const sampledBytes = 1 << 16

// Estimate returns about how many tokens New would read of the texts, and the length of its windows, from the beginning of each text.
func Estimate(ckpt *checkpoint.Checkpoint, texts []Text, length, limit int) (tokens int64, window int, err error) {
	config, err := ckpt.Config()
	if err != nil {
		return 0, 0, err
	}
	tok, err := ckpt.Tokenizer()
	if err != nil {
		return 0, 0, err
	}
	if window, err = windowLength(config, length); err != nil {
		return 0, 0, err
	}
	for _, t := range texts {
		if len(t.Data) == 0 {
			continue
		}
		sample := t.Data[:min(sampledBytes, len(t.Data))]
		n := len(tok.Encode(string(sample), tokenizer.EncodeOptions{}))
		tokens += int64(float64(n) * float64(len(t.Data)) / float64(len(sample)))
	}
	if limit > 0 {
		tokens = min(tokens, int64(limit)*int64(window))
	}
	return tokens, window, nil
}

// windowLength returns the window length that was asked for, or the default.
func windowLength(c model.Config, asked int) (int, error) {
	n := asked
	if n == 0 {
		n = defaultContext
		if c.MaxPositions > 0 {
			n = min(n, c.MaxPositions)
		}
	}
	switch {
	case n < minContext || n > maxContext:
		return 0, fmt.Errorf("windows of %d tokens: use a context of %d to %d", n, minContext, maxContext)
	case c.LearnedPositions && n > c.MaxPositions:
		return 0, fmt.Errorf("windows of %d tokens, and the model has embeddings for %d positions: use a shorter context", n, c.MaxPositions)
	}
	return n, nil
}

// tooShort says that no text fills a window.
func tooShort(c calib.Corpus) error {
	longest := calib.File{}
	for _, f := range c.Files {
		if f.Tokens >= longest.Tokens {
			longest = f
		}
	}
	which := longest.Name
	if len(c.Files) > 1 {
		which = fmt.Sprintf("the longest of %d texts, %s,", len(c.Files), which)
	}
	return fmt.Errorf("%s has %d tokens and a window %d: use more text or a shorter context", which, longest.Tokens, c.Context)
}

// cut tokenizes texts, each with the tokenizer's special tokens, and cuts each into windows of length tokens from its beginning; what is
// left at its end is not read. The first token of a window is overwritten by BOS if the tokenizer puts one in front of texts. This is
// what llama.cpp's llama-imatrix does. limit > 0 keeps that many windows: of each text its first ones, in proportion to what it has.
func cut(tok *tokenizer.Tokenizer, texts []Text, length, limit int) ([][]int32, calib.Corpus, error) {
	bos, hasBOS := tok.BOS()
	corpus := calib.Corpus{Context: length, BOS: hasBOS && tok.AddBOS()}
	ids := make([][]int32, len(texts))
	total := 0
	for i, t := range texts {
		ids[i] = tok.Encode(string(t.Data), tokenizer.EncodeOptions{AddSpecial: true})
		sum := sha256.Sum256(t.Data)
		corpus.Files = append(corpus.Files, calib.File{Name: t.Name, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(t.Data)), Tokens: int64(len(ids[i]))})
		total += len(ids[i]) / length
	}
	if total == 0 {
		return nil, corpus, tooShort(corpus)
	}
	if limit <= 0 || limit > total {
		limit = total
	}
	var windows [][]int32
	seen := 0
	for i := range ids {
		before := seen * limit / total
		seen += len(ids[i]) / length
		for w := range seen*limit/total - before {
			window := ids[i][w*length : (w+1)*length : (w+1)*length]
			if corpus.BOS {
				window[0] = bos
			}
			windows = append(windows, window)
		}
		corpus.Files[i].Windows = seen*limit/total - before
	}
	corpus.Windows = len(windows)
	corpus.Tokens = int64(len(windows)) * int64(length)
	return windows, corpus, nil
}
