package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"pith/kernels"
	"pith/tensor"
)

// atomsPrefix begins the names of codecs that mix atoms: atoms2-int8-g64.
const atomsPrefix = "atoms"

// Atoms stores a matrix as a combination of others, its atoms: Ŵ = Σ c_s·D_s (MASA, Zhussip et al. 2025, arXiv 2508.04581). Parts are
// "coefficients", F32 (count), and the parts of the atoms, each a matrix of the inner codec, as "<s>.<part>". It is meant for weights of
// several layers that refer to the same atoms (checkpoint.TermSpec.From); a weight alone could do with one.
type Atoms struct {
	count int
	inner Codec
}

// AtomsOf returns the codec of combinations of count atoms.
func AtomsOf(count int, inner Codec) Atoms {
	if count < 1 || count > MaxTerms || !atomCodec(inner) {
		panic("codec: a codec of no or too many atoms, or whose atoms are combinations themselves")
	}
	return Atoms{count, inner}
}

// atomCodec reports whether atoms can be stored by c.
func atomCodec(c Codec) bool {
	_, ok := c.(Atoms)
	return !ok && factorCodec(c)
}

// parseAtoms parses atoms<count>-<inner>; ok is false where name is of no such form.
func parseAtoms(name string) (c Codec, ok bool, err error) {
	rest, found := strings.CutPrefix(name, atomsPrefix)
	digits, inner, cut := strings.Cut(rest, "-")
	if !found || !cut || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return nil, false, nil
	}
	count, err := strconv.Atoi(digits)
	if err != nil || count < 1 || count > MaxTerms {
		return nil, true, fmt.Errorf("codec %s has %s atoms: use 1 to %d, as atoms2-int8-g64", name, digits, MaxTerms)
	}
	by, err := Parse(inner)
	if err != nil {
		return nil, true, fmt.Errorf("atoms of %s: %w", name, err)
	}
	if !atomCodec(by) {
		return nil, true, fmt.Errorf("atoms of %s: %s is itself a product, a sum or a combination; use atoms2-f16 or atoms2-int8-g64", name, inner)
	}
	return Atoms{count, by}, true, nil
}

// atomCodecs are a few of the codecs of combinations there are.
func atomCodecs() []Codec {
	return []Codec{Atoms{2, scalarCodec{tensor.BF16}}, Atoms{2, intCodec{8, 64, false}}, Atoms{3, intCodec{4, 64, false}}}
}

// Name returns atoms, their number, and the inner codec's name.
func (c Atoms) Name() string { return atomsPrefix + strconv.Itoa(c.count) + "-" + c.inner.Name() }

// Count returns how many atoms are combined, Inner the codec that stores each.
func (c Atoms) Count() int   { return c.count }
func (c Atoms) Inner() Codec { return c.inner }

// Check is the inner codec's.
func (c Atoms) Check(rows, cols int) error { return c.inner.Check(rows, cols) }

// Size is that of the atoms and the coefficients.
func (c Atoms) Size(rows, cols int) int64 {
	return int64(c.count) * (c.inner.Size(rows, cols) + 4)
}

// WholeOnly: coefficients are of all rows.
func (c Atoms) WholeOnly() bool { return true }

// Fit fits the first atom to w, each other to what those before it leave; all coefficients are 1. What several weights have in common is for
// a method to find.
func (c Atoms) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	s := Sum{name: c.Name()}
	for range c.count {
		s.codecs = append(s.codecs, c.inner)
	}
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	g, err := s.Fit(w, importance, o)
	if err != nil {
		return nil, err
	}
	return atomsGrid{g.(*sumGrid), c}, nil
}

// atomsGrid rounds as a sum does.
type atomsGrid struct {
	*sumGrid
	codec Atoms
}

func (g atomsGrid) Pack() Term {
	coefficients := make([]float32, g.codec.count)
	atoms := make([]Term, g.codec.count)
	for s, grid := range g.grids {
		atoms[s], coefficients[s] = grid.Pack(), 1
	}
	return g.codec.Combine(coefficients, atoms)
}

func (g atomsGrid) Round(w tensor.Mat, _ int) {
	g.RoundAll(w)
	Read(g.Pack(), w, 0)
}

// Assembled is a Codec whose terms are made of others, which several terms may have in common.
type Assembled interface {
	Codec
	// OpenWith is Open that has the terms inside made by open: prefix is what the names of their parts begin with.
	OpenWith(rows, cols int, parts []Part, open OpenInner) (Term, error)
}

// OpenInner makes a term inside another of its parts, whose names no longer have the prefix.
type OpenInner func(prefix string, c Codec, rows, cols int, parts []Part) (Term, error)

// openAlone opens a term that nobody else has.
func openAlone(_ string, c Codec, rows, cols int, parts []Part) (Term, error) {
	return c.Open(rows, cols, parts)
}

// Open makes a term of the coefficients and the atoms' parts.
func (c Atoms) Open(rows, cols int, parts []Part) (Term, error) {
	return c.OpenWith(rows, cols, parts, openAlone)
}

