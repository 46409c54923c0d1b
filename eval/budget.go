package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"pith/checkpoint"
)

// Budget bounds the size of a stack (checkpoint.Stack): the bytes of the prefix of its file that is used, or those of so many bits for each weight
// of the model. The zero value is all that the file holds.
type Budget struct {
	Bytes         int64
	BitsPerWeight float64
}

func (b Budget) none() bool { return b == Budget{} }

// apply makes the checkpoint use the largest prefix within the budget.
func (b Budget) apply(c *checkpoint.Checkpoint) error {
	if b.none() {
		return nil
	}
	s := c.Stack()
	if s == nil {
		return fmt.Errorf("%s: %w", c.Path, checkpoint.ErrNoStack)
	}
	blocks, err := b.blocks(s, c.NumWeights())
	if err != nil {
		return err
	}
	_, err = s.Resize(blocks)
	return err
}

// blocks returns the blocks of s within the budget.
func (b Budget) blocks(s *checkpoint.Stack, weights int64) (int, error) {
	bytes := b.Bytes
	if b.BitsPerWeight > 0 {
		bytes = int64(b.BitsPerWeight * float64(weights) / 8)
	}
	if b.none() {
		return s.Blocks(), nil
	}
	return s.Within(bytes)
}

// Resized says what SetBudget did.
type Resized struct {
	Before, Blocks int   // in use before and now
	Bytes          int64 // of the file's prefix that is in use now
	Read           int64 // bytes that were read
	Seconds        float64
}

// SetBudget makes the model larger or smaller, between passes: of a larger one the blocks that are new are read, and no others, and of a smaller one those
// that are too many are let go. Sessions go on. The model must have been opened from a stack. On an error nothing changes.
func (o *Opened) SetBudget(b Budget) (Resized, error) {
	if o.stack == nil {
		return Resized{}, fmt.Errorf("%s: %w", o.Path, checkpoint.ErrNoStack)
	}
	o.sizing.Lock()
	defer o.sizing.Unlock()
	start := time.Now()
	r := Resized{Before: o.stack.InUse()}
	blocks, err := b.blocks(o.stack, o.Parameters)
	if err != nil {
		return r, err
	}
	changed, err := o.stack.Resize(blocks)
	if err != nil {
		return r, err
	}
	if _, err := o.Model.SetTerms(changed); err != nil {
		return r, errors.Join(fmt.Errorf("%s: %w", o.Path, err), o.back(r.Before))
	}
	r.Blocks, r.Bytes = blocks, o.stack.BytesOf(blocks)
	r.Read = max(0, r.Bytes-o.stack.BytesOf(r.Before))
	r.Seconds = time.Since(start).Seconds()
	o.Bytes += r.Bytes - o.stack.BytesOf(r.Before)
	return r, nil
}

// back makes the stack hold what the model does.
func (o *Opened) back(blocks int) error {
	_, err := o.stack.Resize(blocks)
	return err
}

// Stack returns the stack that the model was opened from, nil if it was none.
func (o *Opened) Stack() *checkpoint.Stack { return o.stack }

// identifyPrefix is Identify of a stack: the prefix that is in use stands for the file.
func (o *Opened) identifyPrefix(ctx context.Context) error {
	f, err := os.Open(o.files[0])
	if err != nil {
		return err
	}
	defer f.Close()
	o.FileBytes = o.stack.BytesOf(o.stack.InUse())
	h := sha256.New()
	if _, err := io.CopyN(h, f, o.FileBytes); err != nil {
		return fmt.Errorf("%s: %w", o.files[0], err)
	}
	o.SHA256 = hex.EncodeToString(h.Sum(nil))
	return ctx.Err()
}
