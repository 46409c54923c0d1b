package pruning

import (
	"pith/codec"
	"pith/tensor"
)

// Selector decides from scores which elements stay: those of the highest; of equal ones those in later rows, then columns. How many is
// told it, exactly.
type Selector interface {
	Name() string
	// Stretch returns how many columns are decided together: scores of one stretch are enough to decide it.
	Stretch(cols int) int
	// RowWise reports whether rows are decided one by one.
	RowWise() bool
	// Select sets in m what stays of the stretch that starts at column c0, in the rows from r0 (all, unless RowWise), whose scores are
	// given; the last stretch may be narrower. kept is how many elements of the whole of m are to stay.
	Select(m *codec.Mask, r0, c0 int, scores tensor.Mat, kept int64)
}

// share returns how many of total fall to the parts from … to of count equal ones: whole numbers whose sum over all parts is total.
func share(total int64, from, to, count int) int {
	at := func(i int) int64 { // total·i may be beyond 63 bits; the parts of quotient and remainder are not
		n := int64(count)
		return total/n*int64(i) + total%n*int64(i)/n
	}
	return int(at(to) - at(from))
}
