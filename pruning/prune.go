package pruning

import (
	"errors"
	"fmt"
	"strings"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// Prune is the method of one scorer, selector and solver; what stays is stored by a codec of some elements.
type Prune struct {
	Label    string // its name; "" makes one of the parts' names
	Scorer   Scorer
	Selector Selector // nil: the codec's groups, or Row
	Solver   Solver
	Codec    codec.Codec // a codec.Sparse
	Search   bool        // scales of least squared error
	Damping  float64     // as Inputs'
	// Round, if set, rounds the solved values within their mask: error feedback makes pruning and quantization one problem. Since the values
	// that Refit finds leave no slope, what it loses of them is what is lost besides. nil: to nearest.
	Round approx.Method
}

// Name returns the label.
func (m Prune) Name() string {
	if m.Label != "" {
		return m.Label
	}
	return fmt.Sprintf("%s/%s/%s", m.Scorer.Name(), m.selector().Name(), m.Solver.Name())
}

// selector returns the selector, or what goes with the codec.
func (m Prune) selector() Selector {
	if m.Selector != nil {
		return m.Selector
	}
	if s, ok := m.Codec.(codec.Sparse); ok {
		if n, of := s.Group(); of > 0 {
			return Group{n, of}
		}
	}
	return Row{}
}

// Needs returns what the parts need.
func (m Prune) Needs() calib.Need {
	need := m.Scorer.Needs() | m.Solver.Needs()
	if m.Round != nil {
		need |= m.Round.Needs()
	}
	return need
}

// RowWise reports whether rows are stored, scored, decided and rounded one by one.
func (m Prune) RowWise() bool {
	if whole, ok := m.Codec.(codec.WholeOnly); ok && whole.WholeOnly() {
		return false
	}
	_, random := m.Scorer.(Random) // which counts rows
	return !random && m.selector().RowWise() && (m.Round == nil || m.Round.RowWise())
}

// Compatible says why the parts do not go together, whatever the matrix.
func (m Prune) Compatible() error {
	s, ok := m.Codec.(codec.Sparse)
	if !ok {
		if plain, scaled := strings.CutSuffix(m.Codec.Name(), "-scaled"); scaled {
			if _, err := codec.Parse(plain); err == nil {
				return fmt.Errorf("pruning fits no factors of inputs; leave -scaled out of %s", m.Codec.Name())
			}
		}
		return fmt.Errorf("%s stores every element; pruning takes a codec of some, like f16-2:4 or int4-g128-s50", m.Codec.Name())
	}
	chosen := m.selector()
	if n, of := s.Group(); of > 0 && chosen != (Group{n, of}) {
		return fmt.Errorf("%s stores %d of each %d columns, selector %s decides otherwise; leave it out, or take a codec like %s-s50", s.Name(), n, of, chosen.Name(), s.Dense().Name())
	}
	return nil
}

// Check says why a matrix cannot be solved.
func (m Prune) Check(rows, cols int) error {
	if err := m.Compatible(); err != nil {
		return err
	}
	kept := m.Codec.(codec.Sparse).Kept(rows, cols)
	if g, ok := m.selector().(Group); ok && g.Kept(rows, cols) != kept {
		return fmt.Errorf("selector %s keeps %d elements of (%d, %d), %s stores %d; take a codec of the same share", g.Name(), g.Kept(rows, cols), rows, cols, m.Codec.Name(), kept)
	}
	return m.Codec.Check(rows, cols)
}

// Solve prunes p.W.
func (m Prune) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	task, note, err := m.task(p)
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	note = join(note, m.Solver.Solve(task))
	if p.Err() != nil {
		return nil, approx.Report{}, p.Err()
	}
	term, more, err := m.pack(p, task)
	if err != nil {
		return nil, approx.Report{}, err
	}
	report := approx.Measure(p, term)
	report.Fallback = join(note, more)
	if m.Needs().Has(calib.Gram) {
		report.Proxy, report.ProxyNorm = outputLosses(p, task.Inputs, term)
	}
	return term, report, p.Err()
}

// task returns the task of p; note says what the scores are, if not the scorer's.
func (m Prune) task(p approx.Problem) (t *Task, note string, err error) {
	if err := m.Check(p.W.Rows, p.W.Cols); err != nil {
		return nil, "", err
	}
	if err := codec.CheckFinite(p.W); err != nil {
		return nil, "", err
	}
	if p.Stats != nil && p.Stats.SqSum != nil && len(p.Stats.SqSum) != p.W.Cols {
		return nil, "", errors.New("statistics of another number of columns")
	}
	in := &Inputs{Stats: p.Stats, Cols: p.W.Cols, Damping: m.Damping, Workers: p.Workers, Context: p.Context}
	score, why := m.Scorer.Scores(in, p.W.Rows)
	if why != "" {
		score, _ = Magnitude{}.Scores(in, p.W.Rows)
		note = "scored by magnitude: " + why
	}
	t = NewTask(p.W, in, score, m.selector(), m.Codec.(codec.Sparse).Kept(p.W.Rows, p.W.Cols))
	if why == "" {
		t.Scorer = m.Scorer
	}
	return t, note, nil
}

// pack stores the values of a solved task.
func (m Prune) pack(p approx.Problem, t *Task) (codec.Term, string, error) {
	if m.Round != nil {
		p.W, p.Mask = t.Values, t.Mask
		term, report, err := m.Round.Solve(p)
		return term, report.Fallback, err
	}
	grid, err := m.Codec.Fit(t.Values, p.Stats.Importance(), codec.FitOptions{Search: m.Search, Mask: t.Mask})
	if err != nil {
		return nil, "", fmt.Errorf("%s: %s: %w", p.Name, m.Codec.Name(), err)
	}
	codec.RoundUntil(grid, t.Values, p.Workers, t.Inputs.stopped)
	if p.Err() != nil {
		return nil, "", p.Err()
	}
	return grid.Pack(), "", nil
}

// join is two notes as one.
func join(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}

// outputLosses returns tr(E·H·Eᵀ) and tr(W·H·Wᵀ), H without damping; zeros if there is no curvature.
func outputLosses(p approx.Problem, in *Inputs, term codec.Term) (loss, norm float64) {
	f, why := in.Curvature()
	if why != "" {
		return 0, 0
	}
	const rows = 64
	n := p.W.Cols
	sums := make([][2]float64, (p.W.Rows+rows-1)/rows)
	par.Ranges(p.Workers, p.W.Rows, rows, func(lo, hi int) {
		if in.stopped() {
			return
		}
		got := tensor.NewMat(hi-lo, n)
		codec.Read(term, got, lo)
		w := tensor.NewMat(hi-lo, n)
		for r := range hi - lo {
			copy(w.Row(r), p.W.Row(lo+r))
			for c, v := range w.Row(r) {
				got.Row(r)[c] = v - got.Row(r)[c]
			}
		}
		for i, x := range [][]float32{got.Data, w.Data} {
			xl := f.Times(x, hi-lo)
			for r := range hi - lo {
				sums[lo/rows][i] += f.Loss(xl[r*n:(r+1)*n], x[r*n:(r+1)*n])
			}
		}
	})
	for _, s := range sums {
		loss, norm = loss+s[0], norm+s[1]
	}
	return loss, norm
}
