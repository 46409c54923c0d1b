package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before the model sees it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LStrip     bool   `json:"lstrip"`      // swallows white space to its left
	RStrip     bool   `json:"rstrip"`      // … to its right
	Normalized bool   `json:"normalized"`  // looked for in normalized text
	Special    bool   `json:"special"`
}

// addedTokens finds added tokens in a text: leftmost, then longest.
type addedTokens struct {
	trie *trie // id: index in tokens
	list []addedToken
}

func (a *addedTokens) add(pattern string, tok addedToken) {
	if pattern == "" {
		return
	}
	if a.trie == nil {
		a.trie = newTrie()
	}
	a.trie.insert(pattern, int32(len(a.list)))
	a.list = append(a.list, tok)
}

// split calls yield for each part of s in order, with id -1 for plain text; plain parts are never empty.
// Special tokens are plain text unless parseSpecial.
func (a *addedTokens) split(s string, parseSpecial bool, yield func(part string, id int32)) {
	if s == "" {
		return
	}
	if a.trie == nil {
		yield(s, -1)
		return
	}
	done := 0
	for i := 0; i < len(s); {
		if a.trie.roots[s[i]] == 0 {
			i++
			continue
		}
		n, index := a.trie.match(s[i:])
		if n == 0 {
			i++
			continue
		}
		start, stop := i, i+n
		i = stop
		tok := &a.list[index]
		if tok.Special && !parseSpecial || tok.SingleWord && !standsAlone(s, start, stop) {
			continue
		}
		if tok.LStrip {
			start = max(done, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
		}
		if tok.RStrip {
			stop = len(s) - len(strings.TrimLeftFunc(s[stop:], unicode.IsSpace))
		}
		if done < start {
			yield(s[done:start], -1)
		}
		yield(s[min(start, stop):stop], tok.ID)
		done = stop
	}
	if done < len(s) {
		yield(s[done:], -1)
	}
}

func standsAlone(s string, start, stop int) bool {
	before, n := utf8.DecodeLastRuneInString(s[:start])
	if n > 0 && isWordRune(before) {
		return false
	}
	after, n := utf8.DecodeRuneInString(s[stop:])
	return n == 0 || !isWordRune(after)
}

// isWordRune is the \w of Unicode regular expressions (UTS #18, annex C).
func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}
