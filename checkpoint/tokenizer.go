package checkpoint

import (
	"fmt"

	"pith/tokenizer"
)

// Tokenizer reads the checkpoint's tokenizer.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	if c.dir == "" {
		return nil, fmt.Errorf("%s: has no tokenizer files beside it", c.Path)
	}
	t, err := tokenizer.OpenDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}
