package quantizers

import (
	"pith/approx"
	"pith/calib"
	"pith/codec"
)

// GPTQ is Frantar et al. 2022 (arXiv 2210.17323) as its authors use it: columns in the order of falling mean squares of their inputs
// ("act-order"), scales of groups fixed beforehand ("static groups") by a search weighted with what a column's error costs, and 1 %
// damping. It is LDLQ of ordered columns; grids that round several columns together keep them in place.
type GPTQ struct {
	Codec codec.Codec
	Refit bool // as LDLQ's
	// Sweeps is LDLQ's.
	Sweeps int
}

func (g GPTQ) ldlq() LDLQ {
	return LDLQ{Codec: g.Codec, Search: true, Ordered: true, Refit: g.Refit, Sweeps: g.Sweeps}
}

// Name returns "gptq".
func (g GPTQ) Name() string { return "gptq" }

// Needs returns calib.Gram.
func (g GPTQ) Needs() calib.Need { return g.ldlq().Needs() }

// RowWise is LDLQ's.
func (g GPTQ) RowWise() bool { return g.ldlq().RowWise() }

// Solve rounds p.W.
func (g GPTQ) Solve(p approx.Problem) (codec.Term, approx.Report, error) { return g.ldlq().Solve(p) }

func (g GPTQ) nearest() Nearest { return g.ldlq().nearest() }

func (g GPTQ) attempt(p approx.Problem) (codec.Term, approx.Report, error) {
	return g.ldlq().attempt(p)
}
