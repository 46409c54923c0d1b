package tokenizer

// matcher is a regular expression written by hand: it returns where the match that begins at byte i ends, i if none
// does. s is one segment: look-ahead never sees past it.
type matcher func(s string, i int) int

// The regular expressions of known tokenizers, as they are spelled in tokenizer.json files.
const (
	contractions = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	cl100kTail   = ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	caseWords1   = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	caseWords2   = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	o200kTail    = ` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	patternGPT2    = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3  = contractions + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|` + cl100kTail
	patternQwen2   = contractions + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|` + cl100kTail
	patternCL100K  = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	patternQwen35  = contractions + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternO200K   = caseWords1 + contractions + `?|` + caseWords2 + contractions + `?|\p{N}{1,3}|` + o200kTail
	patternTekken  = caseWords1 + `|` + caseWords2 + `|\p{N}|` + o200kTail
	patternDeep3   = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
	patternDigits3 = `\p{N}{1,3}`
	patternDigit   = `\p{N}`
	patternHan     = `[一-龥ࠀ-一가-퟿]+`
	patternKana    = "[一-龥\u3040-ゟ゠-ヿ]+"
)

// matcherFor returns the hand-written form of a regular expression, nil if there is none.
func matcherFor(regex string) matcher {
	switch regex {
	case patternGPT2:
		return matchGPT2
	case patternLlama3, patternCL100K:
		return cl100k{maxDigits: 3, contractions: true, letters: letter}.match
	case patternQwen2:
		return cl100k{maxDigits: 1, contractions: true, letters: letter}.match
	case patternQwen35:
		return cl100k{maxDigits: 1, contractions: true, letters: letter | mark}.match
	case patternO200K:
		return caseWords{maxDigits: 3, contractions: true}.match
	case patternTekken:
		return caseWords{maxDigits: 1}.match
	case patternDeep3:
		return matchDeepSeek3
	case patternDigits3:
		return func(s string, i int) int { return upTo(s, i, number, 3) }
	case patternDigit:
		return func(s string, i int) int { return upTo(s, i, number, 1) }
	case `\p{N}+`:
		return func(s string, i int) int { return run(s, i, number) }
	case `[\r\n]`, "[\r\n]":
		return func(s string, i int) int { return upTo(s, i, newline, 1) }
	case `\s?\p{L}+`:
		return func(s string, i int) int { return spaced(s, i, letter) }
	case `\s?\p{P}+`:
		return func(s string, i int) int { return spaced(s, i, punctuation) }
	case patternHan:
		return func(s string, i int) int {
			return runeRun(s, i, func(r rune) bool {
				return '一' <= r && r <= '龥' || '\u0800' <= r && r <= '一' || '가' <= r && r <= '\ud7ff'
			})
		}
	case patternKana:
		return func(s string, i int) int {
			return runeRun(s, i, func(r rune) bool {
				return '一' <= r && r <= '龥' || '\u3040' <= r && r <= '\u30ff'
			})
		}
	}
	return nil
}

// upTo matches 1 to most characters of the class.
func upTo(s string, i int, any class, most int) int {
	for ; most > 0; most-- {
		c, n := runeAt(s, i)
		if n == 0 || c&any == 0 {
			break
		}
		i += n
	}
	return i
}

// spaced matches \s?X+.
func spaced(s string, i int, any class) int {
	if c, n := runeAt(s, i); c&space != 0 {
		if end := run(s, i+n, any); end > i+n {
			return end
		}
	}
	return run(s, i, any)
}

func runeRun(s string, i int, in func(rune) bool) int {
	for j, r := range s[i:] {
		if !in(r) {
			return i + j
		}
	}
	return len(s)
}

// whiteSpace matches \s+(?!\S)|\s+: a run of white space, which leaves its last character to what follows.
func whiteSpace(s string, i int) int {
	last, end := i, i
	for {
		c, n := runeAt(s, end)
		if n == 0 {
			return end
		}
		if c&space == 0 {
			break
		}
		last, end = end, end+n
	}
	if last > i {
		return last
	}
	return end
}

// lines matches \s*[\r\n]+: white space up to the last line end of the run.
func lines(s string, i int) int {
	end := i
	for j := i; ; {
		c, n := runeAt(s, j)
		if n == 0 || c&space == 0 {
			return end
		}
		j += n
		if c&newline != 0 {
			end = j
		}
	}
}

// contraction matches 's 't 're 've 'm 'll 'd; with fold in any case, where "ſ" (U+017F) is an s too.
func contraction(s string, i int, fold bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return i
	}
	at := func(j int) byte {
		if j >= len(s) {
			return 0
		}
		if b := s[j]; fold && 'A' <= b && b <= 'Z' {
			return b + 'a' - 'A'
		}
		return s[j]
	}
	switch at(i + 1) {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if at(i+2) == 'e' {
			return i + 3
		}
	case 'l':
		if at(i+2) == 'l' {
			return i + 3
		}
	case 0xC5:
		if fold && at(i+2) == 0xBF {
			return i + 3
		}
	}
	return i
}

func matchGPT2(s string, i int) int {
	if end := contraction(s, i, false); end > i {
		return end
	}
	j := i
	if s[i] == ' ' {
		j++
	}
	switch c, n := runeAt(s, j); {
	case n == 0 || c&space != 0:
		return whiteSpace(s, i)
	case c&letter != 0:
		return run(s, j, letter)
	case c&number != 0:
		return run(s, j, number)
	}
	return runNot(s, j, space|letter|number)
}

// cl100k is the pattern of GPT-4 and its family.
type cl100k struct {
	maxDigits    int
	contractions bool
	letters      class
}

func (p cl100k) match(s string, i int) int {
	if p.contractions {
		if end := contraction(s, i, true); end > i {
			return end
		}
	}
	c, n := runeAt(s, i)
	if c&(newline|letter|number) == 0 {
		if end := run(s, i+n, p.letters); end > i+n {
			return end
		}
	}
	if c&p.letters != 0 {
		return run(s, i, p.letters)
	}
	if c&number != 0 {
		return upTo(s, i, number, p.maxDigits)
	}
	return otherThenSpace(s, i, p.letters, newline)
}

// otherThenSpace matches " ?[^\s letters \p{N}]+ tail* | \s*[\r\n]+ | \s+(?!\S) | \s+".
func otherThenSpace(s string, i int, letters, tail class) int {
	j := i
	if s[i] == ' ' {
		j++
	}
	if end := runNot(s, j, space|letters|number); end > j {
		return run(s, end, tail)
	}
	if end := lines(s, i); end > i {
		return end
	}
	return whiteSpace(s, i)
}

// caseWords is the pattern of GPT-4o and Mistral's Tekken: words are cut where lower case turns to upper case.
type caseWords struct {
	maxDigits    int
	contractions bool
}

func (p caseWords) match(s string, i int) int {
	c, n := runeAt(s, i)
	hasPrefix := c&(newline|letter|number) == 0
	end := i
	if hasPrefix {
		end = lowerWord(s, i+n)
		if end == i+n {
			end = i
		}
	}
	if end == i {
		end = lowerWord(s, i)
	}
	if end == i && hasPrefix {
		if end = upperWord(s, i+n); end == i+n {
			end = i
		}
	}
	if end == i {
		end = upperWord(s, i)
	}
	if end > i {
		if p.contractions {
			end = contraction(s, end, true)
		}
		return end
	}
	if c&number != 0 {
		return upTo(s, i, number, p.maxDigits)
	}
	return otherThenSpace(s, i, letter, newline|slash)
}

// inUpper is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], inLower is [\p{Ll}\p{Lm}\p{Lo}\p{M}].
func inUpper(c class) bool { return c&mark != 0 || c&letter != 0 && c&lower == 0 }
func inLower(c class) bool { return c&mark != 0 || c&letter != 0 && c&upper == 0 }

// lowerWord matches U*L+: greedy, and where no L follows the U's, back to the last U that is an L too.
func lowerWord(s string, i int) int {
	back, j := i, i
	for {
		c, n := runeAt(s, j)
		if n == 0 || !inUpper(c) {
			break
		}
		j += n
		if inLower(c) {
			back = j
		}
	}
	if c, n := runeAt(s, j); n > 0 && inLower(c) {
		return lowerRun(s, j)
	}
	return back
}

// upperWord matches U+L*.
func upperWord(s string, i int) int {
	j := i
	for {
		c, n := runeAt(s, j)
		if n == 0 || !inUpper(c) {
			break
		}
		j += n
	}
	if j == i {
		return i
	}
	return lowerRun(s, j)
}

func lowerRun(s string, i int) int {
	for {
		c, n := runeAt(s, i)
		if n == 0 || !inLower(c) {
			return i
		}
		i += n
	}
}

// matchDeepSeek3 is the main pattern of DeepSeek-V3 (digits and CJK are cut off before it).
func matchDeepSeek3(s string, i int) int {
	if b := s[i]; b < 0x80 && asciiClasses[b]&(punctuation|symbolChar) != 0 {
		end := i + 1
		for end < len(s) && (s[end]|0x20) >= 'a' && (s[end]|0x20) <= 'z' {
			end++
		}
		if end > i+1 {
			return end
		}
	}
	c, n := runeAt(s, i)
	if c&(newline|letter|punctuation|symbolChar) == 0 {
		if end := run(s, i+n, letter|mark); end > i+n {
			return end
		}
	}
	if end := run(s, i, letter|mark); end > i {
		return end
	}
	j := i
	if s[i] == ' ' {
		j++
	}
	if end := run(s, j, punctuation|symbolChar); end > j {
		return run(s, end, newline)
	}
	if end := lines(s, i); end > i {
		return end
	}
	return whiteSpace(s, i)
}
