package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"

	"pith/kernels"
	"pith/tensor"
)

// tableCodec stores codes that count in tables of their own, 2^bits numbers each:
//
//	W[r, c] = scale[r] · table[g][code[r, c]]
//
// A sketch (Zhang et al. 2024, LeanQuant and SketchTune, arXiv 2407.10032 and 2410.06364) has tables for each row, one for each range of
// columns, and no scales. Grouped tables (Yvinec et al. 2023, JLCM, arXiv 2309.17361: rows of like distribution share a table) have one table for
// each of some groups of rows, and say of each row which is its own; with "-s", each row has a scale too. Rows stay where they are:
// the order in which JLCM has groups follow one another is what sorting the groups' numbers gives. docs/formats/codebook.md.
type tableCodec struct {
	bits   int  // of a code: 2, 3 or 4
	ranges int  // of a row's columns, at most, for which a sketch has tables; 0: grouped tables
	groups int  // of rows, at most
	scaled bool // a scale per row
}

const (
	sketchPrefix  = "sketch"
	groupedPrefix = "jlcm"
	scaledTables  = "-s"
	maxRowGroups  = 256

	// rangeUnit is what a range of columns is a multiple of, so that kernels change tables between vectors.
	rangeUnit = 128
)

// tableNames are the codecs of tables that Names lists.
func tableNames() []string {
	var names []string
	for b := 2; b <= 4; b++ {
		names = append(names, fmt.Sprintf("sketch%d-p1", b), fmt.Sprintf("jlcm%d-k16", b), fmt.Sprintf("jlcm%d-k1-s", b))
	}
	return append(names, "sketch4-p4", "jlcm3-k5-s")
}

// parseTables returns the codec called name: sketch<2, 3, 4>-p<1, 2, 4, 8> or jlcm<2, 3, 4>-k<1 … 256>[-s].
func parseTables(name string) (Codec, bool) {
	var c tableCodec
	rest, sketch := strings.CutPrefix(name, sketchPrefix)
	if !sketch {
		var grouped bool
		if rest, grouped = strings.CutPrefix(name, groupedPrefix); !grouped {
			return nil, false
		}
		rest, c.scaled = strings.CutSuffix(rest, scaledTables)
	}
	mark := "-k"
	if sketch {
		mark = "-p"
	}
	width, count, ok := strings.Cut(rest, mark)
	n, err := strconv.Atoi(count)
	if !ok || err != nil || len(width) != 1 || width[0] < '2' || width[0] > '4' || strconv.Itoa(n) != count {
		return nil, false
	}
	c.bits = int(width[0] - '0')
	switch {
	case sketch && (n == 1 || n == 2 || n == 4 || n == 8):
		c.ranges = n
	case !sketch && n >= 1 && n <= maxRowGroups:
		c.groups = n
	default:
		return nil, false
	}
	return c, true
}

func (c tableCodec) Name() string {
	if c.sketch() {
		return fmt.Sprintf("%s%d-p%d", sketchPrefix, c.bits, c.ranges)
	}
	name := fmt.Sprintf("%s%d-k%d", groupedPrefix, c.bits, c.groups)
	if c.scaled {
		name += scaledTables
	}
	return name
}

func (c tableCodec) sketch() bool { return c.ranges > 0 }

// Check accepts every shape.
func (c tableCodec) Check(rows, cols int) error { return checkShape(rows, cols) }

// WholeOnly: groups of rows share tables.
func (c tableCodec) WholeOnly() bool { return !c.sketch() }

func (c tableCodec) entries() int { return 1 << c.bits }

// rangeCols returns how many columns of a row share a table; rangesOf, how many ranges a row has.
func (c tableCodec) rangeCols(cols int) int {
	if !c.sketch() || c.ranges == 1 {
		return max(cols, 1)
	}
	each := (cols + c.ranges - 1) / c.ranges
	return max(rangeUnit, (each+rangeUnit-1)/rangeUnit*rangeUnit)
}

