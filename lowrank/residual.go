package lowrank

import (
	"fmt"
	"strings"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

// Residual solves a sum of terms one after another: each method gets what the terms before it leave of W, and may use all statistics. So
// a low-rank term makes up for what rounding lost (LQER, Zhang et al. 2024, arXiv 2402.02446; EoRA, Liu et al. 2024, arXiv 2410.21271), and
// a second rounding for the first's.
type Residual struct {
	Methods []approx.Method // one a term, at least one
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

// Solve returns the sum of the methods' terms. Its loss in outputs is the last method's, if that knows it.
func (m Residual) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	var terms []codec.Term
	var notes []string
	var proxy, norm float64
	rest := p
	rest.W = copyOf(p.W)
	for i, method := range m.Methods {
		term, report, err := method.Solve(rest)
		if err != nil {
			return nil, approx.Report{}, fmt.Errorf("term %d: %w", i, err)
		}
		terms = append(terms, term)
		if report.Fallback != "" {
			notes = append(notes, fmt.Sprintf("term %d: %s", i, report.Fallback))
		}
		if i == 0 {
			norm = report.ProxyNorm
		}
		proxy = report.Proxy
		subtract(rest.W, term)
	}
	sum := codec.SumTerm(terms...)
	report := approx.Measure(p, sum)
	if norm > 0 && proxy > 0 {
		report.Proxy, report.ProxyNorm = proxy, norm
	}
	report.Fallback = strings.Join(notes, "; ")
	return sum, report, p.Err()
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
	value := tensor.NewMat(w.Rows, w.Cols)
	codec.Read(t, value, 0)
	for r := range w.Rows {
		row := w.Row(r)
		for c, v := range value.Row(r) {
			row[c] -= v
		}
	}
}
