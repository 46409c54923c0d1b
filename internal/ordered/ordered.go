// Package ordered edits JSON objects in place: members that are not touched keep their text and their order, so that a file says what it said.
package ordered

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Member is one entry of an object.
type Member struct {
	Key   string
	Value json.RawMessage
}

// Object is a JSON object in the order of its text.
type Object []Member

// Parse reads an object.
func Parse(b []byte) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	o := Object{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		o = append(o, Member{key.(string), value})
	}
	_, err := d.Token()
	return o, err
}

// MarshalJSON writes the members as they stand.
func (o Object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := Compact(m.Key)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), m.Value...)
	}
	return append(b, '}'), nil
}

// Get returns a member's value; nil if it is absent or null.
func (o Object) Get(key string) json.RawMessage {
	for _, m := range o {
		if m.Key == key && string(m.Value) != "null" {
			return m.Value
		}
	}
	return nil
}

// Set replaces a member's value; a member that is absent is added at the end.
func (o *Object) Set(key string, value any) error {
	b, err := Compact(value)
	if err != nil {
		return err
	}
	for i := range *o {
		if (*o)[i].Key == key {
			(*o)[i].Value = b
			return nil
		}
	}
	*o = append(*o, Member{key, b})
	return nil
}

// Compact writes JSON on one line and leaves <, > and & as they are.
func Compact(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// Edit parses the object b, lets f change it, and returns it on one line; absent or null stays as it is.
func Edit(b json.RawMessage, f func(o *Object) error) (json.RawMessage, error) {
	if len(b) == 0 || string(b) == "null" {
		return b, nil
	}
	o, err := Parse(b)
	if err != nil {
		return nil, err
	}
	if err := f(&o); err != nil {
		return nil, err
	}
	return Compact(o)
}

// EditMember is Edit of an object inside another.
func (o *Object) EditMember(key string, f func(o *Object) error) error {
	value := o.Get(key)
	if value == nil {
		return nil
	}
	edited, err := Edit(value, f)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return o.Set(key, edited)
}

// EditFile is Edit of a whole file, which is indented by two spaces.
func EditFile(b []byte, f func(o *Object) error) ([]byte, error) {
	edited, err := Edit(b, f)
	if err != nil || len(edited) == 0 {
		return b, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, edited, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
