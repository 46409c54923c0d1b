package vocab

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"pith/tokenizer"
)

// Class names a set of tokens that stay however rare they are.
type Class string

// The classes.
const (
	Special    Class = "special"    // unknown, control and added tokens, BOS, EOS, padding, what a template puts around a text
	Atoms      Class = "bytes"      // bytes, or characters where there is no byte fallback: any text can still be written
	Digits     Class = "digits"     // single digits, with and without a space in front
	Whitespace Class = "whitespace" // tokens of white space only, up to 16 characters
	Chat       Class = "chat"       // the tokens of a chat template's own text, and of the usual roles
)

// Classes lists all classes.
func Classes() []Class { return []Class{Special, Atoms, Digits, Whitespace, Chat} }

// ParseClasses reads "special,digits"; "" is all classes, "none" is none.
func ParseClasses(s string) ([]Class, error) {
	switch s {
	case "":
		return Classes(), nil
	case "none":
		return nil, nil
	}
	var list []Class
	for name := range strings.SplitSeq(s, ",") {
		c := Class(strings.TrimSpace(name))
		if !slices.Contains(Classes(), c) {
			return nil, fmt.Errorf("%q: choose among %v, or none", name, Classes())
		}
		list = append(list, c)
	}
	return list, nil
}

// maxBlank is the longest run of white space that stays, in characters.
const maxBlank = 16

// Kept returns the ids of some classes, rising.
func Kept(t *tokenizer.Tokenizer, classes []Class) []int32 {
	keep := map[int32]bool{}
	add := func(ids []int32) {
		for _, id := range ids {
			keep[id] = true
		}
	}
	for _, c := range classes {
		switch c {
		case Special:
			add(t.Specials())
		case Atoms:
			add(t.Atoms())
		case Digits:
			add(thoseOf(t, func(s string) bool {
				s = strings.TrimPrefix(s, " ")
				return len(s) == 1 && '0' <= s[0] && s[0] <= '9'
			}))
		case Whitespace:
			add(thoseOf(t, func(s string) bool {
				return s != "" && utf8.RuneCountInString(s) <= maxBlank && strings.TrimFunc(s, unicode.IsSpace) == ""
			}))
		case Chat:
			add(chatTokens(t))
		}
	}
	var ids []int32
	for id := range keep {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// thoseOf returns the ordinary tokens whose text passes.
func thoseOf(t *tokenizer.Tokenizer, passes func(string) bool) (ids []int32) {
	for id := range int32(t.Size()) {
		if k := t.Type(id); (k == tokenizer.Normal || k == tokenizer.Byte) && passes(string(t.TokenBytes(id))) {
			ids = append(ids, id)
		}
	}
	return ids
}

// chatTokens returns the tokens of what a chat template writes itself: the text outside its tags and the string literals inside, and the roles.
func chatTokens(t *tokenizer.Tokenizer) (ids []int32) {
	template := t.ChatTemplate()
	if template == "" {
		return nil
	}
	texts := append(templateTexts(template), "system", "user", "assistant", "tool")
	for _, s := range texts {
		ids = append(ids, t.Encode(s, tokenizer.EncodeOptions{ParseSpecial: true})...)
	}
	return ids
}

// templateTexts cuts the literal texts out of a Jinja template: what stands outside {{ }}, {% %} and {# #}, and quoted strings inside the
// first two.
func templateTexts(s string) (texts []string) {
	for s != "" {
		open := -1
		for i := 0; i+1 < len(s); i++ {
			if s[i] == '{' && strings.IndexByte("{%#", s[i+1]) >= 0 {
				open = i
				break
			}
		}
		if open < 0 {
			return append(texts, s)
		}
		if open > 0 {
			texts = append(texts, s[:open])
		}
		end := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[s[open+1]]
		inside, rest, _ := strings.Cut(s[open+2:], end)
		if s[open+1] != '#' {
			texts = append(texts, literals(inside)...)
		}
		s = rest
	}
	return texts
}

// literals returns the quoted strings of an expression.
func literals(s string) (list []string) {
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' && s[i] != '"' {
			continue
		}
		var b strings.Builder
		quote := s[i]
		for i++; i < len(s) && s[i] != quote; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
				if s[i] == 'n' {
					b.WriteByte('\n')
					continue
				}
			}
			b.WriteByte(s[i])
		}
		list = append(list, b.String())
	}
	return list
}
