package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is a set of the character properties that pre-tokenizer patterns ask for.
type class uint16

const (
	letter      class = 1 << iota // \p{L}
	number                        // \p{N}
	mark                          // \p{M}
	punctuation                   // \p{P}
	symbolChar                    // \p{S}
	space                         // \s, Unicode White_Space
	newline                       // \r or \n
	upper                         // \p{Lu} or \p{Lt}
	lower                         // \p{Ll}
	slash                         // "/"
)

// classOf returns every property of r that matters. Invalid runes have none.
func classOf(r rune) class {
	if r < utf8.RuneSelf {
		return asciiClasses[r]
	}
	return computeClass(r)
}

var asciiClasses = func() (t [utf8.RuneSelf]class) {
	for r := range t {
		t[r] = computeClass(rune(r))
	}
	return t
}()

func computeClass(r rune) (c class) {
	switch {
	case unicode.Is(unicode.L, r):
		c = letter
		if unicode.Is(unicode.Lu, r) || unicode.Is(unicode.Lt, r) {
			c |= upper
		} else if unicode.Is(unicode.Ll, r) {
			c |= lower
		}
		return c
	case unicode.Is(unicode.N, r):
		return number
	case unicode.Is(unicode.M, r):
		return mark
	case unicode.Is(unicode.P, r):
		c = punctuation
	case unicode.Is(unicode.S, r):
		c = symbolChar
	}
	if unicode.IsSpace(r) {
		c |= space
	}
	switch r {
	case '\r', '\n':
		c |= newline
	case '/':
		c |= slash
	}
	if c == 0 {
		c = newerClass(r)
	}
	return c
}

// runeAt returns the class and the size of the character at i; size 0 at the end.
func runeAt(s string, i int) (class, int) {
	if i >= len(s) {
		return 0, 0
	}
	if b := s[i]; b < utf8.RuneSelf {
		return asciiClasses[b], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return computeClass(r), n
}

// run returns where the run of characters that have any of the classes ends.
func run(s string, i int, any class) int {
	for {
		c, n := runeAt(s, i)
		if n == 0 || c&any == 0 {
			return i
		}
		i += n
	}
}

// runNot returns where the run of characters that have none of the classes ends.
func runNot(s string, i int, none class) int {
	for {
		c, n := runeAt(s, i)
		if n == 0 || c&none != 0 {
			return i
		}
		i += n
	}
}
