package pruning

import "pith/calib"

// Scorer says what elements of a weight are worth.
type Scorer interface {
	Name() string
	Needs() calib.Need
	// Scores returns the scores of a rows × in.Cols weight; or why they cannot be had, in a few words.
	Scores(in *Inputs, rows int) (score Score, why string)
}

// Score sets dst to the scores of a run of elements of one row, whose current values are w: those of columns col … col+len(w)-1. The
// higher, the more is lost without the element. Solvers that update weights score the updated ones. It is safe for concurrent use.
type Score func(dst, w []float32, row, col int)
