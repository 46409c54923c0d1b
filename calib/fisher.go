package calib

// Fisher is the diagonal of the empirical Fisher information of one weight, summed over its rows and over its columns: with g the gradients of the
// loss of single sequences, Σ over sequences and columns (rows) of g². Methods look at ratios only.
type Fisher struct {
	Rows []float64 // one entry a row (output)
	Cols []float64 // one entry a column (input)
}
