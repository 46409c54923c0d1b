package formats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// KV is one metadata entry of a GGUF file. The Go type of Value is the type in the file: uint8, int8, uint16, int16, uint32, int32,
// float32, bool, string, uint64, int64, float64, or a slice of one of these. Strings are bytes as stored, not necessarily UTF-8.
type KV struct {
	Key   string
	Value any
}

// ErrNoKey is wrapped by the accessors' errors when the file has no such key.
var ErrNoKey = errors.New("no such key")

// The numbers of value types in a GGUF file.
const (
	ggufUint8 uint32 = iota
	ggufInt8
	ggufUint16
	ggufInt16
	ggufUint32
	ggufInt32
	ggufFloat32
	ggufBool
	ggufString
	ggufArray
	ggufUint64
	ggufInt64
	ggufFloat64
)

// Limits of GGUF metadata. The first three are ggml's; the others are ours, far above any published file.
const (
	maxGGUFString     = 1 << 30 // bytes of a string
	maxGGUFArray      = 1 << 30 // elements of an array
	maxGGUFTensorName = 63      // bytes
	maxGGUFKey        = 1<<16 - 1
	maxGGUFKVs        = 1 << 16
	maxGGUFTensors    = 1 << 20
	maxGGUFHeader     = 1 << 28 // bytes of everything before the data
)

// KV returns the metadata in file order. Slices in it are shared, not to be changed.
func (g *GGUF) KV() []KV { return slices.Clone(g.kv) }

// Has reports whether the file has key.
func (g *GGUF) Has(key string) bool {
	_, ok := g.keys[key]
	return ok
}

// Value returns the value of key with its type in the file.
func (g *GGUF) Value(key string) (any, error) {
	i, ok := g.keys[key]
	if !ok {
		return nil, fmt.Errorf("%s: metadata %q: %w", g.path, key, ErrNoKey)
	}
	return g.kv[i].Value, nil
}

func (g *GGUF) wrongType(key string, v any, want string) error {
	return fmt.Errorf("%s: metadata %q is %T, not %s: convert the model again with a current converter", g.path, key, v, want)
}

// get returns the value of key if it has type T exactly.
func get[T any](g *GGUF, key, want string) (T, error) {
	v, err := g.Value(key)
	if err != nil {
		var zero T
		return zero, err
	}
	t, ok := v.(T)
	if !ok {
		return t, g.wrongType(key, v, want)
	}
	return t, nil
}

// String returns a string value.
func (g *GGUF) String(key string) (string, error) { return get[string](g, key, "a string") }

// Bool returns a bool value.
func (g *GGUF) Bool(key string) (bool, error) { return get[bool](g, key, "a bool") }

// Strings returns an array of strings; it is shared, not to be changed.
func (g *GGUF) Strings(key string) ([]string, error) {
	return get[[]string](g, key, "an array of strings")
}

// Floats returns an array of float32; it is shared, not to be changed.
func (g *GGUF) Floats(key string) ([]float32, error) {
	return get[[]float32](g, key, "an array of float32")
}

// Int returns a value of any integer type.
func (g *GGUF) Int(key string) (int64, error) {
	v, err := g.Value(key)
	if err != nil {
		return 0, err
	}
	n, ok := asInt(v)
	if !ok {
		return 0, g.wrongType(key, v, "an integer below 2^63")
	}
	return n, nil
}

func asInt(v any) (int64, bool) {
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
		return int64(v), v <= math.MaxInt64
	case int64:
		return v, true
	}
	return 0, false
}

// Ints returns an array of any integer type.
func (g *GGUF) Ints(key string) ([]int64, error) {
	v, err := g.Value(key)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case []uint8:
		return widen(v), nil
	case []int8:
		return widen(v), nil
	case []uint16:
		return widen(v), nil
	case []int16:
		return widen(v), nil
	case []uint32:
		return widen(v), nil
	case []int32:
		return widen(v), nil
	case []int64:
		return slices.Clone(v), nil
	case []uint64:
		if len(v) == 0 || slices.Max(v) <= math.MaxInt64 {
			return widen(v), nil
		}
	}
	return nil, g.wrongType(key, v, "an array of integers below 2^63")
}

