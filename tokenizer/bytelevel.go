package tokenizer

import "strings"

// byteLevelAlphabet is GPT-2's spelling of the 256 bytes: printable Latin-1 bytes are themselves, the others are
// U+0100, U+0101, … in order (Radford et al. 2019, encoder.py).
func byteLevelAlphabet() (spelling [256]string) {
	next := rune(256)
	for b := range spelling {
		if '!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b && b <= 0xFF {
			spelling[b] = string(rune(b))
		} else {
			spelling[b] = string(next)
			next++
		}
	}
	return spelling
}

// byteLevelBytes inverts the alphabet.
func byteLevelBytes() map[rune]byte {
	m := make(map[rune]byte, 256)
	for b, s := range byteLevelAlphabet() {
		m[[]rune(s)[0]] = byte(b)
	}
	return m
}

// unspell returns the bytes a byte-level piece stands for; a piece with other characters stands for itself.
func unspell(piece string, bytes map[rune]byte) string {
	var b strings.Builder
	for _, r := range piece {
		v, ok := bytes[r]
		if !ok {
			return piece
		}
		b.WriteByte(v)
	}
	return b.String()
}

// byteSpelling respells a segment, byte by byte, in the byte-level alphabet.
type byteSpelling struct{ spelling [256]string }

func newByteSpelling() *byteSpelling { return &byteSpelling{byteLevelAlphabet()} }

func (p *byteSpelling) respell(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := 0; i < len(s); i++ {
		b.WriteString(p.spelling[s[i]])
	}
	return b.String()
}

func (p *byteSpelling) split(dst []segment, s segment) []segment {
	return append(dst, segment{p.respell(s.text), s.first})
}

func (p *byteSpelling) normalize(s string) string { return p.respell(s) }

// prefixSpace puts a space in front of a segment that has none (ByteLevel's add_prefix_space).
type prefixSpace struct{}

func (prefixSpace) split(dst []segment, s segment) []segment {
	if !strings.HasPrefix(s.text, " ") {
		s.text = " " + s.text
	}
	return append(dst, s)
}
