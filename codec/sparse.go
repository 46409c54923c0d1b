package codec

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"pith/tensor"
)

// sparseCodec stores some elements of a matrix by a dense codec of scalars, and which ones they are; the others are zero. How it says
// which is its pattern's: docs/formats/sparse.md. Pruned elements have no code, so that no code of a kept one can be mistaken for them
// (a packer that finds its mask in codes stored plus 8, as Sparse-Marlin's does, may keep others than it was given).
type sparseCodec struct {
	values Codec // scalarCodec, or intCodec without zeros
	sparsePattern
}

// patternKind is how a layout says which elements are stored.
type patternKind uint8

const (
	bitmapPattern patternKind = iota // a bit an element; any mask with the right total
	csrPattern                       // a byte a stored element, its column; any mask with the right total
	groupPattern                     // n of each m columns: bits, or for int4-…-2:4 indices
)

// sparsePattern is what follows a sparse codec's values in its name.
type sparsePattern struct {
	kind   patternKind
	pruned int  // of 100000 elements; bitmapPattern, csrPattern
	n, m   int  // groupPattern
	coded  bool // the mask is entropy-coded in files (sparse_coded.go)
}

// prunedUnits is what pruned counts in: thousandths of a percent.
const prunedUnits = 100_000

// largestGroup is the largest m of an n:m pattern.
const largestGroup = 64

func (p sparsePattern) String() string {
	var name string
	switch p.kind {
	case groupPattern:
		name = fmt.Sprintf("%d:%d", p.n, p.m)
	case csrPattern:
		name = "csr" + percent(p.pruned)
	default:
		name = "s" + percent(p.pruned)
	}
	if p.coded {
		name += "e"
	}
	return name
}

// percent writes thousandths of a percent without zeros at the end.
func percent(thousandths int) string {
	return strconv.FormatFloat(float64(thousandths)/1000, 'f', -1, 64)
}

// parsePattern is the inverse of String.
func parsePattern(s string) (p sparsePattern, ok bool) {
	name := s
	if s, ok = strings.CutSuffix(s, "e"); ok {
		p.coded = true
	}
	if n, m, found := strings.Cut(s, ":"); found {
		p.kind = groupPattern
		p.n, _ = strconv.Atoi(n)
		p.m, _ = strconv.Atoi(m)
		return p, p.n > 0 && p.n < p.m && p.m <= largestGroup && p.String() == name
	}
	digits, isCSR := strings.CutPrefix(s, "csr")
	if isCSR {
		p.kind = csrPattern
	} else if digits, ok = strings.CutPrefix(s, "s"); !ok {
		return p, false
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(f > 0 && f < 100) {
		return p, false
	}
	p.pruned = int(math.Round(f * 1000))
	return p, p.pruned > 0 && p.pruned < prunedUnits && !(p.coded && isCSR) && p.String() == name
}

// parseSparse returns the sparse codec called name.
func parseSparse(name string) (Codec, bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return nil, false
	}
	p, ok := parsePattern(name[at+1:])
	if !ok {
		return nil, false
	}
	for _, c := range scalarCodecs() {
		if c.Name() == name[:at] {
			return sparseCodec{c, p}, true
		}
	}
	return nil, false
}

// sparseMistake says, as the middle of a message, what keeps a name that looks like a sparse codec's from being one; else it is empty.
func sparseMistake(name string) string {
	if at := strings.LastIndexByte(name, '-'); at > 0 {
		if _, ok := parsePattern(name[at+1:]); ok {
			return ": values stored with a pattern are f32, f16, bf16 or int…-g… without -asym, -mid or -had (which comes last)"
		}
	}
	for _, c := range scalarCodecs() {
		s, ok := strings.CutPrefix(name, c.Name()+"-")
		switch digits := strings.TrimLeft(s, "csr-"); {
		case !ok:
		case strings.Contains(s, ":") && !strings.Contains(s, "-"):
			return fmt.Sprintf(": a pattern N:M keeps N of each M columns, 0 < N < M ≤ %d", largestGroup)
		case strings.HasPrefix(s, "csr") && digits != "":
			return ": a pattern csrP prunes P %, 0 < P < 100 with at most three decimals, and takes no e"
		case strings.HasPrefix(s, "s") && digits != "" && digits[0] >= '0' && digits[0] <= '9':
			return ": a pattern sP prunes P %, 0 < P < 100 with at most three decimals"
		}
	}
	return ""
}

