package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// normalizer rewrites a stretch of text before it is cut.
type normalizer interface{ normalize(s string) string }

type prependNormalizer struct{ prefix string }

func (n prependNormalizer) normalize(s string) string {
	if s == "" {
		return s
	}
	return n.prefix + s
}

type replaceNormalizer struct{ old, new string }

func (n replaceNormalizer) normalize(s string) string { return strings.ReplaceAll(s, n.old, n.new) }

// normalizerList is a normalizer of a tokenizer.json, Sequences flattened.
type normalizerList struct {
	list  []normalizer
	types []string
}

func (l *normalizerList) parse(b json.RawMessage, depth int) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var raw struct {
		Type        string
		Normalizers []json.RawMessage
		Prepend     string
		Pattern     pattern
		Content     string
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	var n normalizer
	switch raw.Type {
	case "Sequence":
		if depth > maxNesting {
			return fmt.Errorf("more than %d Sequences within each other", maxNesting)
		}
		for _, inner := range raw.Normalizers {
			if err := l.parse(inner, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "Prepend":
		n = prependNormalizer{raw.Prepend}
	case "Replace":
		if raw.Pattern.String == nil || *raw.Pattern.String == "" {
			return fmt.Errorf("Replace with the pattern %s is not supported", raw.Pattern.describe())
		}
		n = replaceNormalizer{*raw.Pattern.String, raw.Content}
	default:
		return fmt.Errorf("type %q is not supported", raw.Type)
	}
	l.list = append(l.list, n)
	l.types = append(l.types, raw.Type)
	return nil
}

// pattern is {"String": "…"} or {"Regex": "…"}.
type pattern struct{ String, Regex *string }

func (p pattern) describe() string {
	switch {
	case p.Regex != nil:
		return fmt.Sprintf("Regex %q", *p.Regex)
	case p.String != nil:
		return fmt.Sprintf("String %q", *p.String)
	}
	return "(none)"
}
