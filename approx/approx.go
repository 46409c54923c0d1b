// Package approx states the problem that every compression method solves, a weight to be replaced by a term, and the loss by
// which they are compared. Quantizers, pruners and factorizers implement Method; none imports another.
package approx

import (
	"context"

	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// Problem is one weight to approximate.
type Problem struct {
	Name  string       // for errors
	W     tensor.Mat   // (out, in); methods leave it as it is
	Stats *calib.Stats // of W's input; nil: data-free
	// Fisher says how much the loss depends on W's rows and columns; nil: not known.
	Fisher *calib.Fisher
	Row0   int // which row of the weight W's first row is, where tiles of rows are solved on their own

	// Mask says which elements are to be stored, by a codec.Sparse; the others become zero, and are zero in W. nil: the codec chooses.
	Mask *codec.Mask

	// Shared is what W's set stores for all its members (Sharer); nil for weights of no set.
	Shared []codec.Term

	// Workers is how many goroutines Solve may use; 0 means 1. Terms and reports never depend on it.
	Workers int

	// Context, if it is not nil, lets Solve return early: soon after the context has ended, with its error. Statistics stay good for others.
	Context context.Context
}

// Err returns why Solve should stop, nil as long as it should not.
func (p Problem) Err() error {
	if p.Context == nil {
		return nil
	}
	return p.Context.Err()
}

// Method replaces a weight by a term.
type Method interface {
	Name() string
	Needs() calib.Need
	Solve(Problem) (codec.Term, Report, error)
	// RowWise reports whether rows are solved independently, so that tiles of rows give what the whole would (codec.Concat).
	RowWise() bool
}

// Report is the error of an approximation Ŵ of W, summed over elements; with statistics each column is weighted by the mean
// square of its input, so that the sums are those of outputs if features were uncorrelated.
type Report struct {
	SquaredError float64 // Σ importance·(W - Ŵ)²
	SquaredNorm  float64 // Σ importance·W²

	// Proxy and ProxyNorm are tr(E H Eᵀ), E = W - Ŵ, and tr(W H Wᵀ) with H the mean of x·xᵀ over tokens: what the outputs lose.
	// Methods that use the Gram matrix set them; 0 elsewhere.
	Proxy, ProxyNorm float64
	// Fallback says, in a few words, what was done instead of the method and why; empty if the method ran.
	Fallback string
}

// Add returns the report of two sets of rows together; of two fallbacks it keeps the first.
func (r Report) Add(other Report) Report {
	r.SquaredError += other.SquaredError
	r.SquaredNorm += other.SquaredNorm
	r.Proxy += other.Proxy
	r.ProxyNorm += other.ProxyNorm
	if r.Fallback == "" {
		r.Fallback = other.Fallback
	}
	return r
}

// Relative returns SquaredError/SquaredNorm, 0 for an exact approximation of zero.
func (r Report) Relative() float64 {
	if r.SquaredError == 0 {
		return 0
	}
	return r.SquaredError / r.SquaredNorm
}

// Measure returns the report of term as an approximation of p.W. Rows are summed in order; reports of tiles of rows add up to
// the whole's up to rounding in float64. It is the same on every machine. Of a problem whose context has ended it says nothing.
func Measure(p Problem, term codec.Term) Report {
	if rows, cols := term.Dims(); rows != p.W.Rows || cols != p.W.Cols {
		panic("approx: Measure of a term of another shape")
	}
	importance := p.Stats.Importance()
	const tile, chunk = 16, 128 // rows decoded at once, and by one goroutine
	chunks := make([]Report, (p.W.Rows+chunk-1)/chunk)
	par.Ranges(p.Workers, p.W.Rows, chunk, func(lo, hi int) {
		if p.Err() != nil {
			return
		}
		buf := tensor.NewMat(min(tile, hi-lo), p.W.Cols)
		sum := &chunks[lo/chunk]
		for r0 := lo; r0 < hi; r0 += tile {
			got := buf.Slice(0, min(tile, hi-r0))
			codec.Read(term, got, r0)
			for r := range got.Rows {
				*sum = sum.Add(rowReport(p.W.Row(r0+r), got.Row(r), importance))
			}
		}
	})
	var total Report
	for _, c := range chunks {
		total = total.Add(c)
	}
	return total
}

// rowReport sums one row in float32 over runs of 64 columns, which loses nothing that matters, and the runs in float64.
func rowReport(w, got, importance []float32) (sum Report) {
	const run = 64
	for c := 0; c < len(w); c += run {
		end := min(c+run, len(w))
		var e, n float32
		a, b := w[c:end], got[c:end]
		if importance == nil {
			e, n = sums(a, b)
		} else {
			for i, s := range importance[c:end] {
				d := a[i] - b[i]
				e += float32(s * float32(d*d))
				n += float32(s * float32(a[i]*a[i]))
			}
		}
		sum.SquaredError += float64(e)
		sum.SquaredNorm += float64(n)
	}
	return sum
}

// sums returns Σ (a-b)² and Σ a², in four interleaved partial sums.
func sums(a, b []float32) (e, n float32) {
	var e0, e1, e2, e3, n0, n1, n2, n3 float32
	b = b[:len(a)]
	for len(a) >= 4 {
		x, y := (*[4]float32)(a), (*[4]float32)(b)
		d0, d1, d2, d3 := x[0]-y[0], x[1]-y[1], x[2]-y[2], x[3]-y[3]
		e0, e1, e2, e3 = e0+float32(d0*d0), e1+float32(d1*d1), e2+float32(d2*d2), e3+float32(d3*d3)
		n0, n1, n2, n3 = n0+float32(x[0]*x[0]), n1+float32(x[1]*x[1]), n2+float32(x[2]*x[2]), n3+float32(x[3]*x[3])
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		d := v - b[i]
		e0, n0 = e0+float32(d*d), n0+float32(v*v)
	}
	return e0 + e1 + e2 + e3, n0 + n1 + n2 + n3
}
