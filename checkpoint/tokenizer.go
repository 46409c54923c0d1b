package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"pith/tokenizer"
)

// VocabName is the file that holds the tokenizer of an artifact made from a GGUF file: tokenizer.Vocab as JSON.
const VocabName = "tokenizer.vocab.json"

// VocabMapName is the file beside a model with a trimmed vocabulary that says which tokens of the original it has: uint32 little-endian,
// one for each id in order, rising.
const VocabMapName = "vocab_map.bin"

// Tokenizer reads the checkpoint's tokenizer: of a directory its files, of a GGUF file its metadata.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	if c.files != nil {
		contents, err := c.ConfigContents()
		if err != nil {
			return nil, err
		}
		return tokenizerOf(c.Path, contents)
	}
	if g, ok := c.source().(*gguf); ok {
		return g.m.Tokenizer()
	}
	if s := c.Stack(); s != nil {
		return s.tokenizer()
	}
	path := filepath.Join(c.dir, VocabName)
	data, err := readBounded(path, maxManifest)
	if errors.Is(err, os.ErrNotExist) {
		t, err := tokenizer.OpenDir(c.dir)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	return fromVocab(path, data)
}

// fromVocab makes a tokenizer of a file that configContents wrote.
func fromVocab(path string, data []byte) (*tokenizer.Tokenizer, error) {
	var v tokenizer.Vocab
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("%s: not a vocabulary (%w); compress again", path, err)
	}
	t, err := tokenizer.FromVocab(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// tokenizer makes a tokenizer of the files in a stack.
func (s *Stack) tokenizer() (*tokenizer.Tokenizer, error) {
	contents, err := s.contents()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, c := range contents {
		if c.Name == VocabName {
			return fromVocab(s.path, c.Data)
		}
		files[c.Name] = c.Data
	}
	t, err := tokenizer.FromFiles(s.path, files)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

// configContents gives a GGUF file's config and vocabulary as files. A file without a tokenizer gives none.
func (g *gguf) configContents() ([]ConfigContent, error) {
	all := []ConfigContent{{"config.json", append(g.m.ConfigJSON(), '\n')}}
	t, err := g.m.Tokenizer()
	if err != nil {
		return all, nil // the model can be compressed all the same; whoever asks for its tokenizer is told why there is none
	}
	v := t.Vocab()
	for i, piece := range v.Tokens {
		if !utf8.ValidString(piece) {
			return nil, fmt.Errorf("%s: token %d is not UTF-8 (%q), so it cannot be stored; compress the checkpoint the file was made from", g.Files()[0], i, piece)
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: vocabulary: %w", g.Files()[0], err)
	}
	return append(all, ConfigContent{VocabName, append(data, '\n')}), nil
}
