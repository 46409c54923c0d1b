package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

func newTokenizer(tokens []string, types []TokenType, ids map[string]int32) *Tokenizer {
	return &Tokenizer{tokens: tokens, types: types, ids: ids, bos: -1, eos: -1, unk: -1, pad: -1}
}

// TokenBytes returns the bytes a token stands for, which need not be whole characters. For a control token it is the
// token's own spelling, although Decode leaves control tokens out; for an id out of range it is nil.
func (t *Tokenizer) TokenBytes(id int32) []byte {
	if id < 0 || int(id) >= len(t.surfaces) {
		return nil
	}
	return []byte(t.surfaces[id])
}

// Decode returns the text of ids: control tokens are left out, the one space that encoding puts in front is dropped,
// and bytes that are not valid UTF-8 become U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	d := t.NewDecoder()
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(d.Next(id))
	}
	b.WriteString(d.Flush())
	return b.String()
}

// Decoder decodes a stream of ids, holding back characters that are not complete yet.
type Decoder struct {
	t       *Tokenizer
	pending []byte
	begun   bool // something was put out, so that no leading space is dropped any more
}

// NewDecoder starts a stream.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{t: t} }

// Next returns the text that is certain once id is known; it may be empty. Ids out of range are left out.
func (d *Decoder) Next(id int32) string {
	if id < 0 || int(id) >= len(d.t.surfaces) || d.t.types[id] == Control {
		return ""
	}
	s := d.t.surfaces[id]
	if !d.begun && s != "" {
		d.begun = true
		if d.t.stripSpace {
			s = strings.TrimPrefix(s, " ")
		}
	}
	d.pending = append(d.pending, s...)
	n := completePrefix(d.pending)
	out := validUTF8(string(d.pending[:n]))
	d.pending = append(d.pending[:0], d.pending[n:]...)
	return out
}

// Flush ends the stream: what was held back, as U+FFFD for each byte.
func (d *Decoder) Flush() string {
	out := validUTF8(string(d.pending))
	d.pending = d.pending[:0]
	return out
}

// completePrefix is the length of b without a character at its end that further bytes could complete.
func completePrefix(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// decoderRules is the decoder of a tokenizer.json.
type decoderRules struct {
	byteLevel  bool
	spaceMark  bool // U+2581 becomes a space
	stripSpace bool
}

func (d *decoderRules) parse(b json.RawMessage, depth int) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var raw struct {
		Type           string
		Decoders       []json.RawMessage
		Pattern        pattern
		Content        string
		Start, Stop    int
		Replacement    string
		PrependScheme  *string `json:"prepend_scheme"`
		AddPrefixSpace *bool   `json:"add_prefix_space"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	switch raw.Type {
	case "Sequence":
		if depth > maxNesting {
			return fmt.Errorf("more than %d Sequences within each other", maxNesting)
		}
		for _, inner := range raw.Decoders {
			if err := d.parse(inner, depth+1); err != nil {
				return err
			}
		}
	case "ByteLevel":
		d.byteLevel = true
	case "Metaspace":
		m, err := newMetaspace(raw.Replacement, raw.PrependScheme, raw.AddPrefixSpace, nil)
		if err != nil {
			return err
		}
		if m.mark != spaceMark {
			return fmt.Errorf("a Metaspace with the replacement %q is not supported", m.mark)
		}
		d.spaceMark = true
		d.stripSpace = m.scheme != "never"
	case "Replace":
		if raw.Pattern.String == nil || *raw.Pattern.String != spaceMark || raw.Content != " " {
			return fmt.Errorf("to Replace %s by %q is not supported", raw.Pattern.describe(), raw.Content)
		}
		d.spaceMark = true
	case "Strip":
		if raw.Content != " " || raw.Stop != 0 || raw.Start > 1 || raw.Start < 0 {
			return fmt.Errorf("to Strip %q (%d, %d) is not supported", raw.Content, raw.Start, raw.Stop)
		}
		d.stripSpace = raw.Start == 1
	case "ByteFallback", "Fuse": // bytes and joining are what decoding does anyway
	default:
		return fmt.Errorf("type %q is not supported", raw.Type)
	}
	return nil
}

// applyDecoder computes what each token decodes to.
func (t *Tokenizer) applyDecoder(d decoderRules, byteFallback bool) {
	t.stripSpace = d.stripSpace
	if d.byteLevel {
		t.setByteLevelSurfaces()
		return
	}
	if d.spaceMark || byteFallback {
		t.setSpaceMarkSurfaces()
		return
	}
	t.surfaces = t.tokens
}

// setByteLevelSurfaces: pieces of the model are spelled in the byte-level alphabet, added tokens plainly.
func (t *Tokenizer) setByteLevelSurfaces() {
	bytes := byteLevelBytes()
	t.surfaces = make([]string, len(t.tokens))
	for id, piece := range t.tokens {
		t.surfaces[id] = piece
		if t.types[id] == Normal || t.types[id] == Unused {
			t.surfaces[id] = unspell(piece, bytes)
		}
	}
}

// setSpaceMarkSurfaces: U+2581 is a space and byte pieces are bytes.
func (t *Tokenizer) setSpaceMarkSurfaces() {
	t.surfaces = make([]string, len(t.tokens))
	for id, piece := range t.tokens {
		switch t.types[id] {
		case Byte:
			b, _ := parseBytePiece(piece) // checked when the type was given
			t.surfaces[id] = string([]byte{b})
		case Control, Unknown:
			t.surfaces[id] = piece
		default:
			t.surfaces[id] = strings.ReplaceAll(piece, spaceMark, " ")
		}
	}
}
