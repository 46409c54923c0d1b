package linalg

import (
	"context"
	"math"
	"math/rand/v2"

	"pith/internal/par"
	"pith/kernels"
)

// TopOptions says how carefully TopSVD looks; zeros are the defaults.
type TopOptions struct {
	Oversample int    // vectors besides those asked for; 16
	Power      int    // passes over A and Aᵀ at least; 4. Up to as many again are made where they still gain
	Seed       uint64 // of the random start
	// Approximate returns what the passes found although they did not converge; else the whole decomposition's part takes its place.
	Approximate bool
}

// Residual says how good a truncated decomposition is.
type Residual struct {
	Relative  float64 // ‖A − U·S·V‖ / ‖A‖ in Frobenius' norm, of the result at hand (below 1e-7 this is rounding)
	Excess    float64 // estimate of how much of the squared residual the best matrix of this rank would not have, as a part of it
	Power     int     // iterations made; 0: the decomposition was a whole one
	Converged bool    // Excess is at most 1 %: always, without TopOptions.Approximate
}

const (
	excessGoal = 1e-3    // iterations go on while the estimated excess is above this
	excessWarn = 1e-2    // and the result does not count as converged above this
	noise32    = 0x1p-22 // relative error of what float32 passes say about energies
)

// TopSVD returns the first rank singular values and vectors of a by subspace iteration from a random start, orthonormalized after every
// product (Halko, Martinsson and Tropp 2011, arXiv 0909.4061, algorithms 4.4 and 5.1). All passes but the last multiply in
// float32, which turns the subspace by about 1e-6 of its largest value and costs the square of that in energy; the last one, small
// factors and all orthonormalization are float64. Ranks that are no small part of the matrix are cut from the whole decomposition, and so is what
// does not converge, as where values fall off slowly.
func TopSVD(a Dense, rank int, o TopOptions, workers int) (SVDResult, Residual, error) {
	return TopSVDContext(context.Background(), a, rank, o, workers)
}

// TopSVDContext is TopSVD that stops soon after ctx has ended, with its error.
func TopSVDContext(ctx context.Context, a Dense, rank int, o TopOptions, workers int) (SVDResult, Residual, error) {
	a.check()
	if rank < 0 {
		panic("linalg: TopSVD of a negative rank")
	}
	if o.Oversample <= 0 {
		o.Oversample = 16
	}
	if o.Power <= 0 {
		o.Power = 4
	}
	largest := a.largest()
	if math.IsNaN(largest) || math.IsInf(largest, 1) {
		return SVDResult{}, Residual{}, ErrNotFinite
	}
	if k := rank + o.Oversample; 2*k > min(a.Rows, a.Cols) || largest == 0 {
		return cutSVD(ctx, a, rank, workers)
	}
	t := newTop(ctx, a, largest, workers)
	gains, err := t.iterate(rank+o.Oversample, o)
	if err != nil {
		return SVDResult{}, Residual{}, err
	}
	r, err := t.finish(rank)
	if err != nil {
		return SVDResult{}, Residual{}, err
	}
	left := t.total
	for _, s := range r.S {
		left -= float64(s * s)
	}
	left = max(left, 0)
	res := Residual{Relative: math.Sqrt(left / t.total), Power: gains.power, Converged: true}
	if left > noise32*t.total {
		res.Excess = gains.ahead() / left
		res.Converged = res.Excess <= excessWarn
	}
	if !res.Converged && !o.Approximate {
		return cutSVD(ctx, a, rank, workers)
	}
	for i := range r.S {
		r.S[i] = math.Ldexp(r.S[i], t.exponent)
	}
	return r, res, nil
}

// cutSVD is the whole decomposition's part.
func cutSVD(ctx context.Context, a Dense, rank, workers int) (SVDResult, Residual, error) {
	r, err := SVDContext(ctx, a, workers)
	if err != nil {
		return r, Residual{}, err
	}
	var left, total float64
	for i := len(r.S) - 1; i >= 0; i-- {
		total = math.Hypot(total, r.S[i])
		if i == min(rank, len(r.S)) {
			left = total
		}
	}
	res := Residual{Converged: true}
	if total > 0 && rank < len(r.S) {
		res.Relative = left / total
	}
	return r.Truncate(rank), res, nil
}

// top is a subspace iteration. In what it computes the matrix counts as divided by 2^exponent, so that its elements are 1 at most.
type top struct {
	crew
	exponent   int
	wide       Dense // as it was given, or divided where squares might overflow
	unit       float64
	narrow     []float32 // divided
	total      float64   // squared norm
	rows, cols int
	basis      Dense // (k, cols): orthonormal rows
}

// safeExponent bounds elements whose squares can be summed.
const safeExponent = 400

