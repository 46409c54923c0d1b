package codec

import (
	"encoding/binary"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// Fit gives each group the scale that suits Gaussian weights of the group's root mean square. With o.Search the scale is searched (bookFitter).
func (c bookCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	checkImportance(w, importance)
	groups, group := c.groups(w.Cols), c.groupCols(w.Cols)
	t := &bookTerm{bookCodec: c, rows: w.Rows, cols: w.Cols, scales: make([]byte, 2*w.Rows*groups), codes: make([]byte, w.Rows*c.rowBytes(w.Cols))}
	fitter := bookFitter{book: c.book, codes: make([]uint16, c.vectors(group)), values: make([]float32, group)}
	for r := range w.Rows {
		for k := range groups {
			lo, hi := k*group, min(w.Cols, (k+1)*group)
			x := w.Row(r)[lo:hi]
			pos, neg, finite := kernels.Extremes(x)
			if !finite || max(pos, neg) > maxBookWeight {
				bad := errTooLarge
				if !finite {
					bad = errNotFinite
				}
				return nil, weightError(x, r, lo, c.Name(), bad)
			}
			s := fitter.gaussian(x)
			if o.Search {
				var weights []float32
				if importance != nil {
					weights = importance[lo:hi]
				}
				s = fitter.refine(x, weights, s, max(pos, neg))
			}
			if wide := tensor.Float32ToF16(tensor.F16ToFloat32(s) * o.gain()); wide&0x7c00 != 0x7c00 {
				s = wide
			}
			binary.LittleEndian.PutUint16(t.scales[2*(r*groups+k):], s)
		}
	}
	return &bookGrid{term: t}, nil
}

// maxBookWeight bounds weights so that every scale that a fit may try is a finite F16.
const maxBookWeight = 1 << 14

// bookGrid rounds to the scales of term.
type bookGrid struct {
	term  *bookTerm
	codes []uint16 // (rows, vectors), made by the first Round
}

func (g *bookGrid) Step() int { return g.term.dim }

func (g *bookGrid) Round(w tensor.Mat, c int) {
	g.unpacked()
	g.round(w, c, 0)
}

func (g *bookGrid) unpacked() {
	if t := g.term; g.codes == nil {
		g.codes = make([]uint16, t.rows*t.vectors(t.cols))
	}
}

// round rounds the vectors at column c of w, whose first row is row r0 of the grid.
func (g *bookGrid) round(w tensor.Mat, c, r0 int) {
	t := g.term
	groups, vectors, end := t.groups(t.cols), t.vectors(t.cols), min(c+t.dim, t.cols)
	for r := range w.Rows {
		stored := binary.LittleEndian.Uint16(t.scales[2*((r0+r)*groups+c/t.groupCols(t.cols)):])
		x := w.Row(r)[c:end]
		code := g.codes[(r0+r)*vectors+c/t.dim:][:1]
		t.encodeAll(code, x, inverseOf(stored))
		t.decode(x, code, tensor.F16ToFloat32(stored))
	}
}

// bookLimit bounds what is encoded, in units of the book, so that distances stay numbers whatever solvers feed back.
const bookLimit = 256

// encodeAll sets codes to those of the vectors of x times inverse. Past the end of x there are zeros.
func (b *book) encodeAll(codes []uint16, x []float32, inverse float32) {
	var v [8]float32
	for i := range codes {
		part := x[min(len(x), i*b.dim):min(len(x), (i+1)*b.dim)]
		for j, w := range part {
			v[j] = clampFloat(float32(w*inverse), -bookLimit, bookLimit)
		}
		clear(v[len(part):])
		codes[i] = b.encode(v[:b.dim])
	}
}

// Bands cuts the rows evenly: every one has its own scales.
func (g *bookGrid) Bands() []Band {
	g.unpacked()
	return rowBands(g.term.rows, g.term.dim, g.round)
}

func (g *bookGrid) GroupCols() int { return g.term.groupCols(g.term.cols) }

func (g *bookGrid) RefitGroup(row, group int, factor float32) float32 {
	t := g.term
	return refitScale(t.scales[2*(row*t.groups(t.cols)+group):], factor)
}

// refitScale multiplies a stored F16 scale by factor and returns the factor that rounding leaves; a scale that would vanish or
// overflow stays as it is.
func refitScale(stored []byte, factor float32) float32 {
	old := tensor.F16ToFloat32(binary.LittleEndian.Uint16(stored))
	next := tensor.Float32ToF16(old * factor)
	if next&0x7fff == 0 || next&0x7c00 == 0x7c00 {
		return 1
	}
	binary.LittleEndian.PutUint16(stored, next)
	return tensor.F16ToFloat32(next) / old
}

func (g *bookGrid) RoundAll(w tensor.Mat) {
	t := g.term
	g.codes = nil
	groups, group, rowBytes := t.groups(t.cols), t.groupCols(t.cols), t.rowBytes(t.cols)
	codes := make([]uint16, t.vectors(t.cols))
	for r := range t.rows {
		for k := range groups {
			lo, hi := k*group, min(t.cols, (k+1)*group)
			stored := binary.LittleEndian.Uint16(t.scales[2*(r*groups+k):])
			t.encodeAll(codes[lo/t.dim:t.vectors(hi)], w.Row(r)[lo:hi], inverseOf(stored))
		}
		packWide(t.codes[r*rowBytes:(r+1)*rowBytes], codes, t.width)
	}
}

func (g *bookGrid) Pack() Term {
	t := g.term
	if g.codes != nil {
		rowBytes, vectors := t.rowBytes(t.cols), t.vectors(t.cols)
		for r := range t.rows {
			packWide(t.codes[r*rowBytes:(r+1)*rowBytes], g.codes[r*vectors:(r+1)*vectors], t.width)
		}
		g.codes = nil
	}
	return t
}

// bookFitter chooses the scale of one group.
type bookFitter struct {
	*book
	codes  []uint16  // scratch
	values []float32 // scratch
}

// gaussian returns the scale for Gaussian weights of x's root mean square.
func (f *bookFitter) gaussian(x []float32) uint16 {
	if len(x) == 0 {
		return 0
	}
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v) // exact
	}
	return tensor.Float32ToF16(float32(math.Sqrt(sum/float64(len(x)))) * f.scale)
}

