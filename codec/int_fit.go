package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// Fit chooses for each group the scale that makes its largest magnitude representable exactly (up to F16): scale =
// extreme/-2^(bits-1), signed, so that the one code which has no opposite is used. Asymmetric groups map [min, max] to the range
// of codes. With o.Search, see intSearch.
func (c intCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	checkImportance(w, importance)
	groups, group := c.groups(w.Cols), c.groupCols(w.Cols)
	n := w.Rows * groups
	t := &intTerm{intCodec: c, rows: w.Rows, cols: w.Cols, scales: make([]byte, 2*n), codes: make([]byte, w.Rows*packedBytes(w.Cols, c.bits))}
	g := &intGrid{term: t, params: make([]kernels.Rounding, n)}
	if c.asym {
		t.zeros = make([]byte, n)
	}
	fitter := intFitter{bits: c.bits, asym: c.asym, search: o.Search}
	for r := range w.Rows {
		row := w.Row(r)
		for k := range groups {
			lo, hi := k*group, min(w.Cols, (k+1)*group)
			var weights []float32
			if importance != nil {
				weights = importance[lo:hi]
			}
			f, bad := fitter.fit(row[lo:hi], weights)
			if bad != nil {
				return nil, weightError(row[lo:hi], r, lo, c.Name(), bad)
			}
			i := r*groups + k
			binary.LittleEndian.PutUint16(t.scales[2*i:], f.scale)
			if c.asym {
				t.zeros[i] = byte(f.zero)
			}
			g.params[i] = c.rounding(f)
		}
	}
	return g, nil
}

// intScale is what one group stores.
type intScale struct {
	scale uint16 // F16
	zero  int8
}

// rounding returns what rounding needs of a group whose scale and zero are s: code = clamp(round(w/scale)) - low.
func (c intCodec) rounding(s intScale) kernels.Rounding {
	low := int32(kernels.RoundMagicBits) - 1<<(c.bits-1) - int32(s.zero)
	return kernels.Rounding{Inverse: inverseOf(s.scale), Low: low, High: low + 1<<c.bits - 1, Base: low}
}

func inverseOf(scale uint16) float32 {
	if s := tensor.F16ToFloat32(scale); s != 0 {
		return 1 / s
	}
	return 0
}

// weightError says which weight made a fit impossible.
func weightError(group []float32, r, c0 int, name string, bad error) error {
	worst, at := float32(-1), 0
	for i, v := range group {
		if v-v != 0 {
			return fmt.Errorf("weight at row %d, column %d is %v: repair the checkpoint, or exclude this tensor", r, c0+i, v)
		}
		if a := float32(math.Abs(float64(v))); a > worst {
			worst, at = a, i
		}
	}
	return fmt.Errorf("weight at row %d, column %d is %g: %w for %s; use bf16 or f32 for this tensor", r, c0+at, group[at], bad, name)
}

func checkImportance(w tensor.Mat, importance []float32) {
	if importance != nil && len(importance) != w.Cols {
		panic("codec: importance must have one entry per column")
	}
}

// intGrid rounds to the scales of term.
type intGrid struct {
	term   *intTerm
	params []kernels.Rounding
	codes  []uint8 // (rows, cols), made by the first Round
}

func (g *intGrid) Step() int { return 1 }

func (g *intGrid) Round(w tensor.Mat, c int) {
	t := g.term
	if g.codes == nil {
		g.codes = make([]uint8, t.rows*t.cols)
	}
	groups, k := t.groups(t.cols), c/t.groupCols(t.cols)
	for r := range t.rows {
		p := g.params[r*groups+k]
		v := &w.Data[r*w.Stride+c]
		q := p.Code(*v)
		g.codes[r*t.cols+c] = uint8(q)
		scale := tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.scales[2*(r*groups+k):]))
		*v = scale * float32(q+p.Base-kernels.RoundMagicBits)
	}
}

func (g *intGrid) RoundAll(w tensor.Mat) {
	t := g.term
	g.codes = nil
	rowBytes := packedBytes(t.cols, t.bits)
	groups, group := t.groups(t.cols), t.groupCols(t.cols)
	buf := make([]uint8, t.cols)
	for r := range t.rows {
		row, dst := w.Row(r), t.codes[r*rowBytes:(r+1)*rowBytes]
		params := g.params[r*groups : (r+1)*groups]
		if t.bits == 4 && group%32 == 0 && t.cols%32 == 0 {
			for k, p := range params {
				kernels.RoundNibbles(dst[k*group/2:], row[k*group:min(t.cols, (k+1)*group)], p)
			}
			continue
		}
		codes := buf
		if t.bits == 8 {
			codes = dst
		}
		for k, p := range params {
			if t.bits == 8 { // the byte that packCodes makes of a code
				p.Base += 128
			}
			lo, hi := k*group, min(t.cols, (k+1)*group)
			kernels.RoundCodes(codes[lo:hi], row[lo:hi], p)
		}
		if t.bits != 8 {
			packCodes(dst, codes, t.bits)
		}
	}
}

func (g *intGrid) Pack() Term {
	t := g.term
	if g.codes != nil {
		rowBytes := packedBytes(t.cols, t.bits)
		for r := range t.rows {
			packCodes(t.codes[r*rowBytes:(r+1)*rowBytes], g.codes[r*t.cols:(r+1)*t.cols], t.bits)
		}
		g.codes = nil
	}
	return t
}
