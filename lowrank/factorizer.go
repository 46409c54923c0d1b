package lowrank

import (
	"errors"
	"fmt"
	"strings"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// Weighting says how much errors count, which is all that tells the methods of the SVD family apart.
type Weighting interface {
	Name() string
	Needs() calib.Need
	// Metric returns the metric of p's errors; a note says what it is made of if that is not what the method's name says.
	Metric(p approx.Problem) (m Metric, note string, err error)
}

// Factorizer stores a weight as a product of two factors: the decomposition of the weight as its Weighting counts errors; V rounded by
// a method that knows the statistics of the input; U the best for the V that is stored, rounded by one that knows the statistics of V·x.
type Factorizer struct {
	Weighting Weighting
	Codec     codec.Codec   // a codec.LowRank
	Round     approx.Method // of the factors, whose codec is the inner one
	Rounds    int           // how often V is fitted to the U that is stored, and U to V, after the first time
}

// Name returns the weighting's name.
func (f Factorizer) Name() string { return f.Weighting.Name() }

// Needs returns what the weighting needs.
func (f Factorizer) Needs() calib.Need { return f.Weighting.Needs() }

// RowWise reports false: all rows share V.
func (f Factorizer) RowWise() bool { return false }

// MakesUpForDrift reports whether the method itself fits outputs to those of the original network.
func (f Factorizer) MakesUpForDrift() bool {
	s, ok := f.Weighting.(SVDLLM)
	return ok && s.Update
}

// errNotLowRank says that a codec has no factors.
var errNotLowRank = errors.New("does not store a product of factors; name lr<rank>-<codec>, as lr0.8-f16 or lr64-int8-g64")

// Check returns an error if the codec does not store factors.
func (f Factorizer) Check() error {
	if _, ok := f.Codec.(codec.LowRank); !ok {
		return fmt.Errorf("method %s factors, and codec %s %w", f.Name(), f.Codec.Name(), errNotLowRank)
	}
	return nil
}

// Solve factors p.W.
func (f Factorizer) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	c, ok := f.Codec.(codec.LowRank)
	if !ok {
		return nil, approx.Report{}, f.Check()
	}
	if err := c.Check(p.W.Rows, p.W.Cols); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := codec.CheckFinite(p.W); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	m, note, err := f.Weighting.Metric(p)
	if err != nil {
		return nil, approx.Report{}, err
	}
	d, err := decompose(p, m)
	if err != nil {
		return nil, approx.Report{}, err
	}
	u, v := d.factors(c.Rank(p.W.Rows, p.W.Cols), p.Workers)
	s := stored{factorizer: f, p: p, metric: m}
	if err := s.round(d.w, u, v); err != nil {
		return nil, approx.Report{}, err
	}
	term := c.Join(s.u, s.v)
	report := approx.Measure(p, term)
	if m.full() {
		report.Proxy, report.ProxyNorm = approx.OutputLoss(p, term)
	}
	report.Fallback = strings.TrimPrefix(strings.Join([]string{note, s.note}, "; "), "; ")
	report.Fallback = strings.TrimSuffix(report.Fallback, "; ")
	return term, report, p.Err()
}

// stored is the factors of one problem as they are stored.
type stored struct {
	factorizer Factorizer
	p          approx.Problem
	metric     Metric
	u, v       codec.Term
	note       string
}

// round rounds V, then U refitted to it, and so on.
func (s *stored) round(w, u, v linalg.Dense) (err error) {
	if s.v, err = s.factor("factor v", narrowed(v), s.inputStats()); err != nil {
		return err
	}
	for i := 0; ; i++ {
		v = widened(valuesOf(s.v))
		better, gram, err := s.metric.leftFactor(s.target(w), w, v, s.p.Workers)
		if err != nil {
			return fmt.Errorf("%s: %w", s.p.Name, err)
		}
		if better.Rows > 0 {
			u = better
		}
		if s.u, err = s.factor("factor u", narrowed(u), s.statsOf(gram)); err != nil {
			return err
		}
		if i >= s.factorizer.Rounds || s.p.Err() != nil {
			return s.p.Err()
		}
		if v = s.metric.rightFactor(w, widened(valuesOf(s.u)), v, s.p.Workers); v.Rows == 0 {
			return nil
		}
		if s.v, err = s.factor("factor v", narrowed(v), s.inputStats()); err != nil {
			return err
		}
	}
}

// factor rounds one factor.
func (s *stored) factor(what string, w tensor.Mat, stats *calib.Stats) (codec.Term, error) {
	term, report, err := s.factorizer.Round.Solve(approx.Problem{Name: fmt.Sprintf("%s (%s)", s.p.Name, what), W: w, Stats: stats, Workers: s.p.Workers, Context: s.p.Context})
	if err != nil {
		return nil, err
	}
	if report.Fallback != "" && stats != nil && s.note == "" {
		s.note = what + ": " + report.Fallback
	}
	return term, nil
}

// inputStats returns the statistics by which V is rounded: those of the input, where the metric is of them.
func (s *stored) inputStats() *calib.Stats {
	if s.metric.full() {
		return s.p.Stats
	}
	return nil
}

// statsOf returns statistics whose mean Gram matrix is gram, of an input V·x.
func (s *stored) statsOf(gram linalg.Dense) *calib.Stats {
	tokens := max(s.metric.Tokens, 1<<10)
	st := calib.NewGram(gram.Rows)
	st.Tokens = tokens
	at := 0
	for i := range gram.Rows {
		for j, v := range gram.Row(i)[:i+1] {
			st.Gram[at] = v * float64(tokens)
			if i == j {
				st.SqSum[i] = st.Gram[at]
			}
			at++
		}
	}
	return st
}

// valuesOf returns the whole matrix of a term.
func valuesOf(t codec.Term) tensor.Mat {
	rows, cols := t.Dims()
	m := tensor.NewMat(rows, cols)
	codec.Read(t, m, 0)
	return m
}

// Holds returns about how many bytes Solve takes for a rows × cols weight besides the term: the weight and its products in float64, the
// Gram matrix, and the decomposition of the smaller side.
func (f Factorizer) Holds(rows, cols int) int64 {
	m, n := int64(rows), int64(cols)
	side := min(m, n)
	numbers := 4*m*n + 5*side*side
	if f.Needs().Has(calib.Gram) {
		numbers += 2 * n * n
	}
	return 8 * numbers
}
