package tokenizer

import (
	"encoding/json"
	"fmt"
)

// parsePostProcessor returns the ids a post-processor puts before and after a single text.
func parsePostProcessor(b json.RawMessage, depth int) (prefix, suffix []int32, err error) {
	if len(b) == 0 || string(b) == "null" {
		return nil, nil, nil
	}
	var raw struct {
		Type       string
		Processors []json.RawMessage
		Single     []struct {
			SpecialToken *struct{ ID string }
			Sequence     *struct{ ID string }
		}
		SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
		CLS, SEP      []json.RawMessage
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, nil, err
	}
	switch raw.Type {
	case "ByteLevel": // moves offsets only
		return nil, nil, nil
	case "Sequence":
		if depth > maxNesting {
			return nil, nil, fmt.Errorf("more than %d Sequences within each other", maxNesting)
		}
		for _, p := range raw.Processors {
			before, after, err := parsePostProcessor(p, depth+1)
			if err != nil {
				return nil, nil, err
			}
			prefix, suffix = append(before, prefix...), append(suffix, after...)
		}
		return prefix, suffix, nil
	case "TemplateProcessing":
		seen := false
		for _, piece := range raw.Single {
			switch {
			case piece.Sequence != nil && !seen && piece.Sequence.ID == "A":
				seen = true
			case piece.SpecialToken != nil:
				tok, ok := raw.SpecialTokens[piece.SpecialToken.ID]
				if !ok {
					return nil, nil, fmt.Errorf("special token %q is not in special_tokens", piece.SpecialToken.ID)
				}
				if seen {
					suffix = append(suffix, tok.IDs...)
				} else {
					prefix = append(prefix, tok.IDs...)
				}
			default:
				return nil, nil, fmt.Errorf("the template for a single text must be special tokens and $A once")
			}
		}
		if !seen {
			return nil, nil, fmt.Errorf("the template for a single text lacks $A")
		}
		return prefix, suffix, nil
	case "BertProcessing", "RobertaProcessing":
		before, err := pairID(raw.CLS)
		if err != nil {
			return nil, nil, fmt.Errorf("cls: %w", err)
		}
		after, err := pairID(raw.SEP)
		if err != nil {
			return nil, nil, fmt.Errorf("sep: %w", err)
		}
		return []int32{before}, []int32{after}, nil
	}
	return nil, nil, fmt.Errorf("type %q is not supported", raw.Type)
}

// pairID reads the id of ["<s>", 0].
func pairID(b []json.RawMessage) (id int32, err error) {
	if len(b) != 2 {
		return 0, fmt.Errorf("not a pair [token, id]")
	}
	err = json.Unmarshal(b[1], &id)
	return id, err
}
