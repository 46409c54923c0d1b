package codec

import (
	"encoding/binary"
	"slices"

	"pith/tensor"
)

// Tabled is a Grid whose values are numbers of tables, times a scale of the row where there are such, which a solver may replace once it has
// chosen codes. A row is of one table for each range of RangeCols columns.
type Tabled interface {
	Tables() (count, entries int)
	RangeCols() int
	TableOf(row, col int) int
	RowScale(row int) float32
	Codes(row int) []uint8                 // the row's codes so far; they are not the caller's to change
	Table(i int) []float32                 // by code; not the caller's to change
	SetTable(i int, values []float32) bool // rounded to what can be stored; false, and nothing done, if that is not finite. Codes stay as they are
}

// tableGrid rounds to the tables of term.
type tableGrid struct {
	term    *tableTerm
	codes   []uint8   // (rows, cols)
	tables  []float32 // (tables, entries) by code
	sorted  []float32 // (tables, entries), ascending
	order   []uint8   // whose codes these are
	middles []float32 // (tables, entries-1) between them
	scales  []float32 // of rows, and what one is divided by them; nil: all 1
	inverse []float32
}

func newTableGrid(t *tableTerm) *tableGrid {
	n := t.entries()
	count := t.tables(t.rows, t.cols)
	g := &tableGrid{term: t, codes: make([]uint8, t.rows*t.cols), tables: make([]float32, count*n), sorted: make([]float32, count*n),
		order: make([]uint8, count*n), middles: make([]float32, count*(n-1))}
	for i := range count {
		t.readTable(g.tables[i*n:], i, 1)
		g.sort(i)
	}
	if t.scaled {
		g.scales, g.inverse = make([]float32, t.rows), make([]float32, t.rows)
		for r := range t.rows {
			g.readScale(r)
		}
	}
	return g
}

func (g *tableGrid) readScale(r int) {
	g.scales[r] = g.term.rowScale(r)
	g.inverse[r] = inverseOf(binary.LittleEndian.Uint16(g.term.scales[2*r:]))
}

// sort brings what searches need of table i up to date.
func (g *tableGrid) sort(i int) {
	n := g.term.entries()
	table, sorted, order := g.tables[i*n:(i+1)*n], g.sorted[i*n:(i+1)*n], g.order[i*n:(i+1)*n]
	for k := range order {
		order[k] = uint8(k)
	}
	slices.SortStableFunc(order, func(a, b uint8) int {
		switch {
		case table[a] < table[b]:
			return -1
		case table[a] > table[b]:
			return 1
		}
		return 0
	})
	for k, code := range order {
		sorted[k] = table[code]
	}
	for k := range n - 1 {
		g.middles[i*(n-1)+k] = (sorted[k] + sorted[k+1]) / 2
	}
}

// nearest returns the code of table i whose number is nearest to v, and the number.
func (g *tableGrid) nearest(i int, v float32) (code uint8, value float32) {
	n := g.term.entries()
	middles := g.middles[i*(n-1) : (i+1)*(n-1)]
	at := 0
	for step := n / 2; step > 0; step /= 2 {
		if middles[at+step-1] < v {
			at += step
		}
	}
	return g.order[i*n+at], g.sorted[i*n+at]
}

func (g *tableGrid) Step() int                 { return 1 }
func (g *tableGrid) Round(w tensor.Mat, c int) { g.round(w, c, 0) }

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *tableGrid) round(w tensor.Mat, c, r0 int) {
	t := g.term
	k := c / t.rangeCols(t.cols)
	for i := range w.Rows {
		r := r0 + i
		x := &w.Data[i*w.Stride+c]
		v, scale := *x, float32(1)
		if g.scales != nil {
			v, scale = v*g.inverse[r], g.scales[r]
		}
		code, value := g.nearest(t.tableOf(r, k), v)
		g.codes[r*t.cols+c] = code
		*x = scale * value
	}
}

// Bands cuts the rows evenly: tables do not change while codes are chosen.
func (g *tableGrid) Bands() []Band { return rowBands(g.term.rows, 1, g.round) }

func (g *tableGrid) Pack() Term {
	t := g.term
	rowBytes := packedBytes(t.cols, t.bits)
	t.codes = make([]byte, t.rows*rowBytes)
	for r := range t.rows {
		packCodes(t.codes[r*rowBytes:(r+1)*rowBytes], g.Codes(r), t.bits)
	}
	return t
}

func (g *tableGrid) Tables() (count, entries int) {
	return g.term.tables(g.term.rows, g.term.cols), g.term.entries()
}

func (g *tableGrid) RangeCols() int           { return g.term.rangeCols(g.term.cols) }
func (g *tableGrid) TableOf(row, col int) int { return g.term.tableOf(row, col/g.RangeCols()) }

func (g *tableGrid) RowScale(row int) float32 {
	if g.scales == nil {
		return 1
	}
	return g.scales[row]
}

func (g *tableGrid) Codes(row int) []uint8 {
	return g.codes[row*g.term.cols : (row+1)*g.term.cols]
}

func (g *tableGrid) Table(i int) []float32 {
	n := g.term.entries()
	return g.tables[i*n : (i+1)*n]
}

func (g *tableGrid) SetTable(i int, values []float32) bool {
	n := g.term.entries()
	values = values[:n]
	stored := make([]byte, 2*n)
	for k, v := range values {
		h := tensor.Float32ToF16(v)
		if h&0x7c00 == 0x7c00 {
			return false
		}
		binary.LittleEndian.PutUint16(stored[2*k:], h)
	}
	copy(g.term.values[2*n*i:], stored)
	g.term.readTable(g.tables[i*n:], i, 1)
	g.sort(i)
	return true
}

// scaledTableGrid is a tableGrid with scales of rows.
type scaledTableGrid struct{ *tableGrid }

// Refit is codec.Refitter's.
func (g scaledTableGrid) Refit(row int, factor float32) float32 {
	stored := refitScale(g.term.scales[2*row:], factor)
	g.readScale(row)
	return stored
}

// RoundTable returns v as tables store it; an infinity if they cannot.
func RoundTable(v float32) float32 { return tensor.F16ToFloat32(tensor.Float32ToF16(v)) }
