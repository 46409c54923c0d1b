package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"pith/tensor"
)

// scaledSuffix marks the name of a codec whose terms have factors for their inputs.
const scaledSuffix = "-scaled"

// scaledCodec stores W = T·diag(f): T by another codec, and a factor for each input feature, so that x·Wᵀ = (x·diag(f))·Tᵀ. Columns that
// matter more are stored larger, their factors smaller, and their rounding errors shrink with the factors (Lin et al. 2023, AWQ, arXiv
// 2306.00978, section 3.2). AWQ folds factors into the layer before; here the runtime multiplies by them, which any input allows. The
// factors are the part "inputs", F16, positive: 16/rows bits per weight. quantizers.AWQ chooses them.
type scaledCodec struct {
	inner   Codec
	factors []float32 // nil: Fit chooses
}

// ScaleInputs returns the codec that stores matrices by c with these factors of input features, rounded to F16; nil leaves the choice to Fit.
func ScaleInputs(c Codec, factors []float32) Codec {
	if factors == nil {
		return scaledCodec{inner: c}
	}
	rounded := make([]float32, len(factors))
	for i, f := range factors {
		rounded[i] = tensor.F16ToFloat32(tensor.Float32ToF16(clampFloat(f, lowestFactor, 1/lowestFactor)))
	}
	return scaledCodec{c, rounded}
}

// lowestFactor bounds factors, whose reciprocals and F16 values stay normal numbers.
const lowestFactor = 0x1p-12

// Unscale returns the codec by which c stores scaled matrices; ok is false if c has no factors.
func Unscale(c Codec) (inner Codec, ok bool) {
	s, ok := c.(scaledCodec)
	return s.inner, ok
}

func (c scaledCodec) Name() string               { return c.inner.Name() + scaledSuffix }
func (c scaledCodec) Check(rows, cols int) error { return c.inner.Check(rows, cols) }
func (c scaledCodec) Size(rows, cols int) int64  { return c.inner.Size(rows, cols) + 2*int64(cols) }

// WholeOnly: all rows share the factors.
func (c scaledCodec) WholeOnly() bool { return true }

// HalfQuadratic is the inner codec's.
func (c scaledCodec) HalfQuadratic() bool { return halfQuadratic(c.inner) }

func halfQuadratic(c Codec) bool {
	h, ok := c.(HalfQuadratic)
	return ok && h.HalfQuadratic()
}

func (c scaledCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if len(parts) == 0 || cols < 0 {
		return nil, fmt.Errorf("%d parts stored of shape (%d, %d): the file is damaged", len(parts), rows, cols)
	}
	last := parts[len(parts)-1]
	if err := checkParts(parts[len(parts)-1:], partSpec{"inputs", tensor.F16}); err != nil {
		return nil, err
	}
	if err := checkLength(last, 2*int64(cols)); err != nil {
		return nil, err
	}
	inner, err := c.inner.Open(rows, cols, parts[:len(parts)-1])
	if err != nil {
		return nil, err
	}
	factors := make([]float32, cols)
	tensor.Decode(factors, tensor.F16, last.Data, 0)
	for i, f := range factors {
		if !(f > 0) || math.IsInf(float64(f), 1) {
			return nil, fmt.Errorf("part %q: factor %d is %g: the file is damaged", "inputs", i, f)
		}
	}
	return scaledTerm{inner, factors}, nil
}

// Fit fits the inner codec to the columns of w over their factors. Where none were given, they follow the square root of the inputs'
// magnitudes: AWQ's α = 1/2; all are 1 if columns matter equally.
func (c scaledCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	checkImportance(w, importance)
	factors := c.factors
	if factors == nil {
		factors = ScaleInputs(c.inner, InputFactors(importance, w.Cols, 0.5)).(scaledCodec).factors
	}
	if len(factors) != w.Cols {
		panic("codec: factors must be one per column")
	}
	g := scaledGrid{factors: factors, reciprocals: make([]float32, w.Cols)}
	for i, f := range factors {
		g.reciprocals[i] = 1 / f
	}
	if importance != nil {
		scaled := make([]float32, w.Cols)
		for i, s := range importance {
			scaled[i] = float32(s*factors[i]) * factors[i]
		}
		importance = scaled
	}
	var err error
	if g.inner, err = c.inner.Fit(g.scaled(w), importance, o); err != nil {
		return nil, err
	}
	if banded, ok := g.inner.(Banded); ok {
		return bandedScaledGrid{g, banded}, nil
	}
	return g, nil
}

