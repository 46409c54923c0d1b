// Package tokenizer turns text into token ids and back, exactly as the reference implementations do: byte-level BPE,
// SentencePiece BPE and Unigram, read from tokenizer.json (Hugging Face tokenizers), tokenizer.model (SentencePiece)
// or GGUF vocabulary data. What it cannot reproduce exactly it refuses to load, naming what it met.
//
// A text passes through: added tokens split off → normalizers → normalized added tokens split off → pre-tokenizers →
// the model (merges or Viterbi) → BOS/EOS. docs/formats/tokenizers.md lists what is supported and how it was checked.
package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// EncodeOptions: the zero value reads the text plainly and adds nothing.
type EncodeOptions struct {
	AddSpecial   bool // add BOS and EOS as the model's configuration says
	ParseSpecial bool // "<s>" in the text is the special token, not three characters
}

// TokenType is what a token stands for, numbered as in GGUF's tokenizer.ggml.token_type and SentencePiece's piece type.
type TokenType int32

const (
	Normal      TokenType = 1
	Unknown     TokenType = 2
	Control     TokenType = 3 // never made from text unless ParseSpecial; decodes to nothing
	UserDefined TokenType = 4 // always matched whole
	Unused      TokenType = 5
	Byte        TokenType = 6 // "<0xAB>": one byte of a character that has no piece
)

// spaceMark is U+2581, which SentencePiece puts in the place of a space.
const spaceMark = "\u2581"

// model turns one pre-token into ids; scratch may be reused between calls, results are appended to dst.
type model interface {
	encode(dst []int32, word string, scratch *scratch) []int32
}

// Tokenizer is immutable after loading and safe for concurrent use.
type Tokenizer struct {
	tokens   []string // id → piece as the file spells it
	types    []TokenType
	surfaces []string // id → the bytes it decodes to (control tokens: their literal text)
	ids      map[string]int32

	rawAdded        addedTokens // matched in the raw text
	normalizedAdded addedTokens // matched in normalized text
	normalizers     []normalizer
	pre             []preTokenizer
	spelling        *byteSpelling // the last pre-tokenizer, if it is ByteLevel's respelling: done once per distinct word
	model           model

	prefix, suffix []int32 // what AddSpecial puts around a text
	bos, eos       int32   // -1: none
	unk, pad       int32
	stripSpace     bool // decoding drops one leading space, which encoding had added
	chatTemplate   string
	export         exportInfo
}

// Size is the number of token ids: every id is in [0, Size).
func (t *Tokenizer) Size() int { return len(t.tokens) }

// BOS is the id that begins a text, if the model has one.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// EOS is the id that ends a text, if the model has one.
func (t *Tokenizer) EOS() (int32, bool) { return t.eos, t.eos >= 0 }

// AddBOS reports whether AddSpecial puts BOS in front.
func (t *Tokenizer) AddBOS() bool { return t.bos >= 0 && len(t.prefix) > 0 && t.prefix[0] == t.bos }

// AddEOS reports whether AddSpecial puts EOS at the end.
func (t *Tokenizer) AddEOS() bool {
	return t.eos >= 0 && len(t.suffix) > 0 && t.suffix[len(t.suffix)-1] == t.eos
}

// ChatTemplate is the Jinja source that came with the tokenizer, "" if none.
func (t *Tokenizer) ChatTemplate() string { return t.chatTemplate }

// Type of a token; Unused for ids out of range.
func (t *Tokenizer) Type(id int32) TokenType {
	if id < 0 || int(id) >= len(t.types) {
		return Unused
	}
	return t.types[id]
}

// TokenID returns the id whose piece is spelled so in the vocabulary.
func (t *Tokenizer) TokenID(piece string) (int32, bool) {
	id, ok := t.ids[piece]
	return id, ok
}

