package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// spModel is what is read of a SentencePiece ModelProto (sentencepiece_model.proto; field numbers in the readers).
type spModel struct {
	tokens       []string
	scores       []float32
	types        []TokenType
	modelType    uint64 // 1 unigram, 2 BPE, 3 word, 4 char
	byteFallback bool
	asSuffix     bool // treat_whitespace_as_suffix
	unkID, bosID int32
	eosID, padID int32
	norm         spNormalizer
	denormalizes bool
}

var errTruncated = errors.New("truncated or malformed protobuf")

// protoFields walks the fields of one protobuf message: v holds varints and fixed-width bits, b the bytes of
// length-delimited fields (a window into msg).
func protoFields(msg []byte, field func(num int, wire int, v uint64, b []byte) error) error {
	for len(msg) > 0 {
		tag, n := binary.Uvarint(msg)
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29 {
			return errTruncated
		}
		msg = msg[n:]
		var v uint64
		var b []byte
		wire := int(tag & 7)
		switch wire {
		case 0:
			if v, n = binary.Uvarint(msg); n <= 0 {
				return errTruncated
			}
			msg = msg[n:]
		case 1:
			if len(msg) < 8 {
				return errTruncated
			}
			v, msg = binary.LittleEndian.Uint64(msg), msg[8:]
		case 2:
			size, n := binary.Uvarint(msg)
			if n <= 0 || size > uint64(len(msg)-n) {
				return errTruncated
			}
			b, msg = msg[n:n+int(size)], msg[n+int(size):]
		case 5:
			if len(msg) < 4 {
				return errTruncated
			}
			v, msg = uint64(binary.LittleEndian.Uint32(msg)), msg[4:]
		default:
			return fmt.Errorf("%w: wire type %d", errTruncated, wire)
		}
		if err := field(int(tag>>3), wire, v, b); err != nil {
			return err
		}
	}
	return nil
}

// wireOf gives an error if a known field has a foreign wire type.
func wireOf(name string, got, want int) error {
	if got != want {
		return fmt.Errorf("field %s has wire type %d, not %d", name, got, want)
	}
	return nil
}

