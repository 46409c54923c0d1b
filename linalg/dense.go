package linalg

import (
	"errors"
	"math"

	"pith/internal/par"
	"pith/kernels"
)

// ErrNotFinite is returned for matrices with elements that are NaN or infinite.
var ErrNotFinite = errors.New("the matrix has elements that are not finite")

// Dense is a matrix by rows: element (i, j) is Data[i·Cols+j].
type Dense struct {
	Rows, Cols int
	Data       []float64
}

// NewDense returns a zero matrix.
func NewDense(rows, cols int) Dense { return Dense{rows, cols, make([]float64, rows*cols)} }

// Row returns row i.
func (a Dense) Row(i int) []float64 { return a.Data[i*a.Cols : (i+1)*a.Cols] }

// Clone returns a copy.
func (a Dense) Clone() Dense { return Dense{a.Rows, a.Cols, append([]float64(nil), a.Data...)} }

// Transposed returns the transposed matrix.
func (a Dense) Transposed() Dense {
	const tile = 32
	t := NewDense(a.Cols, a.Rows)
	for i0 := 0; i0 < a.Rows; i0 += tile {
		for j0 := 0; j0 < a.Cols; j0 += tile {
			for i := i0; i < min(i0+tile, a.Rows); i++ {
				for j := j0; j < min(j0+tile, a.Cols); j++ {
					t.Data[j*a.Rows+i] = a.Data[i*a.Cols+j]
				}
			}
		}
	}
	return t
}

// strip is how many rows of a product a worker computes at once: enough to pay for the packing of what they are multiplied by.
const strip = 192

// Times returns A·B.
func (a Dense) Times(b Dense, workers int) Dense {
	if a.Cols != b.Rows {
		panic("linalg: product of matrices whose shapes do not agree")
	}
	c := NewDense(a.Rows, b.Cols)
	par.Ranges(workers, a.Rows, strip, func(lo, hi int) {
		if b.Cols > 0 && a.Cols > 0 {
			kernels.Gemm64NN(c.Data[lo*c.Cols:], c.Cols, a.Data[lo*a.Cols:], a.Cols, b.Data, b.Cols, hi-lo, b.Cols, a.Cols)
		}
	})
	return c
}

// TimesT returns A·Bᵀ.
func (a Dense) TimesT(b Dense, workers int) Dense {
	if a.Cols != b.Cols {
		panic("linalg: product of matrices whose shapes do not agree")
	}
	c := NewDense(a.Rows, b.Rows)
	par.Ranges(workers, a.Rows, strip, func(lo, hi int) {
		if b.Rows > 0 && a.Cols > 0 {
			kernels.Gemm64NT(c.Data[lo*c.Cols:], c.Cols, a.Data[lo*a.Cols:], a.Cols, b.Data, b.Cols, hi-lo, b.Rows, a.Cols)
		}
	})
	return c
}

// largest returns the largest magnitude of an element: infinite or NaN if an element is.
func (a Dense) largest() float64 {
	var m float64
	for _, v := range a.Data {
		if v = math.Abs(v); !(v <= m) {
			if m = v; math.IsNaN(v) {
				return v
			}
		}
	}
	return m
}

func (a Dense) check() {
	if a.Rows < 0 || a.Cols < 0 || len(a.Data) != a.Rows*a.Cols {
		panic("linalg: matrix whose elements are not as many as its shape says")
	}
}
