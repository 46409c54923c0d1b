package tokenizer

import (
	"fmt"
	"strconv"
)

// pieceTable is a SentencePiece vocabulary, checked: types known, pieces distinct, byte pieces well-formed.
type pieceTable struct {
	tokens      []string
	scores      []float32
	types       []TokenType
	ids         map[string]int32
	pieces      map[string]int32 // normal, user-defined, unused
	userDefined *trie            // nil: none
	byteIDs     [256]int32       // -1: none
	unk         int32            // -1: none
}

func newPieceTable(tokens []string, scores []float32, types []TokenType) (*pieceTable, error) {
	t := &pieceTable{tokens: tokens, scores: scores, types: types, ids: make(map[string]int32, len(tokens)),
		pieces: make(map[string]int32, len(tokens)), unk: -1}
	for i := range t.byteIDs {
		t.byteIDs[i] = -1
	}
	if len(scores) != len(tokens) || len(types) != len(tokens) {
		return nil, fmt.Errorf("%d tokens, but %d scores and %d token types", len(tokens), len(scores), len(types))
	}
	for i, piece := range tokens {
		id := int32(i)
		if piece == "" {
			return nil, fmt.Errorf("token %d is the empty string", i)
		}
		if s := scores[i]; s != s {
			return nil, fmt.Errorf("token %d (%q): its score is not a number", i, piece)
		}
		if other, ok := t.ids[piece]; ok {
			return nil, fmt.Errorf("tokens %d and %d are both %q", other, i, piece)
		}
		t.ids[piece] = id
		if err := t.place(piece, id, types[i]); err != nil {
			return nil, fmt.Errorf("token %d (%q): %w", i, piece, err)
		}
	}
	return t, nil
}

func (t *pieceTable) place(piece string, id int32, typ TokenType) error {
	switch typ {
	case Normal, Unused:
		t.pieces[piece] = id
	case UserDefined:
		t.pieces[piece] = id
		if t.userDefined == nil {
			t.userDefined = newTrie()
		}
		t.userDefined.insert(piece, id)
	case Unknown:
		if t.unk >= 0 {
			return fmt.Errorf("a second unknown token beside %d", t.unk)
		}
		t.unk = id
	case Control: // never found in text
	case Byte:
		b, err := parseBytePiece(piece)
		if err != nil {
			return err
		}
		if t.byteIDs[b] >= 0 {
			return fmt.Errorf("token %d stands for the same byte", t.byteIDs[b])
		}
		t.byteIDs[b] = id
	default:
		return fmt.Errorf("token type %d is not one of 1 to 6", typ)
	}
	return nil
}

// parseBytePiece reads "<0xAB>": exactly two upper-case hexadecimal digits.
func parseBytePiece(s string) (byte, error) {
	if len(s) == 6 && s[:3] == "<0x" && s[5] == '>' && isUpperHex(s[3]) && isUpperHex(s[4]) {
		v, err := strconv.ParseUint(s[3:5], 16, 8)
		return byte(v), err
	}
	return 0, fmt.Errorf("a byte token must be spelled <0x00> to <0xFF>")
}

func isUpperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

func bytePiece(b byte) string {
	const hex = "0123456789ABCDEF"
	return string([]byte{'<', '0', 'x', hex[b>>4], hex[b&15], '>'})
}