func widen[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64](v []T) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// Float returns a float32 or float64 value.
func (g *GGUF) Float(key string) (float64, error) {
	v, err := g.Value(key)
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, g.wrongType(key, v, "a float")
}

// checkKey returns an error for a key that ggml or the GGUF specification does not allow.
func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("a metadata key is empty")
	case len(key) > maxGGUFKey:
		return fmt.Errorf("a metadata key of %d bytes is over the limit of %d", len(key), maxGGUFKey)
	case strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("metadata key %q has a NUL byte", key)
	}
	return nil
}

// checkAlignment returns the alignment that the value of general.alignment asks for.
func checkAlignment(v any) (int64, error) {
	n, ok := v.(uint32)
	if !ok {
		return 0, fmt.Errorf("general.alignment is %T, not uint32", v)
	}
	if n == 0 || n&(n-1) != 0 || n > maxGGUFAlignment {
		return 0, fmt.Errorf("general.alignment %d is not a power of two up to %d", n, maxGGUFAlignment)
	}
	return int64(n), nil
}

// appendKV appends an entry as stored.
func appendKV(b []byte, kv KV) ([]byte, error) {
	le := binary.LittleEndian
	if err := checkKey(kv.Key); err != nil {
		return nil, err
	}
	b = appendGGUFString(b, kv.Key)
	if s, ok := kv.Value.(string); ok {
		if len(s) > maxGGUFString {
			return nil, fmt.Errorf("metadata %q: a string of %d bytes is over the limit of %d", kv.Key, len(s), maxGGUFString)
		}
		return appendGGUFString(le.AppendUint32(b, ggufString), s), nil
	}
	id, n, ok := ggufTypeOf(kv.Value)
	if !ok {
		return nil, fmt.Errorf("metadata %q: GGUF has no type for %T", kv.Key, kv.Value)
	}
	if n >= 0 {
		if n > maxGGUFArray {
			return nil, fmt.Errorf("metadata %q: an array of %d elements is over the limit of %d", kv.Key, n, maxGGUFArray)
		}
		b = le.AppendUint32(b, ggufArray)
	}
	b = le.AppendUint32(b, id)
	if n >= 0 {
		b = le.AppendUint64(b, uint64(n))
	}
	if list, ok := kv.Value.([]string); ok {
		for _, s := range list {
			b = appendGGUFString(b, s)
		}
		return b, nil
	}
	return binary.Append(b, le, kv.Value)
}

func appendGGUFString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// ggufTypeOf returns the number of v's type, or of its elements' type and their count; elements is -1 for a scalar.
func ggufTypeOf(v any) (id uint32, elements int, ok bool) {
	switch v := v.(type) {
	case uint8:
		return ggufUint8, -1, true
	case int8:
		return ggufInt8, -1, true
	case uint16:
		return ggufUint16, -1, true
	case int16:
		return ggufInt16, -1, true
	case uint32:
		return ggufUint32, -1, true
	case int32:
		return ggufInt32, -1, true
	case float32:
		return ggufFloat32, -1, true
	case bool:
		return ggufBool, -1, true
	case uint64:
		return ggufUint64, -1, true
	case int64:
		return ggufInt64, -1, true
	case float64:
		return ggufFloat64, -1, true
	case []uint8:
		return ggufUint8, len(v), true
	case []int8:
		return ggufInt8, len(v), true
	case []uint16:
		return ggufUint16, len(v), true
	case []int16:
		return ggufInt16, len(v), true
	case []uint32:
		return ggufUint32, len(v), true
	case []int32:
		return ggufInt32, len(v), true
	case []float32:
		return ggufFloat32, len(v), true
	case []bool:
		return ggufBool, len(v), true
	case []string:
		return ggufString, len(v), true
	case []uint64:
		return ggufUint64, len(v), true
	case []int64:
		return ggufInt64, len(v), true
	case []float64:
		return ggufFloat64, len(v), true
	}
	return 0, 0, false
}
