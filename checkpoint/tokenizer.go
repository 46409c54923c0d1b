package checkpoint

import (
	"fmt"

	"pith/tokenizer"
)

// Tokenizer reads the checkpoint's tokenizer: from files beside the weights, or from within a GGUF file.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	if g, ok := c.store.(*gguf); ok {
		return g.m.Tokenizer()
	}
	if c.dir == "" {
		return nil, fmt.Errorf("%s: has no tokenizer files beside it", c.Path)
	}
	t, err := tokenizer.OpenDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}
