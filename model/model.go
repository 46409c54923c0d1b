package model

import (
	"sync"

	"pith/codec"
)

// Model is a loaded network. It is safe for concurrent use; sessions are not.
type Model struct {
	config        Config
	workers       int
	embed         *codec.Weight
	positions     *codec.Weight // nil without learned positions
	layers        []layer
	finalNorm     norm
	head          linear
	draftIDs      []int32 // of the head's rows; nil: all tokens
	global, local *rotations
	spaces        *sync.Pool
	swap          *sync.RWMutex // passes read the layers' terms, SetTerms replaces them
	policy        Policy        // how combinations of atoms are multiplied
	folded        []layer       // the layers with combinations made, if that is Fold
	rings         *rings        // what Materialise has made
}

type layer struct {
	attnNorm, mlpNorm, postAttn, postMLP norm
	qNorm, kNorm                         norm
	qkv, out, up, down                   linear // qkv: queries, keys, values; up: gate (if any), then up
	attnShort, mlpShort                  linear // rows 0: the identity
}

// linear is y = W·x + b, where W's rows may be spread over several weights that read the same input.
type linear struct {
	parts  []part
	bias   []float32 // nil: none
	rows   int
	pieces []piece // how workers share it
}

type part struct {
	w   *codec.Weight
	row int // first row of the linear that w makes
}

// piece is rows [r0, r1) of a part.
type piece struct{ part, r0, r1 int }

// divide splits a linear into pieces, several per worker so that a late one costs little.
func (l *linear) divide(workers int) {
	grain := min(max((l.rows/(4*workers)+31)&^31, 32), 256)
	for p := range l.parts {
		rows := l.parts[p].w.Rows
		for r := 0; r < rows; r += grain {
			l.pieces = append(l.pieces, piece{p, r, min(rows, r+grain)})
		}
	}
}

// Config returns the configuration the model was made from.
func (m *Model) Config() Config { return m.config }

// MaxTokens returns the longest sequence that the model has positions for; 0 means that nothing but quality limits it.
func (m *Model) MaxTokens() int {
	if m.config.LearnedPositions {
		return m.config.MaxPositions
	}
	return 0
}
