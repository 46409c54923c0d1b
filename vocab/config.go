package vocab

import (
	"encoding/json"
	"fmt"
	"strings"

	"pith/internal/ordered"
)

// isIDs reports whether a member of config.json or generation_config.json is a token id, or a list of them.
func isIDs(key string) bool {
	for _, suffix := range []string{"_token_id", "_token_ids", "_token_index"} {
		if strings.HasSuffix(key, suffix) {
			return true
		}
	}
	switch key {
	case "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "stop_token_ids":
		return true
	}
	return false
}

// ConfigIDs returns the token ids that config.json or generation_config.json names.
func ConfigIDs(file []byte) (ids []int32, err error) {
	_, err = ordered.Edit(file, func(o *ordered.Object) error {
		return walkIDs(o, func(id int32) (int32, bool) {
			ids = append(ids, id)
			return id, true
		})
	})
	return ids, err
}

// renumberConfig gives the ids of config.json or generation_config.json their new numbers and, where the file states it, the vocabulary its size. A
// single id that is gone becomes null, one in a list is left out.
func renumberConfig(file []byte, new map[int32]int32) ([]byte, error) {
	return ordered.EditFile(file, func(o *ordered.Object) error {
		sized := func(o *ordered.Object) error {
			if o.Get("vocab_size") == nil {
				return nil
			}
			return o.Set("vocab_size", len(new))
		}
		if err := sized(o); err != nil {
			return err
		}
		if err := o.EditMember("text_config", sized); err != nil {
			return err
		}
		return walkIDs(o, func(id int32) (int32, bool) {
			n, ok := new[id]
			return n, ok
		})
	})
}

// walkIDs calls f with each id of an object and of the text_config inside, and puts its answer there; negative ids mean none and stay.
func walkIDs(o *ordered.Object, f func(id int32) (int32, bool)) error {
	for _, m := range *o {
		if m.Key == "text_config" {
			if err := o.EditMember(m.Key, func(inner *ordered.Object) error { return walkIDs(inner, f) }); err != nil {
				return err
			}
		}
		if !isIDs(m.Key) || string(m.Value) == "null" {
			continue
		}
		var value any
		if err := json.Unmarshal(m.Value, &value); err != nil {
			return fmt.Errorf("%s: %w", m.Key, err)
		}
		value, keep := walkValue(value, f)
		if !keep {
			value = nil
		}
		if err := o.Set(m.Key, value); err != nil {
			return err
		}
	}
	return nil
}

// walkValue is walkIDs of a number, or of numbers in lists; what is neither stays.
func walkValue(value any, f func(id int32) (int32, bool)) (any, bool) {
	switch v := value.(type) {
	case float64:
		if v < 0 || v != float64(int32(v)) {
			return value, true
		}
		id, ok := f(int32(v))
		return id, ok
	case []any:
		left := []any{}
		for _, x := range v {
			if x, ok := walkValue(x, f); ok {
				left = append(left, x)
			}
		}
		return left, len(left) > 0 || len(v) == 0
	}
	return value, true
}