// scalarCodecs are the codecs whose elements may be stored sparsely: those that store each in as many bits, and zero exactly.
func scalarCodecs() []Codec {
	all := []Codec{scalarCodec{tensor.F32}, scalarCodec{tensor.F16}, scalarCodec{tensor.BF16}}
	for _, b := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128, 0} {
			all = append(all, intCodec{b, group, false})
		}
	}
	return all
}

// sparseNames are a few of the codecs that parseSparse knows.
func sparseNames() []string {
	return []string{"f16-s50", "f16-2:4", "f16-s90e", "f16-csr95", "int8-grow-s50", "int8-grow-s70", "int8-grow-csr90", "int8-g128-2:4",
		"int4-g128-s50", "int4-g128-2:4", "int4-g128-2:4e", "int4-g128-4:8", "int3-g128-4:8e"}
}

func (c sparseCodec) Name() string { return c.values.Name() + "-" + c.String() }

// Dense returns the codec of the values.
func (c sparseCodec) Dense() Codec { return c.values }

// Group returns n and m of an n:m pattern.
func (c sparseCodec) Group() (n, m int) { return c.n, c.m }

// WholeOnly reports that tiles of rows cannot be encoded apart: how many elements each keeps is only known of the whole, or the mask's
// code runs over all rows.
func (c sparseCodec) WholeOnly() bool { return c.kind != groupPattern || c.coded }

// rowKept returns how many elements each row of cols columns stores; for a pattern without groups, on average.
func (c sparseCodec) rowKept(cols int) int {
	if c.kind == groupPattern {
		return cols/c.m*c.n + (cols%c.m*c.n+c.m-1)/c.m
	}
	hi, lo := bits.Mul64(uint64(max(cols, 0)), uint64(c.pruned))
	pruned, _ := bits.Div64(hi, lo, prunedUnits)
	return cols - int(pruned)
}

// Kept returns how many elements of a rows × cols matrix are stored: in all, a whole number for each row, ⌊cols·s⌋ less than cols.
func (c sparseCodec) Kept(rows, cols int) int64 { return int64(rows) * int64(c.rowKept(cols)) }

// Check refuses matrices whose values do not fit in 4 GiB, which offsets count.
func (c sparseCodec) Check(rows, cols int) error {
	if err := checkShape(rows, cols); err != nil {
		return err
	}
	if err := c.values.Check(rows, cols); err != nil {
		return err
	}
	if n := c.valueBytes(rows, cols); n > math.MaxUint32 || c.coded && rows*cols > math.MaxUint32 {
		return fmt.Errorf("shape (%d, %d) is too large for %s: use %s", rows, cols, c.Name(), c.values.Name())
	}
	return nil
}

func (c sparseCodec) Size(rows, cols int) (n int64) {
	for _, p := range c.layout(rows, cols) {
		n += tensor.Bytes(p.DType, p.Shape)
	}
	return n
}

// isInt returns the codec of integer values.
func (c sparseCodec) isInt() (intCodec, bool) {
	i, ok := c.values.(intCodec)
	return i, ok
}

// width is how many bits a value has.
func (c sparseCodec) width() int {
	if i, ok := c.isInt(); ok {
		return i.bits
	}
	_, size := c.values.(scalarCodec).dt.Block()
	return 8 * size
}

// inPairs reports whether stored elements are the two of groups of four that pairs.go lays out.
func (c sparseCodec) inPairs() bool {
	i, ok := c.isInt()
	return ok && i.bits == 4 && c.kind == groupPattern && c.n == 2 && c.m == 4
}

// valueBytes is the size of a matrix's values. Rows begin at whole bytes; where rows may store different numbers, what that may cost is added.
func (c sparseCodec) valueBytes(rows, cols int) int64 {
	switch {
	case c.inPairs():
		return int64(rows) * int64(maskWords(cols)) * pairsCodes
	case c.kind == groupPattern:
		return int64(rows) * int64(packedBytes(c.rowKept(cols), c.width()))
	case c.width()%8 == 0:
		return c.Kept(rows, cols) * int64(c.width()/8)
	}
	return (c.Kept(rows, cols)*int64(c.width()) + 7*int64(rows)) / 8
}