func (c tableCodec) rangesOf(cols int) int {
	each := c.rangeCols(cols)
	return (cols + each - 1) / each
}

// tables returns how many tables a matrix has.
func (c tableCodec) tables(rows, cols int) int {
	if c.sketch() {
		return rows * c.rangesOf(cols)
	}
	return min(c.groups, rows)
}

// groupBits returns the bits of a row's group number: none if there is one group.
func (c tableCodec) groupBits() int { return bits.Len(uint(max(c.groups, 1) - 1)) }

func (c tableCodec) Size(rows, cols int) int64 {
	n := int64(rows)*int64(packedBytes(cols, c.bits)) + 2*int64(c.entries())*int64(c.tables(rows, cols)) + int64(c.groupBytes(rows))
	if c.scaled {
		n += 2 * int64(rows)
	}
	return n
}

func (c tableCodec) groupBytes(rows int) int { return packedBytes(rows, c.groupBits()) }

func (c tableCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if err := checkShape(rows, 1); err != nil { // rows have groups and scales even where there are no columns
		return nil, err
	}
	want := []partSpec{{"codes", tensor.U8}, {"tables", tensor.F16}}
	tables := c.tables(rows, cols)
	sizes := []int64{int64(rows) * int64(packedBytes(cols, c.bits)), 2 * int64(c.entries()) * int64(tables)}
	if c.groupBits() > 0 {
		want, sizes = append(want, partSpec{"groups", tensor.U8}), append(sizes, int64(c.groupBytes(rows)))
	}
	if c.scaled {
		want, sizes = append(want, partSpec{"scales", tensor.F16}), append(sizes, 2*int64(rows))
	}
	if err := checkParts(parts, want...); err != nil {
		return nil, err
	}
	for i, p := range parts {
		if err := checkLength(p, sizes[i]); err != nil {
			return nil, err
		}
	}
	t := &tableTerm{tableCodec: c, rows: rows, cols: cols, codes: parts[0].Data, values: parts[1].Data}
	if err := checkScales("tables", t.values, max(1, c.entries())); err != nil {
		return nil, err
	}
	next := 2
	if c.groupBits() > 0 {
		t.group = make([]uint16, rows)
		unpackWide(t.group, parts[next].Data, c.groupBits())
		for r, g := range t.group {
			if int(g) >= tables {
				return nil, fmt.Errorf("part %q: row %d is of group %d of %d: the file is damaged", "groups", r, g, tables)
			}
		}
		next++
	}
	if c.scaled {
		t.scales = parts[next].Data
		return t, checkScales("scales", t.scales, 1)
	}
	return t, nil
}

// tableTerm is a fitted matrix.
type tableTerm struct {
	tableCodec
	rows, cols int
	codes      []byte   // packed along the row (bits.go)
	values     []byte   // F16, little endian: (tables, entries); a sketch's tables row after row
	group      []uint16 // of each row; nil: a sketch, or one group
	scales     []byte   // F16, of each row; nil: all 1

	once sync.Once
	lut  *kernels.Tables // what kernels multiply by
}

func (t *tableTerm) Codec() string    { return t.Name() }
func (t *tableTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *tableTerm) Bytes() int64 {
	return int64(len(t.codes)+len(t.values)+len(t.scales)) + int64(t.groupBytes(t.rows))
}

func (t *tableTerm) Parts() []Part {
	shape := []int{t.tables(t.rows, t.cols), t.entries()}
	if t.sketch() {
		shape = []int{t.rows, t.rangesOf(t.cols), t.entries()}
	}
	parts := []Part{
		{Name: "codes", DType: tensor.U8, Shape: []int{t.rows, packedBytes(t.cols, t.bits)}, Data: t.codes},
		{Name: "tables", DType: tensor.F16, Shape: shape, Data: t.values},
	}
	if t.groupBits() > 0 {
		packed := make([]byte, t.groupBytes(t.rows))
		packWide(packed, t.group, t.groupBits())
		parts = append(parts, Part{Name: "groups", DType: tensor.U8, Shape: []int{len(packed)}, Data: packed})
	}
	if t.scaled {
		parts = append(parts, Part{Name: "scales", DType: tensor.F16, Shape: []int{t.rows}, Data: t.scales})
	}
	return parts
}

