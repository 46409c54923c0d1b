package formats

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner reads JSON whose structure is known, strictly (RFC 8259) and in one pass. encoding/json keeps the last of two equal
// keys without a word, mends broken surrogates and costs 6 µs per tensor of a header; this one shows every key to its caller, in
// order, and strings without escapes alias the input. The input must be valid UTF-8.
type jsonScanner struct {
	s   string
	pos int
}

var errJSONEnd = errors.New("ends in the middle of the JSON")

func (j *jsonScanner) errorf(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", j.pos, fmt.Sprintf(format, args...))
}

func (j *jsonScanner) space() {
	for j.pos < len(j.s) {
		switch j.s[j.pos] {
		case ' ', '\n', '\r', '\t':
			j.pos++
		default:
			return
		}
	}
}

// take skips white space and consumes c if it comes next.
func (j *jsonScanner) take(c byte) bool {
	j.space()
	if j.pos < len(j.s) && j.s[j.pos] == c {
		j.pos++
		return true
	}
	return false
}

func (j *jsonScanner) expect(c byte) error {
	if j.take(c) {
		return nil
	}
	if j.pos == len(j.s) {
		return errJSONEnd
	}
	return j.errorf("%q expected, found %q", c, j.s[j.pos])
}

// end reports an error unless only white space is left.
func (j *jsonScanner) end() error {
	if j.space(); j.pos != len(j.s) {
		return j.errorf("text after the end of the JSON")
	}
	return nil
}

// object calls value for each key in order, repeated ones included; value must consume the key's value.
func (j *jsonScanner) object(value func(key string) error) error {
	if err := j.expect('{'); err != nil {
		return err
	}
	if j.take('}') {
		return nil
	}
	for {
		key, err := j.str()
		if err != nil {
			return err
		}
		if err := j.expect(':'); err != nil {
			return err
		}
		if err := value(key); err != nil {
			return err
		}
		if j.take('}') {
			return nil
		}
		if err := j.expect(','); err != nil {
			return err
		}
	}
}

// array calls element before each element; element must consume it.
func (j *jsonScanner) array(element func() error) error {
	if err := j.expect('['); err != nil {
		return err
	}
	if j.take(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if j.take(']') {
			return nil
		}
		if err := j.expect(','); err != nil {
			return err
		}
	}
}

// str reads a string.
func (j *jsonScanner) str() (string, error) {
	if err := j.expect('"'); err != nil {
		return "", err
	}
	for i := j.pos; i < len(j.s); i++ {
		switch c := j.s[i]; {
		case c == '"':
			s := j.s[j.pos:i]
			j.pos = i + 1
			return s, nil
		case c == '\\':
			return j.escaped()
		case c < 0x20:
			j.pos = i
			return "", j.errorf("control character in a string")
		}
	}
	return "", errJSONEnd
}

// escaped reads the rest of a string that has escapes.
func (j *jsonScanner) escaped() (string, error) {
	var b strings.Builder
	for j.pos < len(j.s) {
		c := j.s[j.pos]
		j.pos++
		switch {
		case c == '"':
			return b.String(), nil
		case c < 0x20:
			return "", j.errorf("control character in a string")
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		if j.pos == len(j.s) {
			return "", errJSONEnd
		}
		c = j.s[j.pos]
		j.pos++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", j.errorf("unknown escape \\%c", c)
		}
		r, err := j.unicodeEscape()
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
	}
	return "", errJSONEnd
}

// unicodeEscape reads the XXXX of \uXXXX and the second half of a surrogate pair.
func (j *jsonScanner) unicodeEscape() (rune, error) {
	high, err := j.hex4()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if strings.HasPrefix(j.s[j.pos:], `\u`) {
		j.pos += 2
		low, err := j.hex4()
		if err != nil {
			return 0, err
		}
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, j.errorf("half of a surrogate pair in a string")
}

func (j *jsonScanner) hex4() (rune, error) {
	if len(j.s)-j.pos < 4 {
		return 0, errJSONEnd
	}
	r := rune(0)
	for _, c := range []byte(j.s[j.pos : j.pos+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, j.errorf("bad \\u escape")
		}
	}
	j.pos += 4
	return r, nil
}

// natural reads a number that must be written as an integer in [0, 2^63): no sign, fraction, exponent or leading zero.
func (j *jsonScanner) natural() (int64, error) {
	j.space()
	start, n := j.pos, uint64(0)
	for ; j.pos < len(j.s) && '0' <= j.s[j.pos] && j.s[j.pos] <= '9'; j.pos++ {
		digit := uint64(j.s[j.pos] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, j.errorf("number beyond 2^63")
		}
		n = n*10 + digit
	}
	switch {
	case start == len(j.s):
		return 0, errJSONEnd
	case j.pos == start, j.pos > start+1 && j.s[start] == '0':
		return 0, j.errorf("natural number expected")
	case j.pos < len(j.s) && strings.IndexByte(".eE", j.s[j.pos]) >= 0:
		return 0, j.errorf("natural number expected")
	}
	return int64(n), nil
}

// skip consumes any value, at most 32 levels deep, and returns its text.
func (j *jsonScanner) skip() (string, error) {
	j.space()
	start := j.pos
	err := j.skipLevel(32)
	return j.s[start:j.pos], err
}

func (j *jsonScanner) skipLevel(levels int) error {
	if levels == 0 {
		return j.errorf("nested too deep")
	}
	if j.space(); j.pos == len(j.s) {
		return errJSONEnd
	}
	switch j.s[j.pos] {
	case '{':
		return j.object(func(string) error { return j.skipLevel(levels - 1) })
	case '[':
		return j.array(func() error { return j.skipLevel(levels - 1) })
	case '"':
		_, err := j.str()
		return err
	}
	start := j.pos
	for j.pos < len(j.s) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", j.s[j.pos]) >= 0 {
		j.pos++
	}
	switch word := j.s[start:j.pos]; word {
	case "true", "false", "null":
		return nil
	default:
		if !isJSONNumber(word) {
			return j.errorf("value expected")
		}
		return nil
	}
}

func isJSONNumber(s string) bool {
	digits := func() bool {
		n := len(s)
		s = strings.TrimLeft(s, "0123456789")
		return len(s) < n
	}
	s = strings.TrimPrefix(s, "-")
	if strings.HasPrefix(s, "0") {
		s = s[1:]
	} else if !digits() {
		return false
	}
	if rest, ok := strings.CutPrefix(s, "."); ok {
		if s = rest; !digits() {
			return false
		}
	}
	if s != "" && s[0]|0x20 == 'e' {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// appendJSONString appends s as serde_json quotes it: only what JSON demands is escaped.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		default:
			if k := strings.IndexByte("\b\f\n\r\t", c); k >= 0 {
				b = append(b, '\\', "bfnrt"[k])
			} else {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
	}
	return append(b, '"')
}
