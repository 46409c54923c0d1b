package codec

import (
	"fmt"
	"strconv"
	"strings"

	"pith/tensor"
)

// MaxTerms is the largest number of terms that a weight has.
const MaxTerms = 64

// Sum stores W ≈ T₁ + T₂ + …, each term by a codec of its own: what the first leaves, the second stores, and so on. Its name is the
// terms' names joined by "+", "4*sign-k1" standing for four equal ones. A file stores the terms as those of the weight (Terms); where one
// Term has to stand for all, its parts are named "<term>.<part>".
type Sum struct {
	codecs []Codec
	name   string
}

// SumOf returns the codec of the sum of terms stored by these codecs, 2 to MaxTerms, none of them a Sum.
func SumOf(codecs ...Codec) Sum {
	names := make([]string, len(codecs))
	for i, c := range codecs {
		if _, ok := c.(Sum); ok {
			panic("codec: a sum of sums; list all terms")
		}
		names[i] = c.Name()
	}
	if len(codecs) < 2 || len(codecs) > MaxTerms {
		panic("codec: a sum has 2 to 64 terms")
	}
	return Sum{codecs, SumName(names)}
}

// Codecs returns the codecs of the terms in order; not to be changed.
func (s Sum) Codecs() []Codec { return s.codecs }

// SumName joins the names of a weight's terms by "+", and writes runs of equal names as "<count>*<name>".
func SumName(names []string) string {
	var b strings.Builder
	for i := 0; i < len(names); {
		n := i + 1
		for n < len(names) && names[n] == names[i] {
			n++
		}
		if i > 0 {
			b.WriteByte('+')
		}
		if n > i+1 {
			fmt.Fprintf(&b, "%d*", n-i)
		}
		b.WriteString(names[i])
		i = n
	}
	return b.String()
}

// parseSum parses "A+B", "4*A" and the like; ok is false where name is of no such form.
func parseSum(name string) (c Codec, ok bool, err error) {
	if !strings.ContainsAny(name, "+*") {
		return nil, false, nil
	}
	var codecs []Codec
	for _, text := range strings.Split(name, "+") {
		count := 1
		if before, after, repeated := strings.Cut(text, "*"); repeated {
			count, err = strconv.Atoi(before)
			if err != nil || count < 1 || count > MaxTerms {
				return nil, true, fmt.Errorf("%q of codec %q: a term is repeated as in 4*int2-g64, 1 to %d times", text, name, MaxTerms)
			}
			text = after
		}
		term, err := Parse(text)
		if err != nil {
			return nil, true, fmt.Errorf("codec %q: %w", name, err)
		}
		if _, ok := term.(Sum); ok {
			return nil, true, fmt.Errorf("codec %q: %s is itself repeated: use one number, as in 4*int2-g64", name, text)
		}
		for range count {
			codecs = append(codecs, term)
		}
		if len(codecs) > MaxTerms {
			return nil, true, fmt.Errorf("codec %q has more than %d terms", name, MaxTerms)
		}
	}
	if len(codecs) == 1 {
		return codecs[0], true, nil
	}
	return SumOf(codecs...), true, nil
}

// sums are a few of the sums there are.
func sums() []Codec {
	two, three := intCodec{2, 64, false}, intCodec{3, 64, false}
	return []Codec{SumOf(two, two), SumOf(three, two), SumOf(intCodec{4, 64, false}, newLowRank(0, 0.6, scalarCodec{tensor.F16}))}
}

// Name returns the terms' names joined by "+".
func (s Sum) Name() string { return s.name }

// Check is that of all terms.
func (s Sum) Check(rows, cols int) error {
	for i, c := range s.codecs {
		if err := c.Check(rows, cols); err != nil {
			return fmt.Errorf("term %d, %s: %w", i, c.Name(), err)
		}
	}
	return nil
}

// Size is that of all terms.
func (s Sum) Size(rows, cols int) (n int64) {
	for _, c := range s.codecs {
		n += c.Size(rows, cols)
	}
	return n
}

// WholeOnly: terms need not be stored row by row.
func (s Sum) WholeOnly() bool { return true }

// Fit fits each codec to what the terms before it leave when they are rounded to nearest. With Search that is done with and without searching
// scales, and what leaves less is taken: the best first term is not always the one with the best second. Masks and gains are not
// looked at.
func (s Sum) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	o.Mask, o.Gain = nil, 0
	g, left, err := s.fit(w, importance, o)
	if err != nil || !o.Search {
		return g, err
	}
	o.Search = false
	plain, more, err := s.fit(w, importance, o)
	if err == nil && weightedSquares(more, importance) <= weightedSquares(left, importance) {
		g = plain
	}
	return g, err
}

// fit returns the grid, and what it leaves of w.
func (s Sum) fit(w tensor.Mat, importance []float32, o FitOptions) (*sumGrid, tensor.Mat, error) {
	g := &sumGrid{sum: s, cols: w.Cols}
	left := copyOf(w)
	for i, c := range s.codecs {
		grid, err := c.Fit(left, importance, o)
		if err != nil {
			return nil, left, fmt.Errorf("term %d, %s: %w", i, c.Name(), err)
		}
		g.grids = append(g.grids, grid)
		RoundAll(grid, left, 1)
		subtract(left, grid.Pack())
	}
	return g, left, nil
}