// OpenWith is Open that has the atoms made by open.
func (c Atoms) OpenWith(rows, cols int, parts []Part, open OpenInner) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if len(parts) == 0 || checkParts(parts[:1], partSpec{"coefficients", tensor.F32}) != nil || len(parts[0].Data) != 4*c.count {
		return nil, fmt.Errorf("%s needs a part \"coefficients\" of %d F32 numbers first: the file is damaged", c.Name(), c.count)
	}
	coefficients := make([]float32, c.count)
	for s := range coefficients {
		v := math.Float32frombits(binary.LittleEndian.Uint32(parts[0].Data[4*s:]))
		if v-v != 0 {
			return nil, fmt.Errorf("coefficient %d of %s is %v: the file is damaged", s, c.Name(), v)
		}
		coefficients[s] = v
	}
	rest := parts[1:]
	atoms := make([]Term, c.count)
	for s := range atoms {
		prefix := strconv.Itoa(s) + "."
		var own []Part
		own, rest = withoutPrefix(rest, prefix)
		var err error
		if atoms[s], err = open(prefix, c.inner, rows, cols, own); err != nil {
			return nil, fmt.Errorf("atom %d: %w", s, err)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("part %q belongs to no atom: the file is damaged", rest[0].Name)
	}
	return c.Combine(coefficients, atoms), nil
}

// Combine returns the term Σ c_s·D_s of atoms that were stored by the inner codec, which other terms may have as well.
func (c Atoms) Combine(coefficients []float32, atoms []Term) Term {
	if len(coefficients) != c.count || len(atoms) != c.count {
		panic("codec: Combine of another number of atoms")
	}
	rows, cols := atoms[0].Dims()
	for _, a := range atoms {
		if r, n := a.Dims(); r != rows || n != cols {
			panic("codec: Combine of atoms of different shapes")
		}
	}
	return &atomsTerm{c.Name(), rows, cols, coefficients, atoms}
}

// atomsTerm is Σ c_s·D_s.
type atomsTerm struct {
	name         string
	rows, cols   int
	coefficients []float32
	atoms        []Term
}

func (t *atomsTerm) Codec() string    { return t.name }
func (t *atomsTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *atomsTerm) Atoms() []Term    { return t.atoms }

func (t *atomsTerm) Bytes() int64 {
	n := int64(4 * len(t.coefficients))
	for _, a := range t.atoms {
		n += a.Bytes()
	}
	return n
}

func (t *atomsTerm) rowAlign() int {
	align := 1
	for _, a := range t.atoms {
		align = max(align, alignOf(a))
	}
	return align
}

func (t *atomsTerm) Parts() []Part {
	data := make([]byte, 4*len(t.coefficients))
	for s, v := range t.coefficients {
		binary.LittleEndian.PutUint32(data[4*s:], math.Float32bits(v))
	}
	parts := []Part{{Name: "coefficients", DType: tensor.F32, Shape: []int{len(t.coefficients)}, Data: data}}
	for s, a := range t.atoms {
		for _, p := range a.Parts() {
			p.Name = strconv.Itoa(s) + "." + p.Name
			parts = append(parts, p)
		}
	}
	return parts
}

// readRow decodes row r: the atoms' rows times their coefficients, each rounded, added up in order.
func (t *atomsTerm) readRow(dst []float32, r int) {
	t.readRows(tensor.Of(1, t.cols, dst[:t.cols]), r)
}

// readRows decodes rows r0 … r0+dst.Rows.
func (t *atomsTerm) readRows(dst tensor.Mat, r0 int) {
	buf := getScratch(dst.Rows * t.cols)
	defer putScratch(buf)
	atom := tensor.Of(dst.Rows, t.cols, *buf)
	for s, a := range t.atoms {
		Read(a, atom, r0)
		for r := range dst.Rows {
			if s == 0 {
				clear(dst.Row(r))
			}
			kernels.Axpy(dst.Row(r), t.coefficients[s], atom.Row(r))
		}
	}
}

func (t *atomsTerm) AddTo(dst tensor.Mat, r0 int) {
	if r0 < 0 || r0+dst.Rows > t.rows || dst.Cols != t.cols {
		panic("codec: AddTo outside of the term")
	}
	addDecoded(t, dst, r0)
}

// MulAdd multiplies few tokens by each atom, and many by the combination of the atoms' rows, which is then made once for all of them.
func (t *atomsTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if in.X.Rows > fewTokens {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	if r0 == r1 || in.X.Rows == 0 {
		return
	}
	width := alignedRows(r1, t.rowAlign(), t.rows)
	buf := getScratch(in.X.Rows * width)
	defer putScratch(buf)
	product := tensor.Of(in.X.Rows, width, *buf)
	for s, a := range t.atoms {
		for i := range product.Rows {
			clear(product.Row(i)[r0:r1])
		}
		a.MulAdd(product, in, r0, r1)
		for i := range product.Rows {
			kernels.Axpy(y.Row(i)[r0:r1], t.coefficients[s], product.Row(i)[r0:r1])
		}
	}
}

// alignedRows rounds r up to what a term multiplies at once.
func alignedRows(r, align, rows int) int { return max(r, min(rows, (r+align-1)/align*align)) }
