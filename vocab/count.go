package vocab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"

	"pith/tokenizer"
)

// pieceBytes is about how much of a text is encoded at a time. A text is cut behind line ends that no white space follows: there
// pre-tokenizers cut anyway, and a token that would span a cut is as good as never seen.
const pieceBytes = 1 << 20

// maxPieceBytes bounds a piece of a text without such line ends.
const maxPieceBytes = 16 << 20

// Text counts the tokens of a text as it is read, on several goroutines. Special tokens in it are plain text. The counts depend on the text only.
func Text(ctx context.Context, t *tokenizer.Tokenizer, r io.Reader, workers int) (*Counts, error) {
	c := NewCounts(t)
	pieces := make(chan string)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range max(1, workers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			own := make([]uint64, len(c.Of))
			for p := range pieces {
				for _, id := range t.Encode(p, tokenizer.EncodeOptions{}) {
					own[id]++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for id, n := range own {
				c.Of[id] += n
			}
		}()
	}
	h := sha256.New()
	bytes, err := cutText(io.TeeReader(r, h), func(piece string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		pieces <- piece
		return nil
	})
	close(pieces)
	wg.Wait()
	if err != nil {
		return nil, err
	}
	c.Sources = []Source{{Kind: "text", SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: bytes, Tokens: c.Tokens()}}
	return c, nil
}

// cutText calls yield with the pieces of a text in order.
func cutText(r io.Reader, yield func(piece string) error) (total int64, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var piece []byte
	for {
		line, err := in.ReadSlice('\n')
		piece = append(piece, line...)
		total += int64(len(line))
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF:
			if len(piece) == 0 {
				return total, nil
			}
			return total, yield(string(piece))
		case err != nil:
			return total, err
		}
		if len(piece) < pieceBytes {
			continue
		}
		if next, _ := in.Peek(1); err == nil && len(next) == 1 && next[0] > ' ' || len(piece) >= maxPieceBytes {
			n := len(piece)
			if err != nil {
				n = wholeRunes(piece)
			}
			if err := yield(string(piece[:n])); err != nil {
				return total, err
			}
			piece = append([]byte(nil), piece[n:]...)
		}
	}
}

// wholeRunes is the length of b without a character that its end may have cut.
func wholeRunes(b []byte) int {
	for i := 1; i <= 3 && i <= len(b); i++ {
		if c := b[len(b)-i]; c >= 0xC0 {
			return len(b) - i
		} else if c < 0x80 {
			break
		}
	}
	return len(b)
}