// subtract takes t away from w.
func subtract(w tensor.Mat, t Term) {
	value := tensor.NewMat(w.Rows, w.Cols)
	Read(t, value, 0)
	for r := range w.Rows {
		row := w.Row(r)
		for c, v := range value.Row(r) {
			row[c] -= v
		}
	}
}

func copyOf(w tensor.Mat) tensor.Mat {
	m := tensor.NewMat(w.Rows, w.Cols)
	for r := range w.Rows {
		copy(m.Row(r), w.Row(r))
	}
	return m
}

// weightedSquares returns Σ importance·w².
func weightedSquares(w tensor.Mat, importance []float32) (sum float64) {
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			square := float64(v) * float64(v)
			if importance != nil {
				square *= float64(importance[c])
			}
			sum += square
		}
	}
	return sum
}

// Open makes the sum of parts named as SumTerm names them.
func (s Sum) Open(rows, cols int, parts []Part) (Term, error) {
	terms := make([]Term, len(s.codecs))
	for i, c := range s.codecs {
		prefix := strconv.Itoa(i) + "."
		n := 0
		var own []Part
		for n < len(parts) && strings.HasPrefix(parts[n].Name, prefix) {
			p := parts[n]
			p.Name = strings.TrimPrefix(p.Name, prefix)
			own = append(own, p)
			n++
		}
		var err error
		if terms[i], err = c.Open(rows, cols, own); err != nil {
			return nil, fmt.Errorf("term %d, %s: %w", i, c.Name(), err)
		}
		parts = parts[n:]
	}
	if len(parts) > 0 {
		return nil, fmt.Errorf("part %q belongs to no term: the file is damaged", parts[0].Name)
	}
	return SumTerm(terms...), nil
}

// sumGrid rounds whole rows: all columns are one step.
type sumGrid struct {
	sum   Sum
	grids []Grid
	cols  int
}

func (g *sumGrid) Step() int { return max(g.cols, 1) }

func (g *sumGrid) Round(w tensor.Mat, _ int) {
	g.RoundAll(w)
	Read(g.Pack(), w, 0)
}

// RoundAll rounds w with the first grid, what is left with the second, and so on.
func (g *sumGrid) RoundAll(w tensor.Mat) {
	left := copyOf(w)
	for i, grid := range g.grids {
		RoundAll(grid, left, 1)
		if i+1 < len(g.grids) {
			subtract(left, grid.Pack())
		}
	}
}

func (g *sumGrid) Pack() Term {
	terms := make([]Term, len(g.grids))
	for i, grid := range g.grids {
		terms[i] = grid.Pack()
	}
	return SumTerm(terms...)
}

// sumTerm is T₁ + T₂ + ….
type sumTerm struct{ terms []Term }

// SumTerm returns the sum of terms of one shape; one alone is itself.
func SumTerm(terms ...Term) Term {
	var all []Term
	for _, t := range terms {
		all = append(all, Terms(t)...)
	}
	if len(all) == 0 {
		panic("codec: a sum of no terms")
	}
	rows, cols := all[0].Dims()
	for _, t := range all {
		if r, c := t.Dims(); r != rows || c != cols {
			panic("codec: a sum of terms of different shapes")
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return sumTerm{all}
}

// Terms returns the summands of a term that Sum or SumTerm made, any other term alone.
func Terms(t Term) []Term {
	if s, ok := t.(interface{ Terms() []Term }); ok {
		return s.Terms()
	}
	return []Term{t}
}

// Terms returns the summands.
func (t sumTerm) Terms() []Term { return t.terms }

func (t sumTerm) Codec() string {
	names := make([]string, len(t.terms))
	for i, s := range t.terms {
		names[i] = s.Codec()
	}
	return SumName(names)
}

func (t sumTerm) Dims() (int, int) { return t.terms[0].Dims() }

func (t sumTerm) Bytes() (n int64) {
	for _, s := range t.terms {
		n += s.Bytes()
	}
	return n
}

func (t sumTerm) Parts() []Part {
	var parts []Part
	for i, s := range t.terms {
		for _, p := range s.Parts() {
			p.Name = strconv.Itoa(i) + "." + p.Name
			parts = append(parts, p)
		}
	}
	return parts
}

func (t sumTerm) rowAlign() int {
	align := 1
	for _, s := range t.terms {
		align = max(align, alignOf(s))
	}
	return align
}

// AddTo adds what Weight.ReadRows gives: the terms added up in order, then to dst.
func (t sumTerm) AddTo(dst tensor.Mat, r0 int) {
	buf := getScratch(dst.Rows * dst.Cols)
	defer putScratch(buf)
	clear(*buf)
	sum := tensor.Of(dst.Rows, dst.Cols, *buf)
	for _, s := range t.terms {
		s.AddTo(sum, r0)
	}
	for r := range dst.Rows {
		for c, v := range sum.Row(r) {
			dst.Row(r)[c] += v
		}
	}
}

func (t sumTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	for _, s := range t.terms {
		s.MulAdd(y, in, r0, r1)
	}
}