// bookSteps is how many fractions of the Gaussian's scale a search tries, from bookLowest up to the scale at which nothing is clipped.
const (
	bookSteps  = 16
	bookLowest = 0.6
)

// refine returns the scale of least Σ weights·(x - Ŵ)² among fractions of the start's, and what alternating nearest codes and least
// squares makes of the best. Its error is never larger than start's.
func (f *bookFitter) refine(x, weights []float32, start uint16, peak float32) uint16 {
	base := tensor.F16ToFloat32(start)
	if base == 0 {
		return start
	}
	best := start
	bestLoss, fitted := f.measure(x, weights, start)
	highest := min(max(1.5, peak/f.top/base), 16)
	try := func(s uint16) {
		if s == 0 || s == start {
			return
		}
		if loss, ls := f.measure(x, weights, s); loss < bestLoss {
			best, bestLoss, fitted = s, loss, ls
		}
	}
	for i := range bookSteps {
		ratio := bookLowest * math.Pow(float64(highest)/bookLowest, float64(i)/(bookSteps-1))
		try(tensor.Float32ToF16(base * float32(ratio)))
	}
	for range 4 {
		last := best
		if try(fitted); best == last {
			break
		}
	}
	return best
}

// measure returns the error of nearest codes at scale s, and the scale of least squares for these codes (0: none).
func (f *bookFitter) measure(x, weights []float32, s uint16) (loss float64, fitted uint16) {
	step := tensor.F16ToFloat32(s)
	codes, values := f.codes[:(len(x)+f.dim-1)/f.dim], f.values[:len(x)]
	f.encodeAll(codes, x, inverseOf(s))
	f.decode(values, codes, step)
	var xu, uu float64
	for i, v := range values {
		weight := 1.0
		if weights != nil {
			weight = float64(weights[i])
		}
		d := float64(x[i] - v)
		loss += float64(weight * float64(d*d))
		xu += float64(weight * (float64(x[i]) * float64(v)))
		uu += float64(weight * (float64(v) * float64(v)))
	}
	if uu == 0 || xu <= 0 {
		return loss, 0
	}
	h := tensor.Float32ToF16(float32(float64(step) * xu / uu))
	if h&0x7c00 == 0x7c00 {
		return loss, 0
	}
	return loss, h
}
