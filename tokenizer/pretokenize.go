package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// preTokenizer cuts a segment into smaller ones; merges never cross the cuts.
type preTokenizer interface {
	split(dst []segment, s segment) []segment
}

// preTokenizerList is a pre-tokenizer of a tokenizer.json, Sequences flattened.
type preTokenizerList struct {
	list        []preTokenizer
	names       []string // what each does, for telling GGUF
	prefixSpace bool     // some ByteLevel adds a space in front
}

// rawPreTokenizer has the fields of every kind of pre-tokenizer.
type rawPreTokenizer struct {
	Type             string
	PreTokenizers    []json.RawMessage `json:"pretokenizers"`
	Replacement      string
	PrependScheme    *string `json:"prepend_scheme"`
	AddPrefixSpace   *bool   `json:"add_prefix_space"`
	Split            *bool
	UseRegex         *bool `json:"use_regex"`
	Pattern          pattern
	Behavior         string
	Invert           bool
	IndividualDigits bool `json:"individual_digits"`
}

func (l *preTokenizerList) parse(b json.RawMessage, depth int) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var raw rawPreTokenizer
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if raw.Type == "Sequence" {
		if depth > maxNesting {
			return fmt.Errorf("more than %d Sequences within each other", maxNesting)
		}
		for _, inner := range raw.PreTokenizers {
			if err := l.parse(inner, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return l.parseOne(&raw)
}

func (l *preTokenizerList) parseOne(raw *rawPreTokenizer) error {
	switch raw.Type {
	case "Metaspace":
		m, err := newMetaspace(raw.Replacement, raw.PrependScheme, raw.AddPrefixSpace, raw.Split)
		if err != nil {
			return err
		}
		l.add("Metaspace", m)
	case "ByteLevel":
		if raw.AddPrefixSpace == nil || *raw.AddPrefixSpace {
			l.prefixSpace = true
			l.add("PrefixSpace", prefixSpace{})
		}
		if raw.UseRegex == nil || *raw.UseRegex {
			s, err := newSplitter(searchWith(matchGPT2), "Isolated", false)
			l.add(patternGPT2, s)
			if err != nil {
				return err
			}
		}
		l.add("ByteLevel", newByteSpelling())
	case "Split":
		return l.parseSplit(raw)
	case "Digits":
		behavior := "Contiguous"
		if raw.IndividualDigits {
			behavior = "Isolated"
		}
		s, err := newSplitter(searchRune(func(r rune) bool { return classOf(r)&number != 0 }), behavior, false)
		if err != nil {
			return err
		}
		if raw.IndividualDigits {
			l.add(patternDigit, s)
		} else {
			l.add(`\p{N}+`, s)
		}
	case "Punctuation":
		behavior := raw.Behavior
		if behavior == "" {
			behavior = "Isolated"
		}
		s, err := newSplitter(searchRune(isPunctuation), behavior, false)
		if err != nil {
			return err
		}
		l.add("Punctuation "+behavior, s)
	case "WhitespaceSplit":
		s, err := newSplitter(searchRune(func(r rune) bool { return classOf(r)&space != 0 }), "Removed", false)
		if err != nil {
			return err
		}
		l.add("WhitespaceSplit", s)
	default:
		return fmt.Errorf("type %q is not supported", raw.Type)
	}
	return nil
}

func (l *preTokenizerList) parseSplit(raw *rawPreTokenizer) error {
	var find func(s string, from int) (int, int)
	name := raw.Pattern.describe()
	switch {
	case raw.Pattern.Regex != nil:
		m := matcherFor(*raw.Pattern.Regex)
		if m == nil {
			return fmt.Errorf("type Split: the pattern %s is not among those that are known to be exact", name)
		}
		find, name = searchWith(m), *raw.Pattern.Regex
	case raw.Pattern.String != nil && *raw.Pattern.String != "":
		find = searchString(*raw.Pattern.String)
	default:
		return fmt.Errorf("type Split: there is no pattern")
	}
	// Without gaps between the matches, "remove what does not match" is "isolate what does".
	behavior, invert := raw.Behavior, raw.Invert
	s, err := newSplitter(find, behavior, invert)
	if err != nil {
		return fmt.Errorf("type Split: %w", err)
	}
	if behavior != "Isolated" && !(behavior == "Removed" && invert) {
		name = fmt.Sprintf("%s %s invert=%v", name, behavior, invert)
	}
	l.add(name, s)
	return nil
}

func (l *preTokenizerList) add(name string, p preTokenizer) {
	l.list = append(l.list, p)
	l.names = append(l.names, name)
}

// metaspace puts a mark in the place of spaces and cuts before each mark.
type metaspace struct {
	mark   string
	scheme string // "always", "first" (only where the whole text begins) or "never" put a mark in front
	cut    bool
}

func newMetaspace(mark string, scheme *string, addPrefixSpace, split *bool) (*metaspace, error) {
	m := &metaspace{mark: mark, scheme: "always", cut: split == nil || *split}
	if addPrefixSpace != nil && !*addPrefixSpace {
		m.scheme = "never"
	}
	if scheme != nil {
		m.scheme = *scheme
	}
	if m.scheme != "always" && m.scheme != "first" && m.scheme != "never" {
		return nil, fmt.Errorf("type Metaspace: prepend_scheme %q is not always, first or never", m.scheme)
	}
	if len([]rune(mark)) != 1 {
		return nil, fmt.Errorf("type Metaspace: replacement %q is not one character", mark)
	}
	return m, nil
}

func (m *metaspace) split(dst []segment, s segment) []segment {
	text := strings.ReplaceAll(s.text, " ", m.mark)
	if (m.scheme == "always" || m.scheme == "first" && s.first) && !strings.HasPrefix(text, m.mark) {
		text = m.mark + text
	}
	if !m.cut {
		return append(dst, segment{text, s.first})
	}
	for start := 0; start < len(text); {
		_, n := utf8.DecodeRuneInString(text[start:])
		end := len(text)
		if next := strings.Index(text[start+n:], m.mark); next >= 0 {
			end = start + n + next
		}
		dst = append(dst, segment{text[start:end], s.first && start == 0})
		start = end
	}
	return dst
}
