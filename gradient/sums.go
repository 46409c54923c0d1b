package gradient

import (
	"pith/calib"
	"pith/kernels"
	"pith/tensor"
)

// sums is what one window adds.
type sums struct {
	fisher map[string]*calib.Fisher
	seen   func(weight string, g tensor.Mat)
}

func newSums(n *network, window int) sums {
	s := sums{fisher: map[string]*calib.Fisher{}}
	if n.seen != nil {
		s.seen = func(weight string, g tensor.Mat) { n.seen(window, weight, g) }
	}
	return s
}

// add takes the gradient of y = x·Wᵀ: slopeᵀ·x, slope being that of the loss with regard to y.
func (s *sums) add(weight string, slope, x tensor.Mat) {
	t := transposed(slope)
	g := tensor.NewMat(t.Rows, x.Cols)
	kernels.GemmNN(g.Data, g.Stride, t.Data, t.Stride, x.Data, x.Stride, t.Rows, x.Cols, x.Rows)
	if s.seen != nil {
		s.seen(weight, g)
	}
	f := &calib.Fisher{Rows: make([]float64, g.Rows), Cols: make([]float64, g.Cols)}
	for i := range g.Rows {
		for j, v := range g.Row(i) {
			square := float64(v) * float64(v) // exact
			f.Rows[i] += square
			f.Cols[j] += square
		}
	}
	s.fisher[weight] = f
}

// collect adds the windows' sums in their order.
func collect(to map[string]*calib.Fisher, parts []sums) {
	for _, p := range parts {
		for weight, f := range p.fisher {
			if to[weight] == nil {
				to[weight] = &calib.Fisher{Rows: make([]float64, len(f.Rows)), Cols: make([]float64, len(f.Cols))}
			}
			to[weight].Add(f)
		}
	}
}

func transposed(m tensor.Mat) tensor.Mat {
	t := tensor.NewMat(m.Cols, m.Rows)
	for r := range m.Rows {
		for c, v := range m.Row(r) {
			t.Data[c*t.Stride+r] = v
		}
	}
	return t
}

// forwards returns x·Wᵀ + bias.
func forwards(x tensor.Mat, w linear) tensor.Mat {
	y := tensor.NewMat(x.Rows, w.m.Rows)
	if w.bias != nil {
		for r := range y.Rows {
			copy(y.Row(r), w.bias)
		}
	}
	kernels.GemmNT(y.Data, y.Stride, x.Data, x.Stride, w.m.Data, w.m.Stride, x.Rows, w.m.Rows, x.Cols)
	return y
}

// backwards adds slope·W to dx: the slope with regard to x of y = x·Wᵀ.
func backwards(dx, slope tensor.Mat, w linear) {
	kernels.GemmNN(dx.Data, dx.Stride, slope.Data, slope.Stride, w.m.Data, w.m.Stride, slope.Rows, w.m.Cols, slope.Cols)
}