// InputFactors returns AWQ's factors for a strength alpha: magnitude^-alpha, the magnitude of a feature being the root of its
// importance (mean square), divided by the geometric mean of their extremes. They are 1 without importance.
func InputFactors(importance []float32, cols int, alpha float64) []float32 {
	factors := make([]float32, cols)
	top := float32(0)
	for _, v := range importance {
		top = max(top, v)
	}
	if top == 0 {
		for i := range factors {
			factors[i] = 1
		}
		return factors
	}
	exact := make([]float64, cols)
	low, high := math.Inf(1), 0.0
	for i, v := range importance {
		exact[i] = math.Pow(max(float64(v)/float64(top), 1e-8), -alpha/2)
		low, high = min(low, exact[i]), max(high, exact[i])
	}
	for i, f := range exact {
		factors[i] = float32(f / math.Sqrt(low*high))
	}
	return factors
}

// scaledGrid rounds columns over their factors.
type scaledGrid struct {
	inner                Grid
	factors, reciprocals []float32
}

// scaled returns a copy of w with columns over their factors.
func (g scaledGrid) scaled(w tensor.Mat) tensor.Mat {
	m := tensor.NewMat(w.Rows, w.Cols)
	for r := range w.Rows {
		row := m.Row(r)
		for c, v := range w.Row(r) {
			row[c] = v * g.reciprocals[c]
		}
	}
	return m
}

func (g scaledGrid) Step() int                 { return g.inner.Step() }
func (g scaledGrid) Round(w tensor.Mat, c int) { g.around(g.inner.Round, g.inner.Step(), w, c) }
func (g scaledGrid) RoundAll(w tensor.Mat)     { RoundAll(g.inner, g.scaled(w), 1) }
func (g scaledGrid) Pack() Term                { return scaledTerm{g.inner.Pack(), g.factors} }

// around rounds columns c … c+step of w over their factors.
func (g scaledGrid) around(round func(w tensor.Mat, c int), step int, w tensor.Mat, c int) {
	end := min(c+step, w.Cols)
	multiply := func(by []float32) {
		for r := range w.Rows {
			row := w.Row(r)
			for i := c; i < end; i++ {
				row[i] *= by[i]
			}
		}
	}
	multiply(g.reciprocals)
	round(w, c)
	multiply(g.factors)
}

// bandedScaledGrid is a scaledGrid whose inner grid has bands.
type bandedScaledGrid struct {
	scaledGrid
	banded Banded
}

func (g bandedScaledGrid) Bands() []Band {
	var bands []Band
	for _, b := range g.banded.Bands() {
		bands = append(bands, scaledBand{b, g.scaledGrid})
	}
	return bands
}

// scaledBand is a band of a scaledGrid.
type scaledBand struct {
	Band
	grid scaledGrid
}

func (b scaledBand) Round(w tensor.Mat, c int) { b.grid.around(b.Band.Round, b.Step(), w, c) }

// scaledTerm is T·diag(factors).
type scaledTerm struct {
	inner   Term
	factors []float32
}

func (t scaledTerm) Codec() string    { return t.inner.Codec() + scaledSuffix }
func (t scaledTerm) Dims() (int, int) { return t.inner.Dims() }
func (t scaledTerm) Bytes() int64     { return t.inner.Bytes() + 2*int64(len(t.factors)) }
func (t scaledTerm) rowAlign() int    { return alignOf(t.inner) }

func (t scaledTerm) Parts() []Part {
	data := make([]byte, 2*len(t.factors))
	for i, f := range t.factors {
		binary.LittleEndian.PutUint16(data[2*i:], tensor.Float32ToF16(f))
	}
	inner := t.inner.Parts()
	return append(inner[:len(inner):len(inner)], Part{Name: "inputs", DType: tensor.F16, Shape: []int{len(t.factors)}, Data: data})
}

func (t scaledTerm) AddTo(dst tensor.Mat, r0 int) {
	addTurned(t.inner, dst, r0, func(row []float32) {
		for c, f := range t.factors {
			row[c] *= f
		}
	})
}

// MulAdd multiplies scaled activations by what is stored.
func (t scaledTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	checkProduct(t, y, in, r0, r1)
	t.inner.MulAdd(y, in.Scaled(t.factors), r0, r1)
}
