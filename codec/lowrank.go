package codec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"pith/kernels"
	"pith/tensor"
)

// lowRankPrefix begins the names of low-rank codecs: lr64-f16, lr0.8-int8-g64.
const lowRankPrefix = "lr"

// LowRank stores a matrix as a product: Ŵ = U·V with U (rows, rank) and V (rank, cols), each by an inner codec, the parts of which are named
// "u.<part>" and "v.<part>". The rank is a number, or follows from the share of numbers that is kept: the largest with
// rank·(rows+cols) ≤ keep·rows·cols, and factors of at most that share of the inner codec's bytes. docs/formats/lowrank.md.
type LowRank struct {
	rank  int     // if keep is 0
	keep  float64 // of the matrix' numbers
	inner Codec
}

// LowRankOf returns the codec of products of this rank.
func LowRankOf(rank int, inner Codec) LowRank { return newLowRank(rank, 0, inner) }

func newLowRank(rank int, keep float64, inner Codec) LowRank {
	if rank < 1 && keep <= 0 || !factorCodec(inner) {
		panic("codec: a low-rank codec of no rank, or whose factors are sums or products")
	}
	return LowRank{rank, keep, inner}
}

// factorCodec reports whether factors, atoms and some rows of a matrix can be stored by c.
func factorCodec(c Codec) bool {
	switch c.(type) {
	case Sum, LowRank, Atoms, Rows:
		return false
	}
	return true
}

// parseLowRank parses lr<rank>-<inner>; ok is false where name is of no such form.
func parseLowRank(name string) (c Codec, ok bool, err error) {
	rest, found := strings.CutPrefix(name, lowRankPrefix)
	size, inner, cut := strings.Cut(rest, "-")
	if !found || !cut || size == "" || strings.Trim(size, "0123456789.") != "" {
		return nil, false, nil
	}
	by, err := Parse(inner)
	if err != nil {
		return nil, true, fmt.Errorf("factors of %s: %w", name, err)
	}
	if !factorCodec(by) {
		return nil, true, fmt.Errorf("factors of %s: %s is itself a product or a sum; use lr64-f16 or lr64-int8-g64", name, inner)
	}
	if strings.Contains(size, ".") {
		keep, err := strconv.ParseFloat(size, 64)
		if err != nil || keep <= 0 || keep > 1 {
			return nil, true, fmt.Errorf("codec %s keeps a share of %s: use more than 0 and at most 1.0, as lr0.8-f16, or a rank without a point, as lr64-f16", name, size)
		}
		return newLowRank(0, keep, by), true, nil
	}
	rank, err := strconv.Atoi(size)
	if err != nil || rank < 1 || rank > maxRank {
		return nil, true, fmt.Errorf("codec %s of rank %s: use 1 to %d, or a share of the numbers with a point, as lr0.8-f16", name, size, maxRank)
	}
	return newLowRank(rank, 0, by), true, nil
}

// lowRanks are a few of the low-rank codecs there are.
func lowRanks() []Codec {
	f16 := scalarCodec{tensor.F16}
	return []Codec{newLowRank(0, 0.8, f16), newLowRank(0, 0.6, f16), newLowRank(0, 0.6, intCodec{8, 64, false})}
}

// maxRank is more than any matrix has columns.
const maxRank = 1 << 24

// Name returns lr, the rank or share, and the inner codec's name.
func (c LowRank) Name() string {
	size := strconv.Itoa(c.rank)
	if c.keep > 0 {
		if size = strconv.FormatFloat(c.keep, 'f', -1, 64); !strings.Contains(size, ".") {
			size += ".0"
		}
	}
	return lowRankPrefix + size + "-" + c.inner.Name()
}

// Inner returns the codec of the factors.
func (c LowRank) Inner() Codec { return c.inner }

// Ratio returns the share of numbers that decides the rank, 0 where the name states the rank.
func (c LowRank) Ratio() float64 { return c.keep }

// Rank returns the rank of the factors of a rows × cols matrix, 0 if there is none that the share allows.
func (c LowRank) Rank(rows, cols int) int {
	switch {
	case rows <= 0 || cols <= 0:
		return 0
	case c.keep == 0:
		return c.rank
	}
	m, n := float64(rows), float64(cols)
	most := c.keep * float64(c.inner.Size(rows, cols))
	rank := int(c.keep * m * n / (m + n))
	for rank > 0 {
		size := float64(c.factorBytes(rank, rows, cols))
		if size <= most && c.inner.Check(rows, rank) == nil {
			return alignedRank(c.inner, rank)
		}
		rank = min(rank-1, int(float64(rank)*most/size)+1) // sizes grow about as ranks do
	}
	return 0
}

func (c LowRank) factorBytes(rank, rows, cols int) int64 {
	return c.inner.Size(rows, rank) + c.inner.Size(rank, cols)
}