// Encode returns the ids of text. A byte that is not valid UTF-8 counts as U+FFFD, as in SentencePiece.
func (t *Tokenizer) Encode(text string, o EncodeOptions) []int32 {
	e := encoder{t: t, parseSpecial: o.ParseSpecial, useCache: len(text) >= minCachedText}
	e.dst = make([]int32, 0, len(text)/3+len(t.prefix)+len(t.suffix))
	if o.AddSpecial {
		e.dst = append(e.dst, t.prefix...)
	}
	e.text(validUTF8(text))
	if o.AddSpecial {
		e.dst = append(e.dst, t.suffix...)
	}
	return e.dst
}

// validUTF8 replaces each invalid byte by U+FFFD.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// segment is a stretch of text between added tokens; first: it begins where the whole text begins.
type segment struct {
	text  string
	first bool
}

// span is a range of ids already in encoder.dst.
type span struct{ start, end int32 }

const (
	minCachedText  = 2048    // bytes: a shorter text repeats too few words
	maxCachedWord  = 48      // bytes
	maxCachedWords = 1 << 17 // entries of one Encode call
)

// encoder is the state of one Encode call.
type encoder struct {
	t            *Tokenizer
	parseSpecial bool
	useCache     bool
	dst          []int32
	segments     []segment
	next         []segment
	cache        map[string]span // word → where its ids stand in dst
	scratch      scratch
}

func (e *encoder) text(s string) {
	offset := 0
	e.t.rawAdded.split(s, e.parseSpecial, func(part string, id int32) {
		if id >= 0 {
			e.dst = append(e.dst, id)
		} else {
			e.normalize(segment{part, offset == 0})
		}
		offset += len(part)
	})
}

func (e *encoder) normalize(s segment) {
	for _, n := range e.t.normalizers {
		s.text = n.normalize(s.text)
	}
	offset := 0
	e.t.normalizedAdded.split(s.text, e.parseSpecial, func(part string, id int32) {
		if id >= 0 {
			e.dst = append(e.dst, id)
		} else {
			e.preTokenize(segment{part, s.first && offset == 0})
		}
		offset += len(part)
	})
}

func (e *encoder) preTokenize(s segment) {
	e.segments = append(e.segments[:0], s)
	for _, p := range e.t.pre {
		e.next = e.next[:0]
		for _, s := range e.segments {
			e.next = p.split(e.next, s)
		}
		e.segments, e.next = e.next, e.segments
	}
	for _, w := range e.segments {
		if w.text != "" {
			e.word(w.text)
		}
	}
}

// word encodes one pre-token. Where the model allows it, the pre-token is cut further at word starts, so that the
// cache sees words.
func (e *encoder) word(s string) {
	c, ok := e.t.model.(interface{ cutsAtSpaceMark() bool })
	if !ok || !c.cutsAtSpaceMark() {
		e.cached(s)
		return
	}
	for s != "" {
		end := wordEnd(s)
		e.cached(s[:end])
		s = s[end:]
	}
}

// wordEnd returns where the first word of s ends: before a space mark that follows something else.
func wordEnd(s string) int {
	i := 0
	for strings.HasPrefix(s[i:], spaceMark) {
		i += len(spaceMark)
	}
	if i == len(s) {
		return i
	}
	if j := strings.Index(s[i:], spaceMark); j >= 0 {
		return i + j
	}
	return len(s)
}

func (e *encoder) cached(w string) {
	if !e.useCache || len(w) > maxCachedWord {
		e.model(w)
		return
	}
	if at, ok := e.cache[w]; ok {
		e.dst = append(e.dst, e.dst[at.start:at.end]...)
		return
	}
	start := len(e.dst)
	e.model(w)
	if len(e.cache) < maxCachedWords {
		if e.cache == nil {
			e.cache = make(map[string]span)
		}
		e.cache[w] = span{int32(start), int32(len(e.dst))}
	}
}

func (e *encoder) model(w string) {
	if e.t.spelling != nil {
		w = e.t.spelling.respell(w)
	}
	e.dst = e.t.model.encode(e.dst, w, &e.scratch)
}
