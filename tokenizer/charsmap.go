package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// charsmap is SentencePiece's precompiled_charsmap: u32 size of the trie, a Darts double-array trie over UTF-8 bytes
// (u32 units), then NUL-terminated replacements. A value in the trie is the offset of its replacement.
type charsmap struct {
	units        []uint32
	replacements string
}

func parseCharsmap(b []byte) (*charsmap, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 4 {
		return nil, errors.New("precompiled_charsmap is truncated")
	}
	size := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if uint64(size) > uint64(len(b)) || size%4 != 0 || size == 0 {
		return nil, fmt.Errorf("precompiled_charsmap: a trie of %d bytes in %d", size, len(b))
	}
	m := &charsmap{units: make([]uint32, size/4), replacements: string(b[size:])}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if !utf8.ValidString(m.replacements) {
		return nil, errors.New("precompiled_charsmap: the replacements are not valid UTF-8")
	}
	if m.replacements != "" && m.replacements[len(m.replacements)-1] != 0 {
		return nil, errors.New("precompiled_charsmap: the last replacement is not terminated")
	}
	return m, nil
}

// search walks s through the double array and calls found for every key that s begins with, shortest first, until
// found returns false. Units: bit 8 has_leaf, bits 0-7 and 31 label, bits 10-30 offset (shifted by 8 if bit 9).
// A trie that points outside itself has no keys there.
func (m *charsmap) search(s string, found func(length int, replacement uint32) bool) {
	offset := func(unit uint32) uint32 { return (unit >> 10) << ((unit & (1 << 9)) >> 6) }
	node := offset(m.units[0])
	for i := 0; i < len(s) && s[i] != 0; i++ {
		node ^= uint32(s[i])
		if node >= uint32(len(m.units)) {
			return
		}
		unit := m.units[node]
		if unit&(1<<31|0xff) != uint32(s[i]) {
			return
		}
		node ^= offset(unit)
		if unit>>8&1 == 1 {
			if node >= uint32(len(m.units)) {
				return
			}
			if !found(i+1, m.units[node]&(1<<31-1)) {
				return
			}
		}
	}
}

// replacement returns the string at an offset of the table; ok is false outside it.
func (m *charsmap) replacement(at uint32) (to string, ok bool) {
	if at >= uint32(len(m.replacements)) {
		return "", false
	}
	to = m.replacements[at:]
	if !utf8.RuneStart(to[0]) {
		return "", false
	}
	return to[:strings.IndexByte(to, 0)], true
}

// longest is SentencePiece's reading: the longest rule that s begins with; length 0 if there is none.
func (m *charsmap) longest(s string) (to string, length int) {
	m.search(s, func(n int, at uint32) bool {
		if r, ok := m.replacement(at); ok {
			to, length = r, n
		}
		return true
	})
	return to, length
}

// shortest is Hugging Face's reading: the first rule found along s.
func (m *charsmap) shortest(s string) (to string, ok bool) {
	m.search(s, func(n int, at uint32) bool {
		to, ok = m.replacement(at)
		return false
	})
	return to, ok
}
