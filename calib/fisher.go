package calib

// Fisher is the diagonal of the empirical Fisher information of one weight, summed over its rows and over its columns: with g the gradients of the
// loss of single sequences, Σ over sequences and columns (rows) of g². Methods look at ratios only.
type Fisher struct {
	Rows []float64 // one entry a row (output)
	Cols []float64 // one entry a column (input)
}

// Add adds the sums of other sequences.
func (f *Fisher) Add(other *Fisher) {
	if len(f.Rows) != len(other.Rows) || len(f.Cols) != len(other.Cols) {
		panic("calib: squared gradients of weights of different shapes")
	}
	add(f.Rows, other.Rows)
	add(f.Cols, other.Cols)
}
