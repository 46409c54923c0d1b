package llama

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"pith/tokenizer"
)

// Token statistics of a text, so that what a synthetic model generates is as uneven as real text: every token's embedding gets the mean
// shared, which survives all layers, and a row of the head the mean log p / hidden, p being the token's frequency in the text. A token's
// logit then is about log p times the part of the normed states that is shared, plus what the Gaussian weights make of the context.
const (
	shared     = 3     // mean of embeddings; a layer adds something of deviation ½ to 1
	unseen     = 0.1   // what a token that does not occur counts
	headSpread = 0.005 // deviation of the head's weights around their mean
)

// rowMeans returns the mean of the head's weights for each token, by the frequencies in text of the tokenizer in dir.
func rowMeans(dir string, s Shape, text string) ([]float32, error) {
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.FromJSON(data, config)
	if err != nil {
		return nil, err
	}
	counts := make([]float64, s.Vocab)
	for i := range counts {
		counts[i] = unseen
	}
	ids := tok.Encode(text, tokenizer.EncodeOptions{})
	if len(ids) == 0 {
		return nil, fmt.Errorf("the text is empty")
	}
	for _, id := range ids {
		counts[id]++
	}
	means := make([]float32, s.Vocab)
	total := float64(len(ids)) + unseen*float64(s.Vocab)
	for i, c := range counts {
		means[i] = float32(math.Log(c/total) / float64(s.Hidden))
	}
	return means, nil
}

// means returns what changes element i of a tensor from v so that the model has o's token statistics; nil: nothing.
func (o Options) means(w weight) func(v float32, i int64) float32 {
	switch {
	case o.rowMeans == nil:
		return nil
	case w.name == embedding:
		return func(v float32, _ int64) float32 { return v + shared }
	case w.name == head:
		cols := int64(w.shape[1])
		return func(v float32, i int64) float32 { return v*(headSpread/std) + o.rowMeans[i/cols] }
	}
	return nil
}