// Stacked returns the term of the rows times over, which share the tables that they share.
func (t *tableTerm) Stacked(times int) Term {
	big := &tableTerm{tableCodec: t.tableCodec, rows: t.rows * times, cols: t.cols, codes: bytes.Repeat(t.codes, times), values: t.values,
		group: slices.Repeat(t.group, times), scales: bytes.Repeat(t.scales, times)}
	if t.sketch() {
		big.values = bytes.Repeat(t.values, times)
	}
	return big
}

// tableOf returns the table of a range of a row's columns.
func (t *tableTerm) tableOf(r, k int) int {
	switch {
	case t.sketch():
		return r*t.rangesOf(t.cols) + k
	case len(t.group) > 0:
		return int(t.group[r])
	}
	return 0
}

// rowScale returns the scale of row r.
func (t *tableTerm) rowScale(r int) float32 {
	if !t.scaled {
		return 1
	}
	return tensor.F16ToFloat32(binary.LittleEndian.Uint16(t.scales[2*r:]))
}

// readTable sets dst to table i, times scale.
func (t *tableTerm) readTable(dst []float32, i int, scale float32) {
	stored := t.values[2*t.entries()*i:]
	for k := range dst[:t.entries()] {
		dst[k] = scale * tensor.F16ToFloat32(binary.LittleEndian.Uint16(stored[2*k:]))
	}
}

func (t *tableTerm) readRow(dst []float32, r int) {
	const chunk = 256 // columns that are whole bytes and whole blocks of every width
	var codes [chunk]uint8
	var table [16]float32
	rowBytes := packedBytes(t.cols, t.bits)
	row, scale, each := t.codes[r*rowBytes:(r+1)*rowBytes], t.rowScale(r), t.rangeCols(t.cols)
	for c0 := 0; c0 < t.cols; c0 += chunk {
		c1 := min(t.cols, c0+chunk)
		unpackCodes(codes[:c1-c0], row[c0*t.bits/8:], t.bits)
		for c := c0; c < c1; {
			end := min(c1, (c/each+1)*each)
			if c%each == 0 {
				t.readTable(table[:], t.tableOf(r, c/each), scale)
			}
			kernels.LookUp(dst[c:end], codes[c-c0:end-c0], &table)
			c = end
		}
	}
}

func (t *tableTerm) AddTo(dst tensor.Mat, r0 int) { addDecoded(t, dst, r0) }

// MulAdd rounds the activations of few tokens to int8 and the tables to 15 bits (kernels.Tables): each output is then off by at most
// Σ |w|·max|x|/254, max|x| that of the 32 activations around, and Σ |x|·max|table|/32766.
func (t *tableTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	if in.X.Rows > fewTokens || t.cols == 0 || t.cols%32 != 0 && t.bits == 4 || r0 == r1 {
		mulAddDecoded(t, y, in, r0, r1)
		return
	}
	checkProduct(t, y, in, r0, r1)
	t.once.Do(t.prepare)
	rowBytes := packedBytes(t.cols, t.bits)
	for i, x := range in.Q8() {
		out, prepared := y.Row(i), t.lut.Prepare(x)
		for r := r0; r < r1; r++ {
			v := t.lut.Row(t.codes[r*rowBytes:], t.tableOf(r, 0), prepared)
			out[r] += float32(t.rowScale(r) * v)
		}
		prepared.Free()
	}
}

// prepare makes what kernels multiply by.
func (t *tableTerm) prepare() {
	values := make([]float32, len(t.values)/2)
	kernels.F16ToF32(values, t.values)
	t.lut = kernels.NewTables(values, t.bits, t.cols, t.rangeCols(t.cols))
}
