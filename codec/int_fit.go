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
	fitter := intFitter{bits: c.bits, asym: c.asym, search: o.Search, gain: o.gain()}
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

// checkFit returns why c cannot be fitted to w.
func checkFit(c Codec, w tensor.Mat, importance []float32) error {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return err
	}
	checkImportance(w, importance)
	return CheckFinite(w)
}

func checkImportance(w tensor.Mat, importance []float32) {
	if importance != nil && len(importance) != w.Cols {
		panic("codec: importance must have one entry per column")
	}
}
