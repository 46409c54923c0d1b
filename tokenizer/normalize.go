package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
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

// spacesNormalizer replaces each run of two or more spaces.
type spacesNormalizer struct{ new string }

func (n spacesNormalizer) normalize(s string) string {
	if !strings.Contains(s, "  ") {
		return s
	}
	var b strings.Builder
	for s != "" {
		i := strings.Index(s, "  ")
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		b.WriteString(n.new)
		s = strings.TrimLeft(s[i:], " ")
	}
	b.WriteString(s)
	return b.String()
}

// formNormalizer is one of Unicode's normalization forms.
type formNormalizer struct{ form norm.Form }

func (n formNormalizer) normalize(s string) string { return n.form.String(s) }

// lowercaseNormalizer lower-cases character by character, without regard to what stands around it.
type lowercaseNormalizer struct{}

func (lowercaseNormalizer) normalize(s string) string {
	// U+0130 is the one character whose full lower case is two characters.
	return strings.ToLower(strings.ReplaceAll(s, "\u0130", "i\u0307"))
}

// stripNormalizer removes white space at the ends.
type stripNormalizer struct{ left, right bool }

func (n stripNormalizer) normalize(s string) string {
	if n.left {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
	}
	if n.right {
		s = strings.TrimRightFunc(s, unicode.IsSpace)
	}
	return s
}

// precompiledNormalizer applies SentencePiece's table the way Hugging Face tokenizers does: to whole grapheme clusters
// of at most five bytes, else to single characters, and always by the shortest rule.
type precompiledNormalizer struct {
	table *charsmap
	raw   []byte
}

func (n precompiledNormalizer) normalize(s string) string {
	if n.table == nil {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	state := -1
	for s != "" {
		var cluster string
		cluster, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
		if len(cluster) < 6 {
			if to, ok := n.table.shortest(cluster); ok {
				b.WriteString(to)
				continue
			}
		}
		for _, r := range cluster {
			c := string(r)
			if to, ok := n.table.shortest(c); ok {
				b.WriteString(to)
			} else {
				b.WriteString(c)
			}
		}
	}
	return b.String()
}

// normalizerList is a normalizer of a tokenizer.json, Sequences flattened.
type normalizerList struct {
	list  []normalizer
	names []string
}

func (l *normalizerList) parse(b json.RawMessage, depth int) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var raw rawNormalizer
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if raw.Type == "Sequence" {
		if depth > maxNesting {
			return fmt.Errorf("more than %d Sequences within each other", maxNesting)
		}
		for _, inner := range raw.Normalizers {
			if err := l.parse(inner, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := raw.normalizer()
	if err != nil {
		return err
	}
	l.list = append(l.list, n)
	l.names = append(l.names, raw.Type)
	return nil
}

// rawNormalizer has the fields of every kind of normalizer.
type rawNormalizer struct {
	Type        string
	Normalizers []json.RawMessage
	Prepend     string
	Pattern     pattern
	Content     string
	Charsmap    []byte `json:"precompiled_charsmap"`
	Left        *bool  `json:"strip_left"`
	Right       *bool  `json:"strip_right"`
}

func (raw *rawNormalizer) normalizer() (normalizer, error) {
	switch raw.Type {
	case "Prepend":
		return prependNormalizer{raw.Prepend}, nil
	case "Replace":
		if raw.Pattern.String != nil && *raw.Pattern.String != "" {
			return replaceNormalizer{*raw.Pattern.String, raw.Content}, nil
		}
		if raw.Pattern.Regex != nil && *raw.Pattern.Regex == " {2,}" {
			return spacesNormalizer{raw.Content}, nil
		}
		return nil, fmt.Errorf("a Replace with the pattern %s is not supported", raw.Pattern.describe())
	case "NFC":
		return formNormalizer{norm.NFC}, nil
	case "NFD":
		return formNormalizer{norm.NFD}, nil
	case "NFKC":
		return formNormalizer{norm.NFKC}, nil
	case "NFKD":
		return formNormalizer{norm.NFKD}, nil
	case "Lowercase":
		return lowercaseNormalizer{}, nil
	case "Strip":
		return stripNormalizer{raw.Left == nil || *raw.Left, raw.Right == nil || *raw.Right}, nil
	case "ByteLevel":
		return newByteSpelling(), nil
	case "Precompiled":
		m, err := parseCharsmap(raw.Charsmap)
		if err != nil {
			return nil, err
		}
		return precompiledNormalizer{m, raw.Charsmap}, nil
	}
	return nil, fmt.Errorf("type %q is not supported", raw.Type)
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
