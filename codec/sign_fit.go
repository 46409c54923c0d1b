package codec

import (
	"fmt"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// Fit takes the best magnitude of rank k in the sense of importance: the singular vectors of |W|·diag(√importance).
func (c signCodec) Fit(w tensor.Mat, importance []float32, _ FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	if err := CheckFinite(w); err != nil {
		return nil, err
	}
	u, v := Magnitudes(w, c.k, ColumnScales(importance, 1))
	t, err := c.term(u, v)
	if err != nil {
		r, col, top := largest(w)
		return nil, fmt.Errorf("value %g at row %d, column %d is too large for %s; use bf16 or f32", top, r, col, c.Name())
	}
	return &signGrid{t: t, u: decodedF16(t.u), v: decodedF16(t.v)}, nil
}

// NewSign makes a sign term with all signs clear of u (rows, k) and v (k, cols), rounded to F16 after each pair of vectors was scaled so
// that their largest elements are alike; u and v become what is stored. It fails where a product is beyond F16.
func NewSign(u, v tensor.Mat) (Term, error) {
	c := signCodec{u.Cols}
	if u.Cols != v.Rows || u.Cols < 1 || u.Cols > maxSignRank {
		panic("codec: NewSign of factors of different ranks")
	}
	return c.term(u, v)
}

func (c signCodec) term(u, v tensor.Mat) (*signTerm, error) {
	t := &signTerm{c, u.Rows, v.Cols, make([]byte, u.Rows*((v.Cols+7)/8)), make([]byte, 2*u.Rows*c.k), make([]byte, 2*c.k*v.Cols)}
	for f := range c.k {
		var top, topV float32
		for r := range u.Rows {
			top = max(top, abs(u.Row(r)[f]))
		}
		for _, b := range v.Row(f) {
			topV = max(topV, abs(b))
		}
		if top == 0 || topV == 0 {
			scaleColumn(u, f, 0)
			clear(v.Row(f))
			continue
		}
		_, e := math.Frexp(float64(top))
		_, d := math.Frexp(float64(topV))
		shift := (d - e) >> 1 // a power of two, so that nothing is rounded twice
		scaleColumn(u, f, math.Ldexp(1, shift))
		for i, b := range v.Row(f) {
			v.Row(f)[i] = float32(math.Ldexp(float64(b), -shift))
		}
	}
	for r := range u.Rows {
		kernels.F32ToF16(t.u[2*r*c.k:2*(r+1)*c.k], u.Row(r))
		kernels.F16ToF32(u.Row(r), t.u[2*r*c.k:])
	}
	for f := range c.k {
		kernels.F32ToF16(t.v[2*f*v.Cols:2*(f+1)*v.Cols], v.Row(f))
		kernels.F16ToF32(v.Row(f), t.v[2*f*v.Cols:])
	}
	if checkScales("u", t.u, c.k) != nil || checkScales("v", t.v, max(v.Cols, 1)) != nil {
		return nil, fmt.Errorf("a magnitude is too large for %s", c.Name())
	}
	return t, nil
}

// scaleColumn multiplies column f of u.
func scaleColumn(u tensor.Mat, f int, by float64) {
	for r := range u.Rows {
		u.Row(r)[f] = float32(float64(u.Row(r)[f]) * by)
	}
}

// largest returns the place and the value of the largest magnitude.
func largest(w tensor.Mat) (row, col int, value float32) {
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			if abs(v) > abs(value) {
				row, col, value = r, c, v
			}
		}
	}
	return row, col, value
}

// ColumnScales returns the exponent's power of every column's root mean square, √importance, over the largest, bounded below so that columns
// without importance are approximated all the same; nil if none has any.
func ColumnScales(importance []float32, exponent float64) []float32 {
	var top float64
	for _, v := range importance {
		top = max(top, float64(v))
	}
	if top == 0 {
		return nil
	}
	s := make([]float32, len(importance))
	for i, v := range importance {
		s[i] = float32(max(math.Pow(float64(v)/top, exponent/2), 1e-4))
	}
	return s
}

func decodedF16(data []byte) []float32 {
	out := make([]float32, len(data)/2)
	kernels.F16ToF32(out, data)
	return out
}

// signGrid rounds to ±magnitude.
type signGrid struct {
	t    *signTerm
	u, v []float32
}

func (g *signGrid) Step() int { return 1 }

func (g *signGrid) Round(w tensor.Mat, c int) { g.round(w, c, 0) }

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *signGrid) round(w tensor.Mat, c, r0 int) {
	k, cols := g.t.k, g.t.cols
	for r := range w.Rows {
		var p float32
		for f, a := range g.u[(r0+r)*k : (r0+r+1)*k] {
			p += float32(a * g.v[f*cols+c])
		}
		x, bits := &w.Data[r*w.Stride+c], &g.t.row(r0 + r)[c/8]
		if *x < 0 != (p < 0) && *x != 0 { // the nearer of p and −p
			p = -p
			*bits |= 1 << (c % 8)
		} else {
			*bits &^= 1 << (c % 8)
		}
		*x = p
	}
}

func (g *signGrid) Bands() []Band { return rowBands(g.t.rows, 1, g.round) }

func (g *signGrid) Pack() Term { return g.t }
