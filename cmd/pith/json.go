package main

import (
	"encoding/json"
	"io"
)

// printJSON writes v as one indented JSON document.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// eventWriter writes one JSON object a line.
type eventWriter struct{ e *json.Encoder }

func newEventWriter(w io.Writer) eventWriter {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return eventWriter{e}
}

func (e eventWriter) write(v any) error { return e.e.Encode(v) }
