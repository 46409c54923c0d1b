package model

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// fields reads values out of a JSON object by name and keeps the first error, which names the field. A field that is
// null counts as absent, as it does for transformers.
type fields struct {
	path string // of the object inside config.json, with a trailing dot; "" at the top
	m    map[string]json.RawMessage
	err  *error
}

func parseFields(data []byte) (fields, error) {
	var err error
	f := fields{err: &err}
	if e := json.Unmarshal(data, &f.m); e != nil {
		return f, fmt.Errorf("config.json: %w", e)
	}
	return f, nil
}

func (f fields) fail(name, format string, args ...any) {
	if *f.err == nil {
		*f.err = fmt.Errorf("config.json: %s%s: %s", f.path, name, fmt.Sprintf(format, args...))
	}
}

func (f fields) has(name string) bool {
	raw, ok := f.m[name]
	return ok && string(raw) != "null"
}

// decode fills dst from the field and reports whether it is there.
func (f fields) decode(name string, dst any, want string) bool {
	if !f.has(name) {
		return false
	}
	if err := json.Unmarshal(f.m[name], dst); err != nil {
		f.fail(name, "expected %s, found %s", want, abbreviate(f.m[name]))
		return false
	}
	return true
}

func abbreviate(raw []byte) string {
	s := strings.Join(strings.Fields(string(raw)), " ")
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return s
}

// maxDimension bounds every size a config may state, so that products of three of them fit in an int64.
const maxDimension = 1 << 20

// size reads a whole number in [1, 2^20] and returns def if the field is absent; def 0 makes the field required.
func (f fields) size(name string, def int) int {
	v := f.number(name, float64(def))
	if !f.has(name) && def == 0 {
		f.fail(name, "is missing, and this architecture needs it")
		return 1
	}
	if v != math.Trunc(v) || v < 1 || v > maxDimension {
		f.fail(name, "expected a whole number from 1 to %d, found %s", maxDimension, abbreviate(f.m[name]))
		return 1
	}
	return int(v)
}

// count is size for lengths that may be large (context lengths); 0 stands for absent without a default.
func (f fields) count(name string, def int) int {
	v := f.number(name, float64(def))
	if v != math.Trunc(v) || v < 0 || v > 1<<40 {
		f.fail(name, "expected a whole number, found %s", abbreviate(f.m[name]))
		return def
	}
	return int(v)
}

func (f fields) number(name string, def float64) float64 {
	v := def
	f.decode(name, &v, "a number")
	return v
}

// positive reads a finite number above zero.
func (f fields) positive(name string, def float64) float64 {
	v := f.number(name, def)
	if !(v > 0) || math.IsInf(v, 0) {
		f.fail(name, "expected a number above 0, found %s", abbreviate(f.m[name]))
		return def
	}
	return v
}

func (f fields) bool(name string, def bool) bool {
	v := def
	f.decode(name, &v, "true or false")
	return v
}

func (f fields) string(name, def string) string {
	v := def
	f.decode(name, &v, "a string")
	return v
}

func (f fields) numbers(name string) []float64 {
	var v []float64
	f.decode(name, &v, "a list of numbers")
	return v
}

func (f fields) strings(name string) []string {
	var v []string
	f.decode(name, &v, "a list of strings")
	return v
}

// tokens reads a token id or a list of them.
func (f fields) tokens(name string) []int32 {
	if !f.has(name) {
		return nil
	}
	var one int32
	if json.Unmarshal(f.m[name], &one) == nil {
		return []int32{one}
	}
	var many []int32
	f.decode(name, &many, "a token id or a list of them")
	return many
}

// object returns the named object, and false if it is absent.
func (f fields) object(name string) (fields, bool) {
	sub := fields{path: f.path + name + ".", err: f.err}
	ok := f.decode(name, &sub.m, "an object")
	return sub, ok
}

// only fails on a field that is set to anything but def.
func (f fields) only(name string, def bool) {
	if f.bool(name, def) != def {
		f.fail(name, "%v is not supported; only %v is", !def, def)
	}
}
