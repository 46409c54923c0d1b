package pruning

import "pith/approx"

// Menu returns one entry: the exact size, and the loss of rows spread evenly over the matrix (the same ones every time), pruned as if they
// were all of it: of their outputs where the method knows the Gram matrix, else of their weights. Shapes that the codec cannot store, and codecs that
// store every element, have none.
func (m Prune) Menu(p approx.Problem) ([]approx.Entry, error) {
	if m.Check(p.W.Rows, p.W.Cols) != nil {
		return nil, nil
	}
	sample := p
	sample.W = approx.SampleRows(p.W, approx.MenuRows)
	return approx.Predict(m, m.Codec, p, sample)
}