// layout returns the parts of a matrix, without their data.
func (c sparseCodec) layout(rows, cols int) []Part {
	var parts []Part
	switch {
	case c.coded:
		parts = append(parts, Part{Name: "mask", DType: tensor.U8, Shape: []int{int(c.codedBytes(rows, cols))}})
	case c.kind == csrPattern:
		parts = append(parts, Part{Name: "counts", DType: tensor.U16, Shape: []int{rows, csrBlocks(cols)}},
			Part{Name: "columns", DType: tensor.U8, Shape: []int{int(c.Kept(rows, cols))}})
	case c.inPairs():
		parts = append(parts, Part{Name: "indices", DType: tensor.U8, Shape: []int{rows, maskWords(cols) * pairsIndices}})
	default:
		parts = append(parts, Part{Name: "mask", DType: tensor.U64, Shape: []int{rows, maskWords(cols)}})
		if c.kind == bitmapPattern {
			parts = append(parts, Part{Name: "starts", DType: tensor.U32, Shape: []int{rows}})
		}
	}
	values := Part{Name: "values", DType: tensor.U8, Shape: []int{int(c.valueBytes(rows, cols))}}
	if c.kind == groupPattern && rows > 0 {
		values.Shape = []int{rows, values.Shape[0] / rows}
	} else if c.kind == groupPattern {
		values.Shape = []int{0, 0}
	}
	i, isInt := c.isInt()
	if !isInt {
		values.DType = c.values.(scalarCodec).dt
		values.Shape[len(values.Shape)-1] /= c.width() / 8
	}
	parts = append(parts, values)
	if isInt {
		parts = append(parts, Part{Name: "scales", DType: tensor.F16, Shape: []int{rows, i.groups(cols)}})
	}
	return parts
}

// Open checks the length of every part, and that counts, columns and offsets agree.
func (c sparseCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := c.Check(rows, cols); err != nil {
		return nil, err
	}
	layout := c.layout(rows, cols)
	want := make([]partSpec, len(layout))
	for i, p := range layout {
		want[i] = partSpec{p.Name, p.DType}
	}
	if err := checkParts(parts, want...); err != nil {
		return nil, err
	}
	for i, p := range layout {
		if err := checkLength(parts[i], tensor.Bytes(p.DType, p.Shape)); err != nil {
			return nil, err
		}
	}
	m := sparseMatrix{sparseCodec: c, rows: rows, cols: cols}
	if i, ok := c.isInt(); ok {
		m.scales = parts[len(parts)-1].Data
		parts = parts[:len(parts)-1]
		if err := checkScales("scales", m.scales, i.groups(cols)); err != nil {
			return nil, err
		}
	}
	m.data = parts[len(parts)-1].Data
	parts = parts[:len(parts)-1]
	switch {
	case c.inPairs():
		return openPairs(m, parts[0].Data)
	case c.kind == csrPattern:
		return openCSR(m, parts[0].Data, parts[1].Data)
	}
	return openBitmap(m, parts)
}

// sparseMatrix is what terms of all patterns have.
type sparseMatrix struct {
	sparseCodec
	rows, cols   int
	data, scales []byte // values; scales of groups (F16), if there are any
}

func (t *sparseMatrix) codec() sparseCodec { return t.sparseCodec }
func (t *sparseMatrix) Codec() string      { return t.Name() }
func (t *sparseMatrix) Dims() (int, int)   { return t.rows, t.cols }
func (t *sparseMatrix) Bytes() int64       { return t.Size(t.rows, t.cols) }

// partsWith returns all parts, those before the values given.
func (t *sparseMatrix) partsWith(first ...[]byte) []Part {
	parts := t.layout(t.rows, t.cols)
	for i := range parts {
		switch {
		case i < len(first):
			parts[i].Data = first[i]
		case i == len(first):
			parts[i].Data = t.data
		default:
			parts[i].Data = t.scales
		}
	}
	return parts
}

// sparseTerm is a term of any pattern.
type sparseTerm interface {
	Term
	rowReader
	codec() sparseCodec
	maskRow(dst []uint64, r int)           // sets dst to which elements of row r are stored
	storedCodes(dst []uint8, r int) []byte // the row's values in order: codes (of integers, one a byte), or elements' bytes
}
