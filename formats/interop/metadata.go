package interop

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// metadata is the key-value part of a GGUF file. Values are Go's scalars and slices of the types the file states; nothing about
// them can be trusted, so every accessor checks the type.
type metadata struct {
	file   string
	values map[string]any
}

func (m metadata) wrong(key, want string, v any) error {
	return fmt.Errorf("%s: %s is of type %T, want %s", m.file, key, v, want)
}

func (m metadata) missing(key string) error {
	return fmt.Errorf("%s: required key %s is missing; the file is not a language model that llama.cpp would load", m.file, key)
}

// has reports whether the key exists.
func (m metadata) has(key string) bool { _, ok := m.values[key]; return ok }

// str returns a string, or "" if there is no such key.
func (m metadata) str(key string) (string, error) {
	v, ok := m.values[key]
	if !ok {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", m.wrong(key, "a string", v)
	}
	return s, nil
}

// flag returns a bool, or otherwise if there is no such key.
func (m metadata) flag(key string, otherwise bool) (bool, error) {
	v, ok := m.values[key]
	if !ok {
		return otherwise, nil
	}
	b, ok := v.(bool)
	if !ok {
		return false, m.wrong(key, "a bool", v)
	}
	return b, nil
}

// integer returns a non-negative integer below 2^31 of any integer type, or otherwise if there is no such key.
func (m metadata) integer(key string, otherwise int) (int, error) {
	v, ok := m.values[key]
	if !ok {
		return otherwise, nil
	}
	n, ok := asInteger(v)
	if !ok {
		return 0, m.wrong(key, "an integer", v)
	}
	if n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%s: %s = %d is not in [0, 2^31)", m.file, key, n)
	}
	return int(n), nil
}

// integers is integer for the keys that may hold one value for all layers or an array with one for each; all must be equal.
func (m metadata) uniform(key string, otherwise int) (int, error) {
	values, err := integerSlice(m.values[key])
	if err != nil {
		return m.integer(key, otherwise)
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("%s: %s is an empty array", m.file, key)
	}
	for _, v := range values {
		if v != values[0] {
			return 0, fmt.Errorf("%s: %s differs between layers (%d and %d), which is not supported", m.file, key, values[0], v)
		}
	}
	if values[0] < 0 || values[0] > math.MaxInt32 {
		return 0, fmt.Errorf("%s: %s = %d is not in [0, 2^31)", m.file, key, values[0])
	}
	return int(values[0]), nil
}

// float returns a finite float32 or float64, or otherwise if there is no such key.
func (m metadata) float(key string, otherwise float32) (float32, error) {
	v, ok := m.values[key]
	if !ok {
		return otherwise, nil
	}
	var f float64
	switch v := v.(type) {
	case float32:
		f = float64(v)
	case float64:
		f = v
	default:
		return 0, m.wrong(key, "a float", v)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%s: %s is %v", m.file, key, f)
	}
	return float32(f), nil
}

// positive is integer for a key that must be there and not be zero.
func (m metadata) positive(key string) (int, error) {
	if !m.has(key) {
		return 0, m.missing(key)
	}
	n, err := m.integer(key, 0)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: %s is 0", m.file, key)
	}
	return n, err
}

func asInteger(v any) (int64, bool) {
	switch v := v.(type) {
	case uint8:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint64:
		if v > math.MaxInt64 {
			return -1, true
		}
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func integerSlice(v any) ([]int64, error) {
	switch v := v.(type) {
	case []int32:
		return widen(v), nil
	case []uint32:
		return widen(v), nil
	case []int64:
		return v, nil
	}
	return nil, fmt.Errorf("not an array of integers")
}

func widen[T int32 | uint32](in []T) []int64 {
	out := make([]int64, len(in))
	for i, v := range in {
		out[i] = int64(v)
	}
	return out
}

// number writes a float32 with as many digits as tell it apart, so that 1e-05 in a config.json is 1e-05 again after a trip through GGUF.
func number(f float32) json.Number { return json.Number(strconv.FormatFloat(float64(f), 'g', -1, 32)) }
