package quantizers

import (
	"fmt"
	"math"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/linalg"
	"pith/tensor"
)

// Codebook chooses the codes and the tables of a codec whose values are tables of its own (sketch*, jlcm*; codec.Tabled) in turn, both for the
// loss tr((W-Ŵ)·H·(W-Ŵ)ᵀ), H the damped mean of x·xᵀ:
//
//	start   tables by k-means, columns weighted by diag(H⁻¹)^-Power; codes by error feedback as LDLQ's
//	tables  the least squares of all tables of a row (or of a group of rows), H's 2^b × 2^b normal equations
//	codes   a sweep of coordinate descent: each code becomes the best there is while the others stay
//
// No step raises the loss. The weights of the start are LeanQuant's (Zhang et al. 2024, arXiv 2407.10032), from which SketchTune (Zhang et al. 2024,
// arXiv 2410.06364) takes its sketches; its authors stop there. JLCM (Yvinec et al. 2023, arXiv 2309.17361) learns tables and mappings
// of codes together by gradients, made to move a weight to a neighbouring codeword at most; least squares and sweeps, which need no
// gradients, are ours. A sweep need not be told to stay near: past its neighbours a codeword only loses. Without usable statistics it
// is k-means and rounding to nearest and says so in the report.
type Codebook struct {
	Codec   codec.Codec
	Damping float64 // as LDLQ's
	Power   float64 // of the weights of columns; 0: defaultPower
	Rounds  int     // of tables and codes in turn; 0: none
}

const defaultPower = 1

// Name returns "codebook", "leanquant" without alternation.
func (q Codebook) Name() string {
	if q.Rounds == 0 {
		return "leanquant"
	}
	return "codebook"
}

// Needs returns calib.Gram.
func (q Codebook) Needs() calib.Need { return calib.Gram }

// RowWise reports true where no rows share tables.
func (q Codebook) RowWise() bool { return q.nearest().RowWise() }

// Check returns an error that names a codec which would do, if Codec has no tables.
func (q Codebook) Check() error {
	grid, err := q.Codec.Fit(tensor.NewMat(1, 1), nil, codec.FitOptions{})
	if err != nil {
		return err
	}
	if _, ok := grid.(codec.Tabled); !ok {
		return fmt.Errorf("%s fits tables, which %s does not store; use sketch4-p1, jlcm3-k16 or another codec with tables", q.Name(), q.Codec.Name())
	}
	return nil
}

// Solve chooses tables and codes for p.W.
func (q Codebook) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if err := q.Check(); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	return safely(p, q.attempt, q.nearest().Solve)
}

func (q Codebook) nearest() Nearest { return Nearest{Codec: q.Codec} }

// attempt is Solve without a safety net.
func (q Codebook) attempt(p approx.Problem) (codec.Term, approx.Report, error) {
	f, why, err := newFeedback(p, q.Damping, true)
	if err != nil {
		return nil, approx.Report{}, err
	}
	if why != "" {
		return q.nearest().instead(p, why)
	}
	a, err := q.start(p, f)
	if err != nil {
		return nil, approx.Report{}, err
	}
	for range q.Rounds {
		a.solveTables()
		a.sweep()
	}
	term := a.grid.Pack()
	report := approx.Measure(p, term)
	report.Proxy, report.ProxyNorm = a.proxy(), f.norm(p)
	return term, report, p.Err()
}

// start fits the tables and chooses codes by error feedback.
func (q Codebook) start(p approx.Problem, f *feedback) (*alternation, error) {
	weights, err := f.inverseWeights(p, q.Power)
	if err != nil {
		return nil, err
	}
	grid, err := q.Codec.Fit(p.W, weights, codec.FitOptions{Search: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", p.Name, q.Codec.Name(), err)
	}
	a := &alternation{p: p, f: f, grid: grid, tables: grid.(codec.Tabled), q: tensor.NewMat(p.W.Rows, p.W.Cols)}
	a.bands = groups(bandsOf(grid, p.W.Rows), p.W.Rows, p.Workers)
	a.each(func(b *bandSolver) { b.ldlq(0, f.n) })
	return a, p.Err()
}

// inverseWeights returns diag(H⁻¹)^-power by column, in units of the largest: what is left of a column's inputs once all others are
// known, to the power; 0 for dead columns.
func (f *feedback) inverseWeights(p approx.Problem, power float64) ([]float32, error) {
	if power == 0 {
		power = defaultPower
	}
	made, err := p.Stats.TryDerive(fmt.Sprintf("quantizers: inverse diagonal %g", f.damping), func() (any, error) {
		h, _, why := meanGram(p.Stats, f.n)
		if why != "" {
			return nil, fmt.Errorf("%s: %s", p.Name, why)
		}
		for j := range f.n {
			c := f.column(j)
			h.Row(c)[c] += f.added[j]
		}
		if err := cholesky(p, h); err != nil {
			return nil, fmt.Errorf("%s: Gram matrix: %w", p.Name, err)
		}
		return linalg.InverseDiagonal(h), nil
	})
	if err != nil {
		return nil, err
	}
	diagonal := made.([]float64)
	least := math.Inf(1)
	for _, v := range diagonal {
		least = min(least, v)
	}
	out := make([]float32, len(diagonal))
	for c, v := range diagonal {
		if p.Stats.SqSum[c] > 0 {
			out[c] = float32(math.Pow(least/v, power))
		}
	}
	return out, nil
}

// alternation is a weight whose tables and codes are chosen in turn.
type alternation struct {
	p      approx.Problem
	f      *feedback
	grid   codec.Grid
	tables codec.Tabled
	bands  [][]codec.Band // for one solver each
	q      tensor.Mat     // (rows, n) Ŵ, by column
	losses []float64      // with damping: before each solveTables and, last, where proxy was asked for
}

// each calls do with the solver of each run of bands, whose q is the alternation's.
func (a *alternation) each(do func(b *bandSolver)) {
	par.For(a.p.Workers, len(a.bands), func(i int) {
		if a.p.Err() != nil {
			return
		}
		b := newBandSolver(a.f, a.bands[i], a.p)
		b.q = a.q.Slice(b.first, b.first+b.rows)
		do(b)
	})
}

// setErrors sets e to w - ŵ.
func (b *bandSolver) setErrors() {
	for r := range b.rows {
		w, q, e := b.w.Row(r), b.q.Row(r), b.e[r*b.f.n:(r+1)*b.f.n]
		for j := range e {
			c := b.f.column(j)
			e[j] = w[c] - q[c]
		}
	}
}

// sweep chooses each code again.
func (a *alternation) sweep() {
	a.each(func(b *bandSolver) {
		b.setErrors()
		b.sweep()
	})
}

// proxy returns tr((W-Ŵ)·H·(W-Ŵ)ᵀ) without damping.
func (a *alternation) proxy() (sum float64) {
	losses, damped := make([]float64, a.p.W.Rows), make([]float64, a.p.W.Rows)
	a.each(func(b *bandSolver) {
		b.setErrors()
		b.z = a.f.timesL(b.e, b.rows)
		b.proxy(losses[b.first : b.first+b.rows])
		for r := range b.rows {
			for j, v := range b.z[r*a.f.n : (r+1)*a.f.n] {
				damped[b.first+r] += float64(a.f.d[j] * float64(float64(v)*float64(v)))
			}
		}
	})
	var total float64
	for r, v := range losses {
		sum += v
		total += damped[r]
	}
	a.losses = append(a.losses, total)
	return sum
}
