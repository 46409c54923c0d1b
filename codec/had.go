package codec

import (
	"fmt"

	"pith/kernels"
	"pith/tensor"
)

// rotatedSuffix marks the name of a codec whose terms are stored rotated.
const rotatedSuffix = "-had"

// rotatedCodec stores T = W·Qᵀ by another codec, with Q the fixed random rotation of the columns (kernels.Rotate): W = T·Q, so that
// x·Wᵀ = (Q·x)·Tᵀ. Nothing but T is stored; outliers of W are spread over the row, and what is stored looks Gaussian. Its grid sees
// W as it is, so all columns are rounded together; quantizers.Incoherent rotates problems instead, and lets a method see T's columns.
// docs/methods/incoherence.md.
type rotatedCodec struct{ inner Codec }

// Rotate returns the codec that stores rotated matrices by c.
func Rotate(c Codec) Codec { return rotatedCodec{c} }

// Unrotate returns the codec by which c stores rotated matrices; ok is false if c stores them as they are.
func Unrotate(c Codec) (inner Codec, ok bool) {
	r, ok := c.(rotatedCodec)
	return r.inner, ok
}

// RotateTerm returns the term T·Q of Rotate's codec, for a term t of T.
func RotateTerm(t Term) Term { return rotatedTerm{t} }

func (c rotatedCodec) Name() string                    { return c.inner.Name() + rotatedSuffix }
func (c rotatedCodec) Check(rows, cols int) error      { return c.inner.Check(rows, cols) }
func (c rotatedCodec) Size(rows, cols int) int64       { return c.inner.Size(rows, cols) }
func (c rotatedCodec) WholeOnly() bool                 { return wholeOnly(c.inner) }
func (c rotatedCodec) rotated(w tensor.Mat) tensor.Mat { return rotatedRows(w, kernels.Rotate) }

// wholeOnly reports whether c may store rows otherwise than one after another.
func wholeOnly(c Codec) bool {
	w, ok := c.(WholeOnly)
	return ok && w.WholeOnly()
}

// rotatedRows returns a copy of w with turn applied to each row.
func rotatedRows(w tensor.Mat, turn func([]float32)) tensor.Mat {
	m := tensor.NewMat(w.Rows, w.Cols)
	for r := range w.Rows {
		copy(m.Row(r), w.Row(r))
		turn(m.Row(r))
	}
	return m
}

func (c rotatedCodec) Open(rows, cols int, parts []Part) (Term, error) {
	t, err := c.inner.Open(rows, cols, parts)
	if err != nil {
		return nil, err
	}
	return rotatedTerm{t}, nil
}

// Fit fits the inner codec to the rotated rows. Of importance it keeps what a rotation leaves: its mean.
func (c rotatedCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := checkFit(c, w, importance); err != nil {
		return nil, err
	}
	for r := range w.Rows {
		if pos, neg, _ := kernels.Extremes(w.Row(r)); max(pos, neg) > rotatedLimit {
			return nil, largestError(w, c.Name(), errTooLarge)
		}
	}
	g, err := c.inner.Fit(c.rotated(w), rotatedImportance(importance), o)
	if err != nil {
		return nil, largestError(w, c.Name(), err)
	}
	return rotatedGrid{c, g, w.Cols}, nil
}

// rotatedLimit is the largest magnitude that rotating rows of 2²⁴ columns back and forth leaves finite.
const rotatedLimit = 0x1p90

// rotatedImportance returns the importance of rotated columns.
func rotatedImportance(importance []float32) []float32 {
	if importance == nil {
		return nil
	}
	s := make([]float64, len(importance))
	for i, v := range importance {
		s[i] = float64(v)
	}
	kernels.RotateSquares(s)
	out := make([]float32, len(s))
	for i, v := range s {
		out[i] = float32(v)
	}
	return out
}

// largestError says that the fit of w, whose weights are finite, failed; the cause speaks of other columns than w's, so it names the
// largest weight instead.
func largestError(w tensor.Mat, name string, cause error) error {
	var row, col int
	var top float32
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			if a := max(v, -v); a > top {
				row, col, top = r, c, a
			}
		}
	}
	if top == 0 {
		return cause
	}
	return fmt.Errorf("weight at row %d, column %d is %g: too large for %s; use bf16 or f32 for this tensor", row, col, w.Row(row)[col], name)
}

// rotatedGrid rounds whole rows: all columns are one step.
type rotatedGrid struct {
	codec rotatedCodec
	inner Grid
	cols  int
}

func (g rotatedGrid) Step() int  { return max(g.cols, 1) }
func (g rotatedGrid) Pack() Term { return rotatedTerm{g.inner.Pack()} }

func (g rotatedGrid) Round(w tensor.Mat, _ int) {
	g.RoundAll(w)
	Read(g.Pack(), w, 0)
}

func (g rotatedGrid) RoundAll(w tensor.Mat) {
	RoundAll(g.inner, g.codec.rotated(w), 1)
}

// rotatedTerm is T·Q.
type rotatedTerm struct{ inner Term }

func (t rotatedTerm) Codec() string    { return t.inner.Codec() + rotatedSuffix }
func (t rotatedTerm) Dims() (int, int) { return t.inner.Dims() }
func (t rotatedTerm) Bytes() int64     { return t.inner.Bytes() }
func (t rotatedTerm) Parts() []Part    { return t.inner.Parts() }

// rowAlign is the inner term's.
func (t rotatedTerm) rowAlign() int { return alignOf(t.inner) }

// alignOf returns how many rows t multiplies at once.
func alignOf(t Term) int {
	if a, ok := t.(rowAligner); ok {
		return a.rowAlign()
	}
	return 1
}

// turnedTile is how many rows are decoded at a time: codecs of bands decode whole bands.
const turnedTile = 64

func (t rotatedTerm) AddTo(dst tensor.Mat, r0 int) { addTurned(t.inner, dst, r0, kernels.RotateBack) }

// addTurned adds rows r0 … of inner, with turn applied to each, to dst.
func addTurned(inner Term, dst tensor.Mat, r0 int, turn func([]float32)) {
	rows, cols := inner.Dims()
	if r0 < 0 || r0+dst.Rows > rows || dst.Cols != cols {
		panic("codec: AddTo outside of the term")
	}
	buf := getScratch(min(turnedTile, dst.Rows) * cols)
	defer putScratch(buf)
	for r := 0; r < dst.Rows; {
		n := min(dst.Rows-r, turnedTile-(r0+r)%turnedTile)
		tile := tensor.Of(n, cols, (*buf)[:n*cols])
		Read(inner, tile, r0+r)
		for i := range n {
			turn(tile.Row(i))
			kernels.Axpy(dst.Row(r+i), 1, tile.Row(i))
		}
		r += n
	}
}

// MulAdd multiplies rotated activations by what is stored.
func (t rotatedTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	checkProduct(t, y, in, r0, r1)
	t.inner.MulAdd(y, in.Rotated(), r0, r1)
}
