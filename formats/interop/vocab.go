package interop

import (
	"pith/formats"
)

func vocabKV(tok any, n int, warn func(string)) ([]formats.KV, error) { return nil, nil }
