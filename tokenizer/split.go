package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a segment at the matches of a pattern.
type splitter struct {
	find     func(s string, from int) (start, end int) // the leftmost match at or after from; start < 0: none
	behavior string                                    // Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous
	invert   bool                                      // what does not match counts as the match
}

func newSplitter(find func(s string, from int) (int, int), behavior string, invert bool) (*splitter, error) {
	switch behavior {
	case "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous":
		return &splitter{find, behavior, invert}, nil
	}
	return nil, fmt.Errorf("behavior %q is not supported", behavior)
}

// searchWith looks for the next place where the matcher matches something.
func searchWith(m matcher) func(s string, from int) (int, int) {
	return func(s string, from int) (int, int) {
		for i := from; i < len(s); {
			if end := m(s, i); end > i {
				return i, end
			}
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
		}
		return -1, -1
	}
}

func searchString(what string) func(s string, from int) (int, int) {
	return func(s string, from int) (int, int) {
		i := strings.Index(s[from:], what)
		if i < 0 {
			return -1, -1
		}
		return from + i, from + i + len(what)
	}
}

// searchRune finds single characters.
func searchRune(in func(rune) bool) func(s string, from int) (int, int) {
	return func(s string, from int) (int, int) {
		for j, r := range s[from:] {
			if in(r) {
				return from + j, from + j + utf8.RuneLen(r)
			}
		}
		return -1, -1
	}
}

func isPunctuation(r rune) bool {
	return unicode.Is(unicode.P, r) || r < utf8.RuneSelf && unicode.Is(unicode.S, r)
}

// part is a stretch of a segment; match: the pattern matched it.
type part struct {
	start, end int
	match      bool
}

func (p *splitter) split(dst []segment, s segment) []segment {
	var parts []part
	add := func(start, end int, match bool) {
		if start < end {
			match = match != p.invert
			if p.behavior == "Isolated" || p.behavior == "Removed" {
				if p.behavior == "Isolated" || !match {
					dst = append(dst, segment{s.text[start:end], s.first && start == 0})
				}
				return
			}
			parts = append(parts, part{start, end, match})
		}
	}
	done := 0
	for done < len(s.text) {
		start, end := p.find(s.text, done)
		if start < 0 {
			break
		}
		add(done, start, false)
		add(start, end, true)
		done = end
	}
	add(done, len(s.text), false)
	for _, q := range p.join(parts) {
		dst = append(dst, segment{s.text[q.start:q.end], s.first && q.start == 0})
	}
	return dst
}

// join merges parts as the behavior says: a match goes to its neighbour unless the neighbour on the other side was a
// match too; Contiguous joins equal neighbours.
func (p *splitter) join(parts []part) []part {
	var out []part
	previous := false
	switch p.behavior {
	case "MergedWithPrevious":
		for _, q := range parts {
			if n := len(out); q.match && !previous && n > 0 {
				out[n-1].end = q.end
			} else {
				out = append(out, q)
			}
			previous = q.match
		}
	case "MergedWithNext":
		for i := len(parts) - 1; i >= 0; i-- {
			q := parts[i]
			if n := len(out); q.match && !previous && n > 0 {
				out[n-1].start = q.start
			} else {
				out = append(out, q)
			}
			previous = q.match
		}
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	case "Contiguous":
		for _, q := range parts {
			if n := len(out); q.match == previous && n > 0 {
				out[n-1].end = q.end
			} else {
				out = append(out, q)
			}
			previous = q.match
		}
	}
	return out
}
