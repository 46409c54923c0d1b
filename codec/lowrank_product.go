package codec

import (
	"slices"
	"sync"

	"pith/tensor"
)

// productInput is an input of a low-rank term's U: z = x·Vᵀ.
type productInput struct {
	v     Term
	key   any // that tells this product from others of the input
	once  sync.Once
	ready bool // z is the business of a Stages
	in    Input
}

// MulAdd multiplies z = x·Vᵀ by U's rows. z is computed once for an input: by workers together if they were asked to (Stages), otherwise by
// the first that needs it.
func (t *lowRankTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	checkProduct(t, y, in, r0, r1)
	if r0 == r1 || in.X.Rows == 0 {
		return
	}
	p := in.productOf(t)
	if !p.ready {
		p.once.Do(func() { p.begin(in).run(0, p.in.X.Cols) })
	}
	t.u.MulAdd(y, &p.in, r0, r1)
}

func (in *Input) productOf(t *lowRankTerm) *productInput {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, p := range in.products[:in.multiply] {
		if p.key == t.key {
			return p
		}
	}
	if in.multiply == len(in.products) {
		in.products = append(in.products, &productInput{})
	}
	p := in.products[in.multiply]
	in.multiply++
	p.v, p.key, p.once, p.ready = t.v, t.key, sync.Once{}, false
	return p
}

// begin makes room for z.
func (p *productInput) begin(in *Input) stage {
	rank, _ := p.v.Dims()
	buf := p.in.X.Data
	if n := in.X.Rows * rank; cap(buf) < n {
		buf = make([]float32, n)
	} else {
		buf = buf[:n]
	}
	p.in.Reset(tensor.Of(in.X.Rows, rank, buf))
	return stage{p.v, in, p.in.X}
}

// stage is a product that others wait for: z = x·Vᵀ.
type stage struct {
	v  Term
	in *Input
	z  tensor.Mat
}

// run computes columns [r0, r1) of z.
func (s stage) run(r0, r1 int) {
	for i := range s.z.Rows {
		clear(s.z.Row(i)[r0:r1])
	}
	s.v.MulAdd(s.z, s.in, r0, r1)
}

// Stages are the products of an input that have to be there before others can be computed: those with V of low-rank terms. Whoever multiplies
// with several workers adds the terms of all weights that read the input, cuts the stages into pieces, and runs all of these, in parallel and in
// any order, before the first MulAdd; so the V of a layer's queries, keys and values, or of its gate and up, are one parallel pass over x.
// Terms multiply as well without, but then one worker computes what others wait for.
type Stages struct {
	list   []stage
	pieces []stagePiece
}

// stagePiece is rows [r0, r1) of the V of a stage.
type stagePiece struct{ stage, r0, r1 int }

// Reset makes s empty; it keeps its memory.
func (s *Stages) Reset() { s.list, s.pieces = s.list[:0], s.pieces[:0] }

// Add adds what terms, which will multiply in, need.
func (s *Stages) Add(in *Input, terms []Term) {
	for _, t := range terms {
		s.add(in, t)
	}
}

func (s *Stages) add(in *Input, t Term) {
	if !staged(t) {
		return
	}
	switch t := t.(type) {
	case *lowRankTerm:
		if p := in.productOf(t); !p.ready { // else it is there twice
			p.ready = true
			s.list = append(s.list, p.begin(in))
		}
	case rotatedTerm:
		s.add(in.Rotated(), t.inner)
	case scaledTerm:
		s.add(in.Scaled(t.factors), t.inner)
	case sumTerm:
		s.Add(in, t.terms)
	}
}

// Staged reports whether products with w wait for others (Stages).
func (w *Weight) Staged() bool { return slices.ContainsFunc(w.Terms, staged) }

// staged reports whether t has stages.
func staged(t Term) bool {
	switch t := t.(type) {
	case *lowRankTerm:
		return true
	case rotatedTerm:
		return staged(t.inner)
	case scaledTerm:
		return staged(t.inner)
	case sumTerm:
		return slices.ContainsFunc(t.terms, staged)
	}
	return false
}

// Cut splits the stages among workers and returns the number of pieces; 0: there are none.
func (s *Stages) Cut(workers int) int {
	rows := 0
	for _, g := range s.list {
		rows += g.z.Cols
	}
	grain := min(max((rows/(4*max(1, workers))+15)&^15, 16), 256)
	for i, g := range s.list {
		step := alignRows(grain, []Term{g.v})
		for r := 0; r < g.z.Cols; r += step {
			s.pieces = append(s.pieces, stagePiece{i, r, min(g.z.Cols, r+step)})
		}
	}
	return len(s.pieces)
}

// Run runs a piece.
func (s *Stages) Run(piece int) {
	p := s.pieces[piece]
	s.list[p.stage].run(p.r0, p.r1)
}

// alignedRank returns the rank that a share of numbers gives where rank is the largest: 4-bit codes have kernels for whole blocks of 32 columns only,
// without which U's products are far slower than the whole matrix'.
func alignedRank(inner Codec, rank int) int {
	const block = 32
	if rank < block || !inBlocks(inner) {
		return rank
	}
	return rank / block * block
}

// inBlocks reports whether c's rows are fast to multiply in whole blocks of 32 columns only.
func inBlocks(c Codec) bool {
	switch c := c.(type) {
	case intCodec:
		return c.bits == 4
	case midCodec:
		return c.bits == 4
	case qoqCodec:
		return true
	case rotatedCodec:
		return inBlocks(c.inner)
	case scaledCodec:
		return inBlocks(c.inner)
	}
	return false
}
