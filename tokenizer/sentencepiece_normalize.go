package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// spNormalizer is SentencePiece's own normalization: a table of longest-match replacements, then white space.
type spNormalizer struct {
	charsmapBytes []byte
	charsmap      *charsmap // nil: identity
	dummyPrefix   bool      // a space in front
	removeExtra   bool      // no leading, trailing or doubled spaces
	escape        bool      // spaces become U+2581
	userDefined   *trie     // pieces that are never rewritten
}

// prefix returns the normalized form of the first character (or rule, or user-defined piece) and its input length.
func (n *spNormalizer) prefix(s string) (string, int) {
	if length := n.userDefined.longest(s); length > 0 {
		return s[:length], length
	}
	if n.charsmap != nil {
		if to, length := n.charsmap.longest(s); length > 0 {
			return to, length
		}
	}
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size == 1 {
		return "\ufffd", 1
	}
	return s[:size], size
}

func (n *spNormalizer) normalize(s string) string {
	for n.removeExtra && s != "" {
		to, length := n.prefix(s)
		if to != " " {
			break
		}
		s = s[length:]
	}
	if s == "" {
		return ""
	}
	space := " "
	if n.escape {
		space = spaceMark
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/2 + len(space))
	if n.dummyPrefix {
		b.WriteString(space)
	}
	afterSpace := n.removeExtra
	for s != "" {
		to, length := n.prefix(s)
		s = s[length:]
		if afterSpace {
			to = strings.TrimLeft(to, " ")
		}
		if to != "" {
			for i := 0; i < len(to); i++ {
				if to[i] == ' ' {
					b.WriteString(space)
				} else {
					b.WriteByte(to[i])
				}
			}
			afterSpace = strings.HasSuffix(to, " ")
		}
		afterSpace = afterSpace && n.removeExtra
	}
	out := b.String()
	if n.removeExtra {
		for strings.HasSuffix(out, space) {
			out = out[:len(out)-len(space)]
		}
	}
	return out
}
