package eval

import (
	"bytes"
	"fmt"

	"pith/tensor"
	"pith/tokenizer"
)

// mapped shows a base model as if its vocabulary were trimmed to that of the model it is compared with: it is given the trimmed ids, and of its
// logits only those of the kept tokens are looked at, so that its probabilities are those given that the next token is a kept one.
type mapped struct {
	Model
	ids []int32 // trimmed id → its own, rising
}

func (m mapped) own(tokens []int32) ([]int32, error) {
	out := make([]int32, len(tokens))
	for i, id := range tokens {
		if id < 0 || int(id) >= len(m.ids) {
			return nil, fmt.Errorf("token %d at position %d is outside the trimmed vocabulary of %d", id, i, len(m.ids))
		}
		out[i] = m.ids[id]
	}
	return out, nil
}

func (m mapped) CheckTokens(tokens []int32) error {
	own, err := m.own(tokens)
	if err != nil {
		return err
	}
	return m.Model.CheckTokens(own)
}

func (m mapped) Forward(batch [][]int32) tensor.Mat {
	all := make([][]int32, len(batch))
	for i, tokens := range batch {
		var err error
		if all[i], err = m.own(tokens); err != nil {
			panic("eval: token outside the trimmed vocabulary; see CheckTokens")
		}
	}
	return m.Model.Forward(all)
}

func (m mapped) Logits(hidden tensor.Mat) tensor.Mat {
	whole := m.Model.Logits(hidden)
	out := tensor.NewMat(whole.Rows, len(m.ids))
	for r := range whole.Rows {
		from, to := whole.Row(r), out.Row(r)
		for i, id := range m.ids {
			to[i] = from[id]
		}
	}
	return out
}

// trimmedFrom matches a model whose vocabulary was cut from its base's: its ids in the base, by vocab_map.bin or, where there is none (GGUF files), by
// what the tokens stand for. nil: it was not cut from that.
func trimmedFrom(cand, base *Opened) ([]int32, error) {
	n, whole := cand.Tokenizer.Size(), base.Tokenizer.Size()
	if n >= whole || n != cand.Config.Vocab {
		return nil, nil
	}
	ids, err := readVocabMap(cand.Path)
	if err != nil {
		return nil, err
	}
	if ids == nil {
		ids = bySpelling(cand.Tokenizer, base.Tokenizer)
	}
	if len(ids) != n {
		return nil, nil
	}
	for i, id := range ids {
		if int(id) >= min(whole, base.Config.Vocab) || !sameSpelling(cand.Tokenizer, base.Tokenizer, int32(i), id) {
			return nil, nil
		}
	}
	return ids, nil
}

func sameSpelling(a, b *tokenizer.Tokenizer, i, j int32) bool {
	return a.Type(i) == b.Type(j) && bytes.Equal(a.TokenBytes(i), b.TokenBytes(j))
}

// bySpelling finds the tokens of a among those of b, in their order; nil if they are not all there.
func bySpelling(a, b *tokenizer.Tokenizer) []int32 {
	ids := make([]int32, 0, a.Size())
	j := int32(0)
	for i := range int32(a.Size()) {
		for int(j) < b.Size() && !sameSpelling(a, b, i, j) {
			j++
		}
		if int(j) == b.Size() {
			return nil
		}
		ids = append(ids, j)
		j++
	}
	return ids
}

// mappedNote says what a comparison with a mapped base is of.
func mappedNote(cand, base *Opened, text []byte) string {
	o := tokenizer.EncodeOptions{}
	a, b := len(cand.Tokenizer.Encode(string(text), o)), len(base.Tokenizer.Encode(string(text), o))
	return fmt.Sprintf("the vocabulary is %d of the base's %d tokens: KL and agreement are over these, the base's probabilities given one of them; the text has %d tokens, with the base's vocabulary %d",
		cand.Tokenizer.Size(), base.Tokenizer.Size(), a, b)
}
