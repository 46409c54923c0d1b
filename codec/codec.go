// Package codec defines what stored bits mean. A Term is one summand of a compressed weight; a Codec makes terms of one
// layout, and knows their exact size before any data is read. Which bits to choose is the business of quantizers.
package codec

import "pith/tensor"

// Part is one stored piece of a term ("codes", "scales", …): a tensor whose Name is the piece's short name.
type Part = tensor.Tensor

// Term is one summand of a weight of Dims() = (rows, cols) = (out, in): W ≈ Σ terms. Terms are immutable and safe for concurrent use.
type Term interface {
	Codec() string                              // stable name, written to files: "int4-g128", "q4_k", "bf16"
	Dims() (rows, cols int)                     // of the whole matrix
	Bytes() int64                               // exact stored size of all parts
	Parts() []Part                              // what a file stores, in a fixed order
	AddTo(dst tensor.Mat, r0 int)               // dst += rows r0 … r0+dst.Rows of the term: the reference decoder, the definition
	MulAdd(y tensor.Mat, in *Input, r0, r1 int) // y[:, r0:r1] += x·(rows r0…r1)ᵀ, one row of y per token; agrees with AddTo within the kernel's stated error
}

// Codec is one layout of stored weights.
type Codec interface {
	Name() string
	// Check returns an error that says why, and what would do, if a rows × cols matrix cannot be stored.
	Check(rows, cols int) error
	// Size returns the exact bytes of a rows × cols term, metadata of the container excluded.
	Size(rows, cols int) int64
	// Fit chooses scales for w and returns the grid of values that can be stored with them. importance weighs the
	// columns (nil: all equal); it is only looked at by codecs that search.
	Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error)
	// Open makes a term of stored parts, checking every length; it never trusts them.
	Open(rows, cols int, parts []Part) (Term, error)
}

// FitOptions are the choices a user may make about fitting scales. The zero value is the format's reference encoder.
type FitOptions struct {
	Search bool // search scales that minimise the (importance-weighted) squared error instead of the reference rule
	// HalfQuadratic fits offsets that make Σ |error|^0.7 small (HQQ), where the codec is a HalfQuadratic.
	HalfQuadratic bool
	// Gain multiplies the fitted scales where the layout has some of its own to choose (int*, tcq-*): what error feedback
	// rounds spreads wider than w. 0 means 1.
	Gain float32
	// Mask says which elements a Sparse codec stores, of the shape of w; scales are then fitted to these only. nil: Fit chooses. Other
	// codecs store all and do not look at it.
	Mask *Mask
}

// gain returns o.Gain, 1 where it is not set.
func (o FitOptions) gain() float32 {
	if o.Gain == 0 {
		return 1
	}
	return o.Gain
}

// Grid is the set of representable values of one fitted matrix, and the codes chosen so far. Solvers see nothing else.
type Grid interface {
	Step() int                 // columns rounded together: 1 for scalars
	Round(w tensor.Mat, c int) // columns [c, c+Step) of w → nearest representable values, in place; codes recorded
	Pack() Term                // the term of the recorded codes, once every column was rounded
}

// WholeRounder is a Grid that rounds all columns at once faster than column by column, with the same codes. w is left as it is.
type WholeRounder interface{ RoundAll(w tensor.Mat) }

// Banded is a Grid whose rows fall into bands that do not depend on one another: different goroutines may round different
// bands. Bands lists them in the order of their rows, which they cover; what they round, the grid's Pack returns.
type Banded interface{ Bands() []Band }

// Band is some rows of a Grid.
type Band interface {
	Rows() (r0, r1 int)        // rows r0 … r1-1 of the grid
	Step() int                 // columns rounded together in these rows
	Round(w tensor.Mat, c int) // as Grid.Round, but w has the band's rows only; past the last column there is nothing to round
}

// Reverter is a Band, or a Grid, that can take a choice back: right after Round(w, c), Revert(c) puts back the codes which that
// call replaced. The caller puts the values back.
type Reverter interface{ Revert(c int) }

// Refitter is a Grid with a scale per row: after every column was rounded, Refit multiplies the row's scale, and with it the
// values that its codes stand for, by factor > 0 as nearly as the layout can store, and returns the factor that it stored.
type Refitter interface {
	Refit(row int, factor float32) float32
}

// GroupRefitter is a Grid with a scale per group of GroupCols consecutive columns of a row: as Refitter, for one of these groups.
type GroupRefitter interface {
	GroupCols() int
	RefitGroup(row, group int, factor float32) float32
}

// WholeOnly is a Codec that may not store rows one after another: methods then solve whole weights, not tiles of rows.
type WholeOnly interface{ WholeOnly() bool }

// HalfQuadratic is a Codec that may heed FitOptions.HalfQuadratic.
type HalfQuadratic interface{ HalfQuadratic() bool }