func readSentencePiece(data []byte) (*spModel, error) {
	m := &spModel{modelType: 1, unkID: 0, bosID: 1, eosID: 2, padID: -1}
	m.norm = spNormalizer{dummyPrefix: true, removeExtra: true, escape: true}
	err := protoFields(data, func(num, wire int, v uint64, b []byte) error {
		switch num {
		case 1:
			if err := wireOf("pieces", wire, 2); err != nil {
				return err
			}
			return m.readPiece(b)
		case 2:
			if err := wireOf("trainer_spec", wire, 2); err != nil {
				return err
			}
			return m.readTrainer(b)
		case 3:
			if err := wireOf("normalizer_spec", wire, 2); err != nil {
				return err
			}
			return m.readNormalizer(b)
		case 5:
			return protoFields(b, func(num, wire int, v uint64, b []byte) error {
				m.denormalizes = m.denormalizes || num == 2 && len(b) > 0
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(m.tokens) == 0 {
		return nil, errors.New("no pieces: not a SentencePiece model")
	}
	return m, nil
}

func (m *spModel) readPiece(msg []byte) error {
	piece, score, typ := "", float32(0), Normal
	err := protoFields(msg, func(num, wire int, v uint64, b []byte) error {
		switch num {
		case 1:
			piece = string(b)
			return wireOf("piece", wire, 2)
		case 2:
			score = math.Float32frombits(uint32(v))
			return wireOf("score", wire, 5)
		case 3:
			typ = TokenType(min(v, math.MaxInt32))
			return wireOf("type", wire, 0)
		}
		return nil
	})
	if err == nil && !utf8.ValidString(piece) {
		err = errors.New("not valid UTF-8")
	}
	if err != nil {
		return fmt.Errorf("piece %d: %w", len(m.tokens), err)
	}
	m.tokens = append(m.tokens, piece)
	m.scores = append(m.scores, score)
	m.types = append(m.types, typ)
	return nil
}

func (m *spModel) readTrainer(msg []byte) error {
	return protoFields(msg, func(num, wire int, v uint64, b []byte) error {
		switch num {
		case 3:
			m.modelType = v
		case 24:
			m.asSuffix = v != 0
		case 35:
			m.byteFallback = v != 0
		case 40:
			m.unkID = int32(v)
		case 41:
			m.bosID = int32(v)
		case 42:
			m.eosID = int32(v)
		case 43:
			m.padID = int32(v)
		default:
			return nil
		}
		return wireOf("trainer_spec", wire, 0)
	})
}

func (m *spModel) readNormalizer(msg []byte) error {
	return protoFields(msg, func(num, wire int, v uint64, b []byte) error {
		switch num {
		case 2:
			if err := wireOf("precompiled_charsmap", wire, 2); err != nil {
				return err
			}
			m.norm.charsmapBytes = b
			return nil
		case 3:
			m.norm.dummyPrefix = v != 0
		case 4:
			m.norm.removeExtra = v != 0
		case 5:
			m.norm.escape = v != 0
		default:
			return nil
		}
		return wireOf("normalizer_spec", wire, 0)
	})
}

// FromSentencePiece reads a tokenizer.model. tokenizerConfig is the text of tokenizer_config.json, nil if there is
// none: then BOS is added if the model is BPE, and EOS if it is Unigram, as Llama and T5 do.
func FromSentencePiece(data, tokenizerConfig []byte) (*Tokenizer, error) {
	m, err := readSentencePiece(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.model: %w", err)
	}
	cfg, err := parseConfig(tokenizerConfig)
	if err != nil {
		return nil, err
	}
	t, err := newSentencePiece(m, cfg)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.model: %w", err)
	}
	return t, nil
}

func newSentencePiece(m *spModel, cfg *config) (*Tokenizer, error) {
	if m.asSuffix {
		return nil, errors.New("treat_whitespace_as_suffix is not supported")
	}
	if m.denormalizes {
		return nil, errors.New("a denormalizer_spec is not supported")
	}
	if m.modelType != 1 && m.modelType != 2 {
		return nil, fmt.Errorf("model type %d is not supported: only 1 (Unigram) and 2 (BPE) are", m.modelType)
	}
	m.addTokens(cfg)
	t, err := m.build()
	if err != nil {
		return nil, err
	}
	t.bos, t.eos, t.pad = m.idInRange(m.bosID), m.idInRange(m.eosID), m.idInRange(m.padID)
	addBOS, addEOS := m.modelType == 2, m.modelType == 1
	return t, t.applyConfig(cfg, &addBOS, &addEOS)
}

// build makes the tokenizer of the pieces and the normalizer; BOS, EOS and what is added are the caller's.
func (m *spModel) build() (*Tokenizer, error) {
	table, err := newPieceTable(m.tokens, m.scores, m.types)
	if err != nil {
		return nil, err
	}
	if table.unk < 0 {
		return nil, errors.New("no unknown token (type 2)")
	}
	if m.byteFallback {
		for b, id := range table.byteIDs {
			if id < 0 {
				return nil, fmt.Errorf("byte_fallback without a piece %s", bytePiece(byte(b)))
			}
		}
	}
	m.norm.userDefined = table.userDefined
	if m.norm.charsmap, err = parseCharsmap(m.norm.charsmapBytes); err != nil {
		return nil, err
	}
	t := newTokenizer(table.tokens, table.types, table.ids)
	t.normalizers = []normalizer{&m.norm}
	if m.modelType == 1 {
		t.model = newSPUnigram(table, m.byteFallback)
	} else {
		t.model = newScoreBPE(table, m.byteFallback)
	}
	for id, typ := range table.types {
		if typ == Control || typ == Unknown {
			t.rawAdded.add(table.tokens[id], addedToken{ID: int32(id), Content: table.tokens[id], Special: true})
		}
	}
	t.stripSpace = m.norm.dummyPrefix
	t.unk = table.unk
	t.setSpaceMarkSurfaces()
	t.export = exportInfo{scores: table.scores, norm: &m.norm, unigram: m.modelType == 1,
		hidesBytes: !m.byteFallback && table.byteIDs[0] >= 0}
	return t, nil
}

func (m *spModel) idInRange(id int32) int32 {
	if id < 0 || int(id) >= len(m.tokens) || m.types[id] != Control {
		return -1
	}
	return id
}

// addTokens appends the tokens that tokenizer_config.json lists right behind the model's own pieces.
func (m *spModel) addTokens(cfg *config) {
	for {
		tok, ok := cfg.added[int32(len(m.tokens))]
		if !ok || tok.Content == "" {
			return
		}
		typ := UserDefined
		if tok.Special {
			typ = Control
		}
		m.tokens = append(m.tokens, tok.Content)
		m.scores = append(m.scores, 0)
		m.types = append(m.types, typ)
	}
}
