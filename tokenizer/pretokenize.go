package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// preTokenizer cuts a segment into smaller ones; merges never cross the cuts.
type preTokenizer interface {
	split(dst []segment, s segment) []segment
}

// preTokenizerList is a pre-tokenizer of a tokenizer.json, Sequences flattened.
type preTokenizerList struct {
	list           []preTokenizer
	names          []string
	byteLevelModel bool
}

func (l *preTokenizerList) parse(b json.RawMessage, depth int) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var raw struct {
		Type           string
		PreTokenizers  []json.RawMessage `json:"pretokenizers"`
		Replacement    string
		PrependScheme  *string `json:"prepend_scheme"`
		AddPrefixSpace *bool   `json:"add_prefix_space"`
		Split          *bool
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	switch raw.Type {
	case "Sequence":
		if depth > maxNesting {
			return fmt.Errorf("more than %d Sequences within each other", maxNesting)
		}
		for _, inner := range raw.PreTokenizers {
			if err := l.parse(inner, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "Metaspace":
		m, err := newMetaspace(raw.Replacement, raw.PrependScheme, raw.AddPrefixSpace, raw.Split)
		if err != nil {
			return err
		}
		l.add("Metaspace", m)
	default:
		return fmt.Errorf("type %q is not supported", raw.Type)
	}
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
		return nil, fmt.Errorf("Metaspace: prepend_scheme %q is not always, first or never", m.scheme)
	}
	if len([]rune(mark)) != 1 {
		return nil, fmt.Errorf("Metaspace: replacement %q is not one character", mark)
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
		end := len(text)
		if next := strings.Index(text[start+len(m.mark):], m.mark); strings.HasPrefix(text[start:], m.mark) {
			if next >= 0 {
				end = start + len(m.mark) + next
			}
		} else {
			end = start + strings.Index(text[start:]+m.mark, m.mark)
		}
		dst = append(dst, segment{text[start:end], s.first && start == 0})
		start = end
	}
	return dst
}