// Check refuses shapes whose factors would take more than the whole matrix by the inner codec.
func (c LowRank) Check(rows, cols int) error {
	if err := checkShape(rows, cols); err != nil {
		return err
	}
	if rows == 0 || cols == 0 {
		return nil
	}
	rank, inner := c.Rank(rows, cols), c.inner.Name()
	if rank == 0 {
		return fmt.Errorf("%s of a (%d, %d) matrix has rank 0: keep more of it, or use %s, the matrix as it is", c.Name(), rows, cols, inner)
	}
	if rank > min(rows, cols) {
		return fmt.Errorf("a (%d, %d) matrix has no rank %d: use at most %d, or %s, the matrix as it is", rows, cols, rank, min(rows, cols), inner)
	}
	for _, shape := range [][2]int{{rows, rank}, {rank, cols}} {
		if err := c.inner.Check(shape[0], shape[1]); err != nil {
			return fmt.Errorf("factor (%d, %d): %w", shape[0], shape[1], err)
		}
	}
	if factors, whole := c.factorBytes(rank, rows, cols), c.inner.Size(rows, cols); factors > whole {
		return fmt.Errorf("factors of rank %d take %d bytes, the (%d, %d) matrix itself %d: use a rank below %d, or %s",
			rank, factors, rows, cols, whole, rows*cols/(rows+cols)+1, inner)
	}
	return nil
}

// Size is that of both factors.
func (c LowRank) Size(rows, cols int) int64 {
	if rows == 0 || cols == 0 {
		return 0
	}
	return c.factorBytes(c.Rank(rows, cols), rows, cols)
}

// WholeOnly: all rows share V.
func (c LowRank) WholeOnly() bool { return true }

// Open makes a term of the factors' parts, U's first.
func (c LowRank) Open(rows, cols int, parts []Part) (Term, error) {
	return c.OpenWith(rows, cols, parts, openAlone)
}

// OpenWith is Open that has the factors made by open.
func (c LowRank) OpenWith(rows, cols int, parts []Part, open OpenInner) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	rank := c.Rank(rows, cols)
	if rank > max(rows, cols) || rank == 0 && rows > 0 && cols > 0 {
		return nil, fmt.Errorf("%s of shape (%d, %d): the file is damaged", c.Name(), rows, cols)
	}
	uParts, rest := withoutPrefix(parts, "u.")
	vParts, rest := withoutPrefix(rest, "v.")
	if len(rest) > 0 {
		return nil, fmt.Errorf("part %q belongs to no factor: the file is damaged", rest[0].Name)
	}
	u, err := open("u.", c.inner, rows, rank, uParts)
	if err != nil {
		return nil, fmt.Errorf("factor u: %w", err)
	}
	v, err := open("v.", c.inner, rank, cols, vParts)
	if err != nil {
		return nil, fmt.Errorf("factor v: %w", err)
	}
	return c.Join(u, v), nil
}

// withoutPrefix returns the leading parts whose names begin with prefix, without it, and the others.
func withoutPrefix(parts []Part, prefix string) (own, rest []Part) {
	for len(parts) > 0 && strings.HasPrefix(parts[0].Name, prefix) {
		p := parts[0]
		p.Name = p.Name[len(prefix):]
		own, parts = append(own, p), parts[1:]
	}
	return own, parts
}

// Join returns the term U·V of factors that were stored by the inner codec.
func (c LowRank) Join(u, v Term) Term {
	rows, rank := u.Dims()
	vRank, cols := v.Dims()
	if rank != vRank || rank != c.Rank(rows, cols) {
		panic("codec: Join of factors of another rank")
	}
	t := &lowRankTerm{name: c.Name(), u: u, v: v}
	t.key = t
	if reflect.ValueOf(v).Comparable() { // other terms may have this V
		t.key = v
	}
	return t
}

// lowRankTerm is U·V.
type lowRankTerm struct {
	key  any // tells z = x·Vᵀ from other products of an input: V, where Vs can be compared, which terms may have in common; else the term
	name string
	u, v Term
}

func (t *lowRankTerm) Codec() string        { return t.name }
func (t *lowRankTerm) Bytes() int64         { return t.u.Bytes() + t.v.Bytes() }
func (t *lowRankTerm) rowAlign() int        { return alignOf(t.u) }
func (t *lowRankTerm) Factors() (u, v Term) { return t.u, t.v }

func (t *lowRankTerm) Dims() (int, int) {
	rows, _ := t.u.Dims()
	_, cols := t.v.Dims()
	return rows, cols
}

func (t *lowRankTerm) Parts() []Part {
	var parts []Part
	for _, p := range t.u.Parts() {
		p.Name = "u." + p.Name
		parts = append(parts, p)
	}
	for _, p := range t.v.Parts() {
		p.Name = "v." + p.Name
		parts = append(parts, p)
	}
	return parts
}

// AddTo adds rows of the product, which are summed over the rank in order.
func (t *lowRankTerm) AddTo(dst tensor.Mat, r0 int) {
	rows, cols := t.Dims()
	if r0 < 0 || r0+dst.Rows > rows || dst.Cols != cols {
		panic("codec: AddTo outside of the term")
	}
	_, rank := t.u.Dims()
	if rank == 0 || dst.Rows == 0 {
		return
	}
	v := tensor.NewMat(rank, cols)
	Read(t.v, v, 0)
	for r := 0; r < dst.Rows; {
		n := min(dst.Rows-r, turnedTile-(r0+r)%turnedTile)
		u, sum := tensor.NewMat(n, rank), tensor.NewMat(n, cols)
		Read(t.u, u, r0+r)
		kernels.GemmNN(sum.Data, cols, u.Data, rank, v.Data, cols, n, cols, rank)
		for i := range n {
			kernels.Axpy(dst.Row(r+i), 1, sum.Row(i))
		}
		r += n
	}
}
