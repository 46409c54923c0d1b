package lowrank

import (
	"fmt"
	"strings"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

// Residual solves a sum of terms one after another: each method gets what the other terms leave of W, and may use all statistics. So
// a low-rank term makes up for what rounding lost (LQER, Zhang et al. 2024, arXiv 2402.02446; EoRA, Liu et al. 2024, arXiv 2410.21271), and
// a second rounding for the first's. With Rounds the terms are then solved again in turn, each given the others, as long as the outputs lose less
// (CALDERA, Saha et al. 2024, arXiv 2405.18886).
type Residual struct {
	Methods []approx.Method // one a term, at least one
	Rounds  int             // at most
	// Backwards solves the last term first.
	Backwards bool
}

// Name returns the methods' names joined by "+".
func (m Residual) Name() string {
	names := make([]string, len(m.Methods))
	for i, t := range m.Methods {
		names[i] = t.Name()
	}
	return strings.Join(names, "+")
}

// Needs returns all that one of the methods needs.
func (m Residual) Needs() (need calib.Need) {
	for _, t := range m.Methods {
		need |= t.Needs()
	}
	return need
}

// RowWise reports false: parts of terms need not be stored row by row.
func (m Residual) RowWise() bool { return false }

// Solve returns the sum of the methods' terms. Its loss in outputs is that of the method that was last, if that knows it.
func (m Residual) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	s := residue{m: m, p: p, terms: make([]codec.Term, len(m.Methods)), notes: make([]string, len(m.Methods))}
	for k := range m.Methods {
		if m.Backwards {
			k = len(m.Methods) - 1 - k
		}
		if _, err := s.solve(k); err != nil {
			return nil, approx.Report{}, err
		}
	}
	if err := s.alternate(); err != nil {
		return nil, approx.Report{}, err
	}
	sum := codec.SumTerm(s.terms...)
	report := approx.Measure(p, sum)
	if s.norm > 0 && s.proxy > 0 {
		report.Proxy, report.ProxyNorm = s.proxy, s.norm
	}
	var notes []string
	for i, note := range s.notes {
		if note != "" {
			notes = append(notes, fmt.Sprintf("term %d: %s", i, note))
		}
	}
	report.Fallback = strings.Join(notes, "; ")
	return sum, report, p.Err()
}

// residue is the terms of one weight so far.
type residue struct {
	m     Residual
	p     approx.Problem
	terms []codec.Term
	notes []string
	proxy float64 // of all terms, as the last method reported it; 0: not known
	norm  float64 // of W
}

// solve solves term i for what the others leave, and reports whether that is kept: instead of one that was there it is if the outputs lose less.
func (s *residue) solve(i int) (better bool, err error) {
	p := s.p
	p.W = copyOf(s.p.W)
	for j, t := range s.terms {
		if t != nil && j != i {
			subtract(p.W, t)
		}
	}
	term, report, err := s.m.Methods[i].Solve(p)
	if err != nil {
		return false, fmt.Errorf("term %d: %w", i, err)
	}
	if s.norm == 0 {
		s.norm = report.ProxyNorm
	}
	better = s.terms[i] == nil || report.Proxy > 0 && report.Proxy < s.proxy
	if better {
		s.terms[i], s.notes[i], s.proxy = term, report.Fallback, report.Proxy
	}
	return better, p.Err()
}

// alternate solves the terms in turn until a round brings little.
func (s *residue) alternate() error {
	const least = 0.999 // a round that leaves more than this of the loss is the last
	for range s.m.Rounds {
		before := s.proxy
		if before == 0 {
			return nil // nothing is lost, or nobody knows what is
		}
		for i := range s.terms {
			if s.m.Backwards {
				i = len(s.terms) - 1 - i
			}
			if _, err := s.solve(i); err != nil {
				return err
			}
		}
		if s.proxy > least*before {
			return nil
		}
	}
	return nil
}

func copyOf(w tensor.Mat) tensor.Mat {
	m := tensor.NewMat(w.Rows, w.Cols)
	for r := range w.Rows {
		copy(m.Row(r), w.Row(r))
	}
	return m
}

// subtract takes t away from w.
func subtract(w tensor.Mat, t codec.Term) {
	value := valuesOf(t)
	for r := range w.Rows {
		row := w.Row(r)
		for c, v := range value.Row(r) {
			row[c] -= v
		}
	}
}

// Holds returns about how many bytes Solve takes besides the terms and what its methods take: copies of the weight, and the most that a method takes.
func (m Residual) Holds(rows, cols int) (n int64) {
	for _, t := range m.Methods {
		if h, ok := t.(interface{ Holds(rows, cols int) int64 }); ok {
			n = max(n, h.Holds(rows, cols))
		}
	}
	return n + 3*4*int64(rows)*int64(cols)
}