func newTop(ctx context.Context, a Dense, largest float64, workers int) *top {
	e, unit := scaleOf(largest)
	t := &top{crew: crew{workers, ctx}, exponent: e, wide: a, unit: unit, narrow: make([]float32, len(a.Data)), rows: a.Rows, cols: a.Cols}
	copied := e < -safeExponent || e > safeExponent
	if copied {
		t.wide, t.unit = NewDense(a.Rows, a.Cols), 1
	}
	energy := make([]float64, a.Rows)
	par.Ranges(workers, a.Rows, grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, short := a.Row(i), t.narrow[i*a.Cols:(i+1)*a.Cols]
			for j, v := range from {
				short[j] = float32(v * unit)
			}
			if copied {
				to := t.wide.Row(i)
				for j, v := range from {
					to[j] = v * unit
				}
				from = to
			}
			energy[i] = kernels.Dot64(from, from)
		}
	})
	for _, v := range energy {
		t.total += v * t.unit * t.unit
	}
	return t
}

// gains is how much squared norm the last two iterations won.
type gains struct {
	before, last float64
	power        int
}

// ahead estimates what further iterations would win: their gains fall geometrically.
func (g gains) ahead() float64 {
	ratio := 0.5
	if g.before > 0 {
		ratio = min(max(g.last/g.before, 0), 0.95)
	}
	return max(g.last, 0) * ratio / (1 - ratio)
}

// iterate finds the basis of k vectors.
func (t *top) iterate(k int, o TopOptions) (gains, error) {
	rng := rand.New(rand.NewPCG(o.Seed, 0x70705356))
	start := make([]float32, k*t.rows)
	for i := range start {
		start[i] = 2*rng.Float32() - 1
	}
	t.basis = t.times(start, k)
	orthonormalRows(t.basis, t.crew)
	var g gains
	var won float64
	for g.power = 0; g.power < 2*o.Power; {
		if t.stopped() {
			return g, t.ctx.Err()
		}
		left := t.timesT(t.shorten(t.basis), k)
		energy := left.energy()
		g.before, g.last, won = g.last, energy-won, energy
		if g.power >= o.Power && g.ahead() <= max(excessGoal*(t.total-won), noise32*t.total) {
			break
		}
		g.power++
		orthonormalRows(left, t.crew)
		t.basis = t.times(t.shorten(left), k)
		orthonormalRows(t.basis, t.crew)
	}
	return g, t.ctx.Err()
}

// times returns X·A of X, (k, rows), in float32.
func (t *top) times(x []float32, k int) Dense {
	c := make([]float32, k*t.cols)
	par.Ranges(t.workers, t.cols, stripColumns, func(lo, hi int) {
		kernels.GemmNN(c[lo:], t.cols, x, t.rows, t.narrow[lo:], t.cols, k, hi-lo, t.rows)
	})
	return t.widen(c, k, t.cols)
}

// timesT returns X·Aᵀ of X, (k, cols), in float32.
func (t *top) timesT(x []float32, k int) Dense {
	c := make([]float32, k*t.rows)
	par.Ranges(t.workers, t.rows, stripColumns, func(lo, hi int) {
		kernels.GemmNT(c[lo:], t.rows, x, t.cols, t.narrow[lo*t.cols:], t.cols, k, hi-lo, t.cols)
	})
	return t.widen(c, k, t.rows)
}

// stripColumns is how many columns of such a product a worker computes at once.
const stripColumns = 512

func (t *top) widen(x []float32, rows, cols int) Dense {
	d := NewDense(rows, cols)
	par.Ranges(t.workers, rows, grain, func(lo, hi int) {
		for i, v := range x[lo*cols : hi*cols] {
			d.Data[lo*cols+i] = float64(v)
		}
	})
	return d
}

func (t *top) shorten(d Dense) []float32 {
	x := make([]float32, len(d.Data))
	par.Ranges(t.workers, d.Rows, grain, func(lo, hi int) {
		for i := lo * d.Cols; i < hi*d.Cols; i++ {
			x[i] = float32(d.Data[i])
		}
	})
	return x
}

// energy returns the squared Frobenius norm.
func (a Dense) energy() float64 {
	var s float64
	for i := range a.Rows {
		s += kernels.Dot64(a.Row(i), a.Row(i))
	}
	return s
}

// finish decomposes P·Aᵀ = L·Q of the basis P: with L = X·S·Z, A ≈ A·Pᵀ·P = (Z·Q)ᵀ·S·(Xᵀ·P).
func (t *top) finish(rank int) (SVDResult, error) {
	k := t.basis.Rows
	q := NewDense(k, t.rows)
	par.Ranges(t.workers, t.rows, stripColumns, func(lo, hi int) {
		kernels.Gemm64NT(q.Data[lo:], t.rows, t.basis.Data, t.cols, t.wide.Data[lo*t.cols:], t.cols, k, hi-lo, t.cols)
	})
	for i := range q.Data {
		q.Data[i] *= t.unit
	}
	l := orthonormalRows(q, t.crew)
	small, err := SVDContext(t.ctx, l, t.workers)
	if err != nil {
		return SVDResult{}, err
	}
	small = small.Truncate(rank)
	r := SVDResult{U: small.V.Times(q, t.workers), S: small.S, V: small.U.Transposed().Times(t.basis, t.workers)}
	r.settle()
	r.U = r.U.Transposed()
	return r, t.ctx.Err()
}
