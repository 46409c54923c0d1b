package eval

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pith/checkpoint"
	"pith/model"
	"pith/tokenizer"
)

// Pair is a target and a draft that proposes tokens of the target's vocabulary.
type Pair struct {
	Target, Draft *Opened
	ids           []int32             // the target's ids of the rows of the draft's head; nil: as the model says
	read          func(int32) []int32 // the draft's ids for a token of the target; nil: the same
}

// vocabMap is the file beside a model whose vocabulary was trimmed.
const vocabMap = checkpoint.VocabMapName

// OpenPair opens two models and matches their vocabularies: they must be the same, or the draft's be cut from the target's.
func OpenPair(target, draft string, workers int) (*Pair, error) {
	t, err := Open(target, workers)
	if err != nil {
		return nil, err
	}
	return t.WithDraft(draft, workers)
}

// WithDraft opens a draft for a model.
func (o *Opened) WithDraft(path string, workers int) (*Pair, error) {
	d, err := Open(path, workers)
	if err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	if o.Model.DraftIDs() != nil {
		return nil, fmt.Errorf("%s: is a draft model: its head knows %d of %d tokens; it can be a draft, not a target", o.Path, o.Config.DraftVocab, o.Config.Vocab)
	}
	p := &Pair{Target: o, Draft: d}
	trimmed, err := readVocabMap(path)
	switch {
	case err != nil:
		return nil, err
	case trimmed != nil:
		err = p.translate(trimmed)
	default:
		err = p.compare()
	}
	return p, err
}

// compare checks that two vocabularies are one. Rows that are there to fill up a matrix may differ in number.
func (p *Pair) compare() error {
	t, d := p.Target, p.Draft
	for id := range int32(max(t.Tokenizer.Size(), d.Tokenizer.Size())) {
		if err := sameToken(t, d, id, id); err != nil {
			return err
		}
	}
	if d.Config.Vocab < t.Config.Vocab {
		p.read = func(id int32) []int32 {
			if int(id) < d.Config.Vocab {
				return []int32{id}
			}
			return nil
		}
	}
	if d.Config.DraftVocab == 0 && d.Config.Vocab > t.Config.Vocab {
		d.Model = d.Model.FirstRows(t.Config.Vocab)
	}
	return nil
}

// sameToken returns an error unless token id of the target is token own of the draft.
func sameToken(t, d *Opened, id, own int32) error {
	a, b := t.Tokenizer.TokenBytes(id), d.Tokenizer.TokenBytes(own)
	if string(a) == string(b) && t.Tokenizer.Type(id) == d.Tokenizer.Type(own) {
		return nil
	}
	return fmt.Errorf("%s cannot draft for %s: its vocabulary is another one (its token %d is %q, the target's token %d is %q); use a draft with the target's tokenizer, or one trimmed from it with its %s",
		d.Path, t.Path, own, b, id, a, vocabMap)
}

// readVocabMap returns the map beside a model in a directory; nil if there is none.
func readVocabMap(path string) ([]int32, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil, nil // a missing path was an error before
	}
	file := filepath.Join(path, vocabMap)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(data) == 0 || len(data)%4 != 0 {
		return nil, fmt.Errorf("%s: %d bytes; entries of 4 bytes are expected", file, len(data))
	}
	ids := make([]int32, len(data)/4)
	for i := range ids {
		id := binary.LittleEndian.Uint32(data[4*i:])
		if id >= 1<<31 || i > 0 && int32(id) <= ids[i-1] {
			return nil, fmt.Errorf("%s: entry %d is %d; ids must rise", file, i, id)
		}
		ids[i] = int32(id)
	}
	return ids, nil
}

// translate matches a draft whose token i is token trimmed[i] of the target. What it lacks it reads in pieces, if they spell the same.
func (p *Pair) translate(trimmed []int32) error {
	t, d := p.Target, p.Draft
	if len(trimmed) != d.Config.Vocab {
		return fmt.Errorf("%s: %s has %d entries for a vocabulary of %d", d.Path, vocabMap, len(trimmed), d.Config.Vocab)
	}
	own := make([][]int32, t.Config.Vocab)
	for i, id := range trimmed {
		if int(id) >= t.Config.Vocab {
			return fmt.Errorf("%s: %s speaks of token %d, and %s has %d: it was not cut from this target's vocabulary", d.Path, vocabMap, id, t.Path, t.Config.Vocab)
		}
		if err := sameToken(t, d, id, int32(i)); err != nil {
			return err
		}
		own[id] = []int32{int32(i)}
	}
	for id := range own {
		if own[id] == nil {
			own[id] = piecesOf(d.Tokenizer, string(t.Tokenizer.TokenBytes(int32(id))))
		}
	}
	p.read = func(id int32) []int32 { return own[id] }
	p.ids = trimmed
	if rows := d.Model.DraftIDs(); rows != nil {
		p.ids = make([]int32, len(rows))
		for i, row := range rows {
			p.ids[i] = trimmed[row]
		}
	}
	return nil
}

// piecesOf returns tokens that together spell text; nil if there are none.
func piecesOf(tok *tokenizer.Tokenizer, text string) []int32 {
	ids := tok.Encode(text, tokenizer.EncodeOptions{})
	var spelled []byte
	for _, id := range ids {
		spelled = append(spelled, tok.TokenBytes(id)...)
	}
	if string(spelled) != text {
		return nil
	}
	return ids
}

// draft returns a draft with an empty session for n tokens, and of the head only some rows unless rows is nil.
func (p *Pair) draft(n int, rows []int32) model.Draft {
	if p.read != nil {
		n += n / 2 // tokens in pieces
	}
	if p.Draft.Config.MaxPositions > 0 {
		n = min(n, p.Draft.Config.MaxPositions)
	}
	return model.Draft{Session: p.Draft.Model.NewSession(n), IDs: p.ids, Read: p.read, Rows: rows}
}

// tokensOfRows returns the target's ids of the rows of the draft's head.
func (p *Pair) tokensOfRows() []int32 {
	if p.ids != nil {
		return p.ids
	}
	if ids := p.Draft.Model.DraftIDs(); ids != nil {
		return ids
	}
	ids := make([]int32, p.Draft.Model.Config().HeadRows())
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}
