package lowrank

import (
	"errors"
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

// BitStack makes one block of a stack (Wang et al. 2024, arXiv 2410.23918, section 3.2): signs, and a magnitude of rank k in F16. The
// blocks of a weight are solved one after another, each from what those before it leave once they are rounded, so that every number
// of them is an approximation.
//
// The paper scales columns by the norms of their inputs and takes the signs of what is left and the first k singular vectors of its
// absolute values. Here that is where it starts. With a Gram matrix H the block is then made to lose as little as it can at the outputs,
// tr(E·H·Eᵀ) for E what it leaves: signs with error feedback (column by column, as LDLQ rounds), then in turn the u of every row, v, and
// signs one by one, each of which can only lower that loss.
type BitStack struct {
	Rank     int     // k; 0: BitStackRank
	Exponent float64 // of the columns' root mean squares in the scaling; 0: 1, as in the paper. Negative: no scaling
	Damping  float64 // added to the diagonal of H, relative to its mean; 0: 0.1
	Refits   int     // how often u, v and signs are fitted in turn; 0: 4. Negative: the paper's block, without H
}

// BitStackRank is the k that leaves factors at most an eighth of a bit per weight, 1 to 16: rows·cols/(128·(rows+cols)).
func BitStackRank(rows, cols int) int {
	return max(1, min(16, rows*cols/(128*max(rows+cols, 1))))
}

// Defaults of BitStack.
const (
	bitStackDamping = 0.1
	bitStackRefits  = 4
)

// Name returns "bitstack".
func (b BitStack) Name() string { return "bitstack" }

// Needs returns calib.Gram, or calib.Moments if H is not to be looked at.
func (b BitStack) Needs() calib.Need {
	if b.Refits < 0 {
		return calib.Moments
	}
	return calib.Gram
}

// RowWise reports false: all rows share v.
func (b BitStack) RowWise() bool { return false }

// Solve returns the block of p.W.
func (b BitStack) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	if b.Rank == 0 {
		b.Rank = BitStackRank(p.W.Rows, p.W.Cols)
	}
	if err := codec.CheckFinite(p.W); err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: bitstack: %w", p.Name, err)
	}
	block, err := b.start(p)
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: bitstack: %w", p.Name, err)
	}
	report := approx.Report{}
	why := "no refits"
	if b.Refits >= 0 && p.W.Rows > 0 && p.W.Cols > 0 {
		var f *gramForm
		if f, why, err = b.form(p); err != nil {
			return nil, report, err
		}
		if f != nil {
			block, report.Proxy, report.ProxyNorm = b.refine(p, f, block)
		}
	}
	if err := p.Err(); err != nil {
		return nil, report, err
	}
	term, err := block.term()
	if err != nil {
		return nil, report, fmt.Errorf("%s: bitstack: %w", p.Name, err)
	}
	measured := approx.Measure(p, term)
	measured.Proxy, measured.ProxyNorm = report.Proxy, report.ProxyNorm
	if p.Stats != nil && b.Refits >= 0 && why != "" {
		measured.Fallback = "blocks without refits: " + why
	}
	return term, measured, nil
}

// signBlock is a block in the making: signs ±1 by rows, and factors.
type signBlock struct {
	signs []int8
	u, v  tensor.Mat // (rows, k), (k, cols)
}

// start returns the paper's block.
func (b BitStack) start(p approx.Problem) (*signBlock, error) {
	u, v := codec.Magnitudes(p.W, b.Rank, b.scales(p))
	s := &signBlock{make([]int8, p.W.Rows*p.W.Cols), u, v}
	if err := s.round(); err != nil {
		return nil, fmt.Errorf("%w; leave this weight as it is", err)
	}
	m := make([]float32, p.W.Cols)
	for r := range p.W.Rows {
		s.magnitude(m, r)
		for c, x := range p.W.Row(r) {
			s.signs[r*p.W.Cols+c] = nearerSign(x, m[c])
		}
	}
	return s, nil
}

// scales returns the factors of columns in the paper's block; nil if all are alike.
func (b BitStack) scales(p approx.Problem) []float32 {
	importance := p.Stats.Importance()
	switch {
	case b.Exponent < 0 || len(importance) != p.W.Cols:
		return nil
	case b.Exponent == 0:
		return codec.ColumnScales(importance, 1)
	}
	return codec.ColumnScales(importance, b.Exponent)
}

// nearerSign returns the sign s for which s·m is nearer to x, 1 if both are as near.
func nearerSign(x, m float32) int8 {
	if x != 0 && (x < 0) != (m < 0) {
		return -1
	}
	return 1
}

// round rounds the factors to what is stored.
func (s *signBlock) round() error {
	_, err := codec.NewSign(s.u, s.v)
	return err
}

// magnitude sets m to row r of u·v, as the codec sums it.
func (s *signBlock) magnitude(m []float32, r int) {
	clear(m)
	for t, a := range s.u.Row(r) {
		for c, x := range s.v.Row(t) {
			m[c] += float32(a * x)
		}
	}
}

// term returns the block as it is stored.
func (s *signBlock) term() (codec.Term, error) {
	rows, cols := s.u.Rows, s.v.Cols
	packed := make([]byte, rows*((cols+7)/8))
	for r := range rows {
		row := packed[r*((cols+7)/8):]
		for c, sign := range s.signs[r*cols : (r+1)*cols] {
			if sign < 0 {
				row[c/8] |= 1 << (c % 8)
			}
		}
	}
	empty, err := codec.NewSign(s.u, s.v)
	if err != nil {
		return nil, err
	}
	parts := empty.Parts()
	parts[0].Data = packed
	c, err := codec.Parse(empty.Codec())
	if err != nil {
		return nil, err
	}
	return c.Open(rows, cols, parts)
}

// Check returns an error if the rank is none that a codec stores.
func (b BitStack) Check() error {
	if b.Rank < 0 || b.Rank > 64 {
		return errors.New("method bitstack makes signs and magnitudes of rank 1 to 64: use codec sign-k1 or another sign-k")
	}
	return nil
}
